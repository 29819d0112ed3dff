"""The house: who may import whom, and rooms, files and functions that fit a head."""

import ast
import io
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for package in ("cnnzoo", "experiments") for path in (ROOT / package).rglob("*.py"))
FUNCTION_LINES, CODE_LINES, ROOM_FILES = 60, 300, 12

# What is larger, and why.
LARGE_ROOMS = {"cnnzoo/models/families": "a file for each family: whoever looks for one knows its name"}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports_refused(root):
    """Returns what import-linter says of a copy of the project, empty where every rule is kept."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout


@pytest.fixture
def copy(tmp_path):
    for package in ("cnnzoo", "experiments"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.skipif(
    not Path(sys.executable).with_name("lint-imports").exists(),
    reason="import-linter comes with the extra dev",
)
@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("cnnzoo/models/blocks.py", "import cnnzoo.data.images", "the library: one way down"),
        ("cnnzoo/models/registry.py", "import cnnzoo.models.catalogue", "inside models"),
        (
            "experiments/runs/train.py",
            "def _(): import experiments.reporting.page",
            "what trains never loads",
        ),
        ("experiments/tune.py", "import experiments.compare", "the commands: one way down"),
    ],
)
def test_a_forbidden_import_is_refused(copy, file, line, rule):
    with (copy / file).open("a") as opened:
        opened.write(f"\n{line}\n")
    said = imports_refused(copy)
    assert f"{rule}" in said and "BROKEN" in said


def test_no_function_is_longer_than_a_screen():
    long = {
        f"{name_of(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert long == {}


def lines_of_code(text):
    """Lines with something else than comments and docstrings on them."""
    ignored = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in ignored:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def test_no_file_has_more_code_than_one_remembers():
    counts = {name_of(path): lines_of_code(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name: count for name, count in counts.items() if count > CODE_LINES} == {}


def test_no_room_has_more_files_than_one_overlooks():
    rooms = {}
    for path in FILES:
        if path.name != "__init__.py":
            rooms.setdefault(name_of(path.parent), []).append(path.name)
    large = {room for room, files in rooms.items() if len(files) > ROOM_FILES}
    assert large == set(LARGE_ROOMS)

"""The package as users install it: a wheel in an environment of its own, away from the checkout."""

import csv
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import __main__ as command
from experiments.cli.process import to_type

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The `cnnzoo` of a fresh environment, which has the dependencies of this one and the wheel."""
    if UV is None:
        pytest.skip("uv is not installed")
    folder = tmp_path_factory.mktemp("installed")
    source, environment = folder / "source", folder / "environment"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("cnnzoo", "experiments"):  # a build leaves files beside what it builds
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    uv("build", "--wheel", "--offline", "--no-build-isolation", "--out-dir", folder, cwd=source)
    uv("venv", "--offline", "--python", sys.executable, environment)
    (wheel,) = folder.glob("*.whl")
    python = environment / "bin" / "python"
    uv("pip", "install", "--offline", "--no-deps", "--python", python, wheel)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A path alone: where this checkout is installed as editable, what says so is not read.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return environment / "bin" / "cnnzoo"


def uv(*arguments, cwd=None):
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    done = subprocess.run(
        [UV, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory, image_folder):
    """A user's folder with modules of his own that have the names of ours, and of Python's."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "experiments").mkdir()
    (folder / "cnnzoo").mkdir()
    for name in ("experiments/__init__", "experiments/run", "cnnzoo/__init__", "random", "queue", "keras"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} of the current folder was run')\n")
    shutil.copytree(image_folder, folder / "photos")
    return folder


def run(program, *arguments, folder):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [program, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_it_works_beside_files_with_the_names_of_ours(installed, folder):
    done = run(installed, "audit", "photos", folder=folder)
    assert done.returncode == 0, done.stderr
    done = run(
        installed, "compare", "--data", "photos", "--recipes", "three_conv", "--epochs", 2, folder=folder
    )
    assert done.returncode == 0, done.stderr
    with (folder / "out" / "comparison.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["recipe"], row["status"]) == ("three_conv", "ok")
    assert "Command: `cnnzoo compare --data photos" in (folder / "out" / "comparison.md").read_text()
    (model,) = (folder / "out" / "models").glob("*.keras")
    done = run(installed, "predict", model, "photos/crack", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 40
    done = run(installed, "map", model, "photos/crack/00.png", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "maps" / "map.html").exists()
    (folder / "out" / "report.html").unlink()
    done = run(installed, "report", "out", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "out" / "report.html").exists()
    code = "import cnnzoo, experiments; print(cnnzoo.__file__, experiments.__file__)"
    done = run(installed.with_name("python"), "-P", "-c", code, folder=folder)
    assert all(path.startswith(str(installed.parents[1])) for path in done.stdout.split())


def test_what_needs_a_checkout_says_so(installed, folder):
    python = installed.with_name("python")
    done = run(python, "-P", "-m", "experiments.results", folder=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "needs a checkout" in done.stderr


@pytest.fixture(autouse=True)
def environment_of_a_test(monkeypatch):
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # the command sets it for the processes that it starts


def test_every_command_has_a_name_and_help(monkeypatch, capsys):
    for name in command.COMMANDS:
        monkeypatch.setattr(sys, "argv", ["/somewhere/cnnzoo", name, "--help"])
        with pytest.raises(SystemExit) as stopped:
            command.main()
        assert stopped.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: cnnzoo {name} ")


@pytest.mark.parametrize("arguments", [[], ["compared"]])
def test_no_command_is_one_line_and_exit_code_2(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cnnzoo", *arguments])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_shown_to_type_can_be_typed(tmp_path, monkeypatch):
    program = tmp_path / "my environment" / "bin" / "cnnzoo"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert to_type("audit") == "'my environment/bin/cnnzoo' audit"
    monkeypatch.setenv("PATH", str(program.parent))
    assert to_type("audit") == "cnnzoo audit"
    monkeypatch.setattr(sys, "argv", ["/elsewhere/experiments/audit.py"])
    assert to_type("audit").endswith(" -m experiments.audit")

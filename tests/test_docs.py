"""What README.md and results/ say is what the records say."""

import re
from pathlib import Path

import pytest

import cnnzoo
from experiments.recipes import RECIPES
from experiments.report import write_report

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METU = ROOT / "results" / "metu_half"


def table_lines(text):
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_the_committed_results_are_what_their_records_give(tmp_path):
    (tmp_path / "runs.jsonl").write_bytes((METU / "runs.jsonl").read_bytes())
    write_report(tmp_path)
    for name in ("comparison.csv", "comparison.md"):
        assert (tmp_path / name).read_text() == (METU / name).read_text(), (
            f"python -m experiments.report {METU}"
        )


def test_the_readme_shows_the_committed_table():
    lines = table_lines((METU / "comparison.md").read_text(encoding="utf-8"))
    assert len(lines) > 5
    assert "\n".join(lines) in README


@pytest.mark.parametrize("name", RECIPES)
def test_the_readme_lists_every_recipe(name):
    assert f"| `{name}` |" in README


def test_the_readmes_library_example_runs(image_folder, tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL).group(1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(image_folder)
    # The same lines on fewer pixels and epochs, to be quick.
    code = code.replace("160", "32").replace("epochs=5", "epochs=1")
    exec(compile(code, "README.md", "exec"), {})
    classifier = cnnzoo.load_model("model.keras")
    assert classifier.class_names == ("crack", "plain")
    assert classifier.model.input_shape == (None, 32, 32, 3)

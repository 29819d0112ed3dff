"""What README.md and results/ say is what the records say."""

import re
from pathlib import Path

import pytest
from parity import OURS, models

import cnnzoo
from cnnzoo.models.catalogue import model_info
from experiments.models import HEADER, table_row
from experiments.recipes import published as recipes
from experiments.recipes.published import RECIPES
from experiments.reporting.comparison import Comparison
from experiments.reporting.results_page import render
from experiments.reporting.tables.csv_table import write_csv
from experiments.reporting.tables.markdown import markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METU = ROOT / "results" / "metu_half"


def table_lines(text):
    return [line for line in text.splitlines() if line.startswith("| ")]


def committed(name):
    return Comparison.of([METU / name])


@pytest.mark.parametrize("name", ["grouped", "random", "few_labels"])
def test_the_committed_tables_are_what_their_records_give(name, tmp_path):
    comparison = committed(name)
    write_csv(tmp_path / "comparison.csv", comparison)
    command = f"python -m experiments.report {METU / name}"
    assert (tmp_path / "comparison.csv").read_text() == (METU / name / "comparison.csv").read_text(), command
    assert markdown(comparison) == (METU / name / "comparison.md").read_text(), command


def test_the_text_of_the_results_is_what_their_records_give():
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert render() == text, "python -m experiments.results"


def test_the_readme_shows_the_committed_table_and_what_it_concludes():
    text = (METU / "grouped" / "comparison.md").read_text(encoding="utf-8")
    lines = table_lines(text)
    assert len(lines) > 5
    assert "\n".join(lines) in README
    assert text.splitlines()[0] in README


@pytest.mark.parametrize("row", committed("grouped").rows, ids=lambda row: row.name)
def test_a_recipes_docstring_quotes_the_committed_accuracy(row):
    assert f"test {row.average('test_accuracy'):.4f}" in getattr(recipes, row.name).__doc__


@pytest.mark.parametrize("name", RECIPES)
def test_the_readme_lists_every_recipe(name):
    assert f"| `{name}` |" in README


def test_the_readmes_table_of_models_names_them_all():
    table = README.partition("## The models")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == OURS
    assert "\n".join(HEADER) in table


@pytest.mark.parametrize("name", models())
def test_a_models_line_in_the_readme_is_the_registrys(name):
    assert table_row(model_info(name)) in README, "python -m experiments.models"


def test_the_readmes_library_examples_run(image_folder, tmp_path, monkeypatch):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(image_folder)
    # The same lines on fewer pixels and epochs, to be quick.
    code = code.replace("160", "48").replace("epochs=5", "epochs=1")
    exec(compile(code, "README.md", "exec"), {})
    classifier = cnnzoo.load_model("model.keras")
    assert classifier.class_names == ("crack", "plain")
    assert classifier.model.input_shape == (None, 48, 48, 3)

"""What README.md, docs/ and results/ say is what records and code say, and their links lead somewhere."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from parity import OURS, models

import cnnzoo
from cnnzoo.evaluation.adapting import adapted
from cnnzoo.evaluation.calibration import Decision, decide, with_temperature
from cnnzoo.models.catalogue import model_info
from experiments.benchmarks.rows import latest, read_measurements
from experiments.models import HEADER, table_row
from experiments.recipes import published as recipes
from experiments.recipes.published import RECIPES
from experiments.reporting.comparison import Comparison
from experiments.reporting.tables.csv_table import write_csv
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.tables.results_page import render
from experiments.runs.predictions import read_verdicts

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METU = ROOT / "results" / "metu_half"
DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
LINKED = ["README.md", "CONTRIBUTING.md", "results/README.md", *(f"docs/{name}" for name in DOCS)]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")


def table_lines(text):
    return [line for line in text.splitlines() if line.startswith("| ")]


def committed(name):
    return Comparison.of([METU / name])


@pytest.mark.parametrize("name", ["grouped", "random", "few_labels", "frozen_once"])
def test_the_committed_tables_are_what_their_records_give(name, tmp_path):
    comparison = committed(name)
    write_csv(tmp_path / "comparison.csv", comparison)
    command = f"python -m experiments.report {METU / name}"
    assert (tmp_path / "comparison.csv").read_text() == (METU / name / "comparison.csv").read_text(), command
    assert markdown(comparison) == (METU / name / "comparison.md").read_text(), command


def test_the_text_of_the_results_is_what_their_records_give():
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert render() == text, "python -m experiments.results"


def test_the_text_on_speed_says_what_the_last_benchmarks_measured():
    measured = latest(read_measurements(ROOT / "results" / "benchmarks"))
    rows = {row.name: row for part in measured for row in part.rows}
    text = DOCS["speed.md"].split("## How near the limit it is")[1].split("\n## ")[0]
    for how in ("by their epochs", "with frozen layers computed once"):
        assert f"{rows[f'the 5 public recipes, {how}'].ratio:.2f} times" in text
    trained = rows["crack_net: 10 epochs, from the start of the process"]
    tested = rows["crack_net: accuracy on 2,000 test images"]
    for said in (
        f"{trained.rival:,.0f} s",
        f"{trained.value:,.0f} s",
        f"{tested.rival:.4f}",
        f"{tested.value:.4f}",
    ):
        assert said in text
    for name in ("three_conv", "crack_net", "resnet50_128"):
        assert f"{100 * rows[f'{name}: training all layers'].share:.0f} %" in text


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
def test_the_page_of_recipes_lists_every_recipe(name):
    assert f"| `{name}` |" in DOCS["recipes.md"]


def test_the_page_of_models_names_them_all():
    table = DOCS["models.md"]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == OURS
    assert "\n".join(HEADER) in table


@pytest.mark.parametrize("name", models())
def test_a_models_line_on_the_page_of_models_is_the_registrys(name):
    assert table_row(model_info(name)) in DOCS["models.md"], "python -m experiments.models"


def rounded(value):
    """Yields every fraction in a record as a page writes it."""
    if isinstance(value, float):
        yield from (f"{value:.3f}", f"{value:.4f}")
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from rounded(inner)


def test_the_examples_of_the_page_on_the_report_are_measured():
    pages = [
        ROOT / "results" / "README.md",
        METU / "grouped" / "comparison.md",
        METU / "grouped" / "report.html",
    ]
    text = " ".join(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")) for page in pages)
    measured = set(re.findall(r"\d[\d.,]*\d", text))
    for line in (METU / "grouped" / "runs.jsonl").read_text(encoding="utf-8").splitlines():
        measured.update(rounded(json.loads(line)))
    quoted = set(re.findall(r"\b\d\.\d{3,4}\b|\b\d{1,2},\d{3}\b", DOCS["report.md"]))
    assert len(quoted) > 25
    assert quoted <= measured


def test_the_api_pages_are_of_every_public_name():
    assert sorted(re.findall(r"^::: cnnzoo\.(\w+)$", DOCS["library.md"], re.MULTILINE)) == sorted(
        cnnzoo.__all__
    )


def test_every_option_of_compare_is_explained():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.compare", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    options = set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help"}
    assert len(options) > 10
    assert options <= set(
        re.findall(r"--[a-z-]+", DOCS["own-images.md"].partition("## Options of compare")[2])
    )


def test_the_library_examples_run_and_learn(image_folder, tmp_path, monkeypatch):
    first, second = (
        re.findall(r"```python\n(.*?)```", text, re.DOTALL) for text in (README, DOCS["library.md"])
    )
    assert len(first) == 1 and len(second) > 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(image_folder)
    (tmp_path / "photo.jpg").symlink_to(image_folder / "crack" / "00.png")
    # The same lines on fewer pixels, to be quick.
    exec(compile("\n".join(first + second).replace("160", "48"), "README.md", "exec"), {})
    classifier = cnnzoo.load_model("model.keras")
    assert classifier.class_names == ("crack", "plain")
    assert classifier.model.input_shape == (None, 48, 48, 3)
    files = sorted(image_folder.rglob("*.png"))
    right = [answer.class_name == answer.path.parent.name for answer in cnnzoo.predict(classifier, files)]
    assert sum(right) > 0.9 * len(files)


def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text):
    """Returns what a link may name in a page: its headings as code hosts and mkdocs write them, its API."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    slugs = {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}
    return slugs | set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def broken_links(page, text):
    for target in LINK.findall(without_code(text)):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            yield target


@pytest.mark.parametrize("name", LINKED)
def test_links_lead_to_files_and_headings(name):
    assert not list(broken_links(ROOT / name, (ROOT / name).read_text(encoding="utf-8")))


def test_a_link_that_leads_nowhere_is_found():
    text = (
        "[a](missing.md) [b](#no-heading) [c](README.md#quick-start) [d](README.md#slow-start) [e](LICENSE)"
    )
    assert list(broken_links(ROOT / "README.md", text)) == [
        "missing.md",
        "#no-heading",
        "README.md#slow-start",
    ]


@pytest.mark.parametrize("name", [name for name, text in DOCS.items() if "<!-- include" in text])
def test_what_a_page_includes_is_there(name):
    text = hooks().included(DOCS[name])
    assert len(text) > len(DOCS[name]) and "<!-- include" not in text


@pytest.mark.skipif(not importlib.util.find_spec("mkdocs"), reason="mkdocs comes with the extra docs")
def test_the_pages_build_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert 'id="cnnzoo.fit"' in (site / "library" / "index.html").read_text(encoding="utf-8")
    for page in site.rglob("*.html"):
        sources = re.findall(r'<img [^>]*src="(?!https?:|data:)([^"]+)"', page.read_text(encoding="utf-8"))
        assert all((page.parent / source).is_file() for source in sources)


@pytest.mark.parametrize("number", range(9))
def test_adapted_accuracy_in_the_records_follows_from_the_predictions_beside_them(number):
    folder = ROOT / "results/surfaces/ablation"
    record = json.loads((folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()[number])
    result, names = record["result"], record["data"]["class_names"]
    decision = Decision(result["temperature"], "Positive", sound=result["sound"])
    for name, scores in result["others"].items():
        (file,) = (folder / "predictions").glob(f"*-{record['identity'][:8]}-{name}.csv")
        seen = read_verdicts(file, names)
        calibrated = with_temperature(seen.probabilities, decision.temperature)
        said = decide(calibrated, names, adapted(decision, calibrated, names))
        assert (said == seen.labels).mean() == pytest.approx(scores["adapted"]["accuracy"])

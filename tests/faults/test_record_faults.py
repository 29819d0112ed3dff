"""runs.jsonl and the files of runs: damaged, edited, gone or swapped."""

import copy
import json
import os
import random
import shutil
from dataclasses import replace

import pytest

from experiments.cli.process import exit_code
from experiments.report import main as report
from experiments.reporting.charts.draw import draw_figures
from experiments.reporting.comparison import Comparison
from experiments.reporting.next_steps import model_file as saved_model
from experiments.reporting.page import page
from experiments.reporting.tables.csv_table import write_csv
from experiments.reporting.tables.latex import latex
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.tables.terminal import print_table
from experiments.runs.dispatch import still_whole
from experiments.runs.left import facts_of, model_file, needed
from experiments.runs.records import MOST_BYTES, RUNS_FILE, append_record, read_records, to_json
from experiments.runs.spec import OtherFacts
from tests.reporting.test_verdict import run, with_mistakes

DEEP = "[" * 100_000
# Lines of JSON, or nearly, that are no record.
NO_RECORDS = [
    b"[]", b"5", b"null", b'"x"', b"true", b"{}", b"[{}]", b"NaN", b"-Infinity", b"1e999", b"{",
    b'{"identity"',
    DEEP.encode(), b'{"a":' * 50_000, b"9" * 10_000, b"\xff\xfe\x00", b"\x00\x00", b'"\\ud800"', 
    b"\xef\xbb\xbf{}",
    b'{"version": 2}', b'{"version": null}', b'{"version": "1"}', b'{"identity": 1, "identity": "x"}',
    b"ok", b"\x1b[2J",
]  # fmt: skip
HOSTILE = [
    None, [], {}, "x", "", -1, 0, 2.5, True, float("nan"), float("inf"), 1e308, 10**400, 10**18, "\ud800",
    "\x00",
    "../../etc/passwd", "a/b", "\x1b[2J<script>", "x" * 5000, [[]], [1, 2, 3], {"a": {}},
    json.loads("[" * 200 + "]" * 200),
]  # fmt: skip


def whole_record(folder):
    """A finished run with all that a record may have, and its predictions."""
    made = run(folder, "three_conv", with_mistakes(3, 4, 5), seed=0)
    other = {"images": 10, "accuracy": 0.9, "auroc": None, "recall": {"Negative": 1.0, "Positive": 0.8}}
    point = {"wanted_recall": 0.9, "threshold": 0.4, "test_recall": 0.9, "test_precision": 0.8}
    result = replace(
        made.result,
        others={"wall": other},
        robustness={"none": [0.9], "blur": [0.9, 0.8, 0.7, 0.6, 0.5]},
        operating_point=point,
    )
    data = replace(made.data, positive="Positive", others={"wall": OtherFacts("wall", "f", {"Negative": 10})})
    config = {
        "config": {"phases": [{"epochs": 3, "optimizer": "adam", "learning_rate": 0.1}]},
        "pretrained": True,
    }
    return replace(made, data=data, result=result, config={**made.config, **config})


def places(values, place=()):
    """Every place in what a JSON file holds."""
    yield place
    inner = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for key, value in inner:
        yield from places(value, (*place, key))


def changed(values, place, value):
    """The same with one place replaced, or gone where the value is `...`."""
    values = copy.deepcopy(values)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return values


def hostile_records(record):
    """A line for each place of a record and each value that does not belong there."""
    values = json.loads(to_json(record))
    for place in list(places(values))[1:]:
        for value in [*HOSTILE, ...]:
            yield json.dumps(changed(values, place, value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one whole run."""
    out = tmp_path_factory.mktemp("out")
    append_record(out, whole_record(out))
    return out


def test_lines_that_are_no_records_are_passed_over_by_number(folder, tmp_path, record_property):
    """A line of runs.jsonl that is no record is passed over with its number, and costs no other line."""
    whole = (folder / RUNS_FILE).read_bytes()
    (tmp_path / RUNS_FILE).write_bytes(whole + b"\n".join(NO_RECORDS) + b"\r\n" + whole)
    said = []
    assert len(read_records(tmp_path, said.append)) == 2
    numbers = [text.partition(": ")[0].rpartition(" ")[2] for text in said]
    assert numbers == [str(number) for number in range(2, 2 + len(NO_RECORDS))]
    assert all(text.isprintable() and len(text) < 1000 for text in said)
    record_property("tried", len(NO_RECORDS))


def test_records_with_anything_at_any_place_are_refused_or_shown(folder, tmp_path, capsys, record_property):
    """Whatever stands at a place of a record, it is passed over by its number or shown; no report ends."""
    (record,) = read_records(folder)
    lines = list(hostile_records(record))
    (tmp_path / RUNS_FILE).write_text("".join(line + "\n" for line in lines))
    said = []
    read = read_records(tmp_path, said.append)
    assert len(read) + len(said) == len(lines)
    for found in random.Random(0).sample(read, 6):
        (tmp_path / RUNS_FILE).write_text(to_json(found) + "\n")
        comparison = Comparison.of([tmp_path])
        write_csv(tmp_path / "comparison.csv", comparison)
        print_table(comparison, tmp_path)
        assert markdown(comparison) and latex(comparison)
    record_property("tried", len(lines))


@pytest.mark.slow
# A name of thousands of letters leaves a chart no room; matplotlib says so, and draws it.
@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
def test_records_with_anything_at_any_place_end_no_page_and_no_figure(folder, tmp_path, record_property):
    """Whatever stands at a place of a record, the page and every figure are drawn without it or with it."""
    (record,) = read_records(folder)
    lines = random.Random(1).sample(list(hostile_records(record)), 100)
    good = to_json(replace(record, recipe="b", identity="b"))
    for line in lines:
        (tmp_path / RUNS_FILE).write_text(f"{line}\n{good}\n")
        comparison = Comparison.of([tmp_path])
        assert page(comparison, draw_figures(tmp_path / "figures", comparison))
    record_property("tried", len(lines))


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "unreadable", "a line of 40 MB", "empty"])
def test_a_runs_file_that_is_none_is_one_line(kind, tmp_path, capsys):
    """A runs.jsonl that is a folder, a pipe, a broken link, unreadable, vast or empty is said in one line."""
    file = tmp_path / RUNS_FILE
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to(tmp_path / "nowhere")
    elif kind == "unreadable":
        file.symlink_to("/proc/self/mem")
    else:
        file.write_bytes(b"" if kind == "empty" else b"[" * (2 * MOST_BYTES + 8_000_000))
    assert exit_code(lambda: report([str(tmp_path)])) == 2
    said = capsys.readouterr().err.splitlines()
    assert RUNS_FILE in said[-1] and len(said) == (2 if "line" in kind else 1)


# The files that a run leaves.


def leave(out, record):
    """Leaves a model beside the predictions, and returns the record with what is in both."""
    (out / "models").mkdir(exist_ok=True)
    model = model_file(record.run_name, record.identity)
    (out / model).write_bytes(f"model {record.identity}".encode() * 100)
    return replace(record, files=facts_of(out, [model, f"predictions/{record.predictions_file()}"]))


@pytest.fixture
def two_runs(tmp_path):
    """A folder with two whole runs, as `compare` leaves it."""
    for recipe, wrong in (("first", (3, 5)), ("second", range(3, 90))):
        append_record(tmp_path, leave(tmp_path, run(tmp_path, recipe, with_mistakes(*wrong))))
    return tmp_path


def delete(file, other):
    file.unlink()


def cut(file, other):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file, other):
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)


def swap(file, other):
    shutil.copy(other, file)


def empty(file, other):
    file.write_bytes(b"")


def folder_instead(file, other):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [delete, cut, flip, swap, empty, folder_instead])
@pytest.mark.parametrize("place", ["models", "predictions"])
def test_files_of_a_run_that_are_gone_or_changed_are_said_and_made_again(two_runs, damage, place):
    """A model or predictions that are gone, cut off, swapped or changed in one bit are said, made again by
    `compare`, and not used by the report.
    """
    first, second = read_records(two_runs)
    file = next(name for name in needed(first.files) if name.startswith(place))
    other = next(name for name in needed(second.files) if name.startswith(place))
    damage(two_runs / file, two_runs / other)
    said = []
    whole = still_whole([first, second], [first, second], two_runs, lambda text, **_: said.append(text))
    assert whole == [second]
    assert len(said) == 1 and file in said[0]
    comparison = Comparison.of([two_runs])
    assert file in " ".join(comparison.notes["first"])
    assert not any("not as its runs left it" in note for note in comparison.notes["second"])
    assert [bool(row.predictions) for row in comparison.rows] == [place == "models", True]
    assert [bool(saved_model(row)) for row in comparison.rows] == [place == "predictions", True]


def test_a_record_can_name_no_file_outside_its_folder(two_runs, record_property):
    """A record of somebody else's can name no file outside its folder to be read or shown."""
    first, _ = read_records(two_runs)
    facts = next(iter(first.files.values()))
    tried = [
        replace(first, identity="../../x"),
        replace(first, name="/etc/passwd"),
        replace(first, recipe="../x"),
        replace(first, name="a\nb"),
        replace(first, files={"/etc/passwd": facts}),
        replace(first, files={"models/../../x": facts}),
        replace(first, data=replace(first.data, fingerprint="../")),
    ]
    (two_runs / RUNS_FILE).write_text("".join(to_json(each) + "\n" for each in tried))
    said = []
    assert read_records(two_runs, said.append) == [] and len(said) == len(tried)
    record_property("tried", len(tried))

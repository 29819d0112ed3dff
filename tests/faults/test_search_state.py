"""A search whose files are damaged."""

import json
import random
import shutil
from dataclasses import asdict, replace

import pytest

from cnnzoo.errors import InputError
from cnnzoo.files import sha256_of
from experiments.recipes.lookup import for_model
from experiments.runs.child import ask
from experiments.runs.sides import DataRequest
from experiments.search import report
from experiments.search.journal import Journal
from experiments.search.oracles import make_oracle
from experiments.search.records import TRIALS_FILE, TrialRecord, TrialResult, append_trial, read_trials
from experiments.search.space import declared
from experiments.search.spec import Search, SearchRequest
from experiments.search.start import _check_same_search
from experiments.search.tuner import TrialTuner
from tests.faults.test_record_faults import HOSTILE, changed, places

# keras-tuner's own.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:(currentThread|getName)\(\) is deprecated:DeprecationWarning", "ignore:.*:ResourceWarning"
)

DAMAGE = {
    "empty": b"",
    "torn": None,
    "a list": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "an object": b"{}",
    "a number": b"5",
    "deep": b"[" * 100_000,
    "no text": b"\xff\x00\xfe",
    "gone": "gone",
    "a folder": "a folder",
}


def damage(path, kind):
    data, done = path.read_bytes(), DAMAGE[kind]
    path.unlink()
    if done == "a folder":
        path.mkdir()
    elif done != "gone":
        path.write_bytes(data[: len(data) // 2] if done is None else done)


RECIPE = json.loads(json.dumps(asdict(for_model("three_conv"))))


def tuner(out, trials=3):
    """A search of three_conv in a folder, new or gone on with; its trials take no time."""
    journal = Journal(out, trials=trials)
    oracle = make_oracle(
        "random", declared("three_conv", pretrained=False), journal, trials=trials, epochs=1, seed=0
    )
    search = Search(
        model="three_conv", epochs=1, pretrained=False, seed=0, weights={}, manifest=out / "m.json",
        sides=out / "s.json", out=out, minutes=1,
    )  # fmt: skip
    made = TrialTuner(oracle, search, ask)
    result = {
        "val_loss": 0.5, "val_accuracy": 0.9, "epochs": 1, "best_epoch": 0, "train_seconds": 1.0,
        "total_params": 9, "trainable_params": 9, "peak_memory_mb": 1.0,
    }  # fmt: skip
    made._outcome = lambda trial: {"status": "ok", "environment": {}, "result": result, "recipe": RECIPE}
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("search")
    (out / "search").mkdir()
    _check_same_search(out, {"model": "three_conv"})
    tuner(out).search()
    assert len(read_trials(out)) == 3
    return out


@pytest.fixture
def out(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("file", ["search/oracle.json", "search/trial_1/trial.json"])
def test_a_damaged_state_is_a_line(out, file, kind):
    """A search whose state is damaged is refused by a line that names the folder and the way out."""
    damage(out / file, kind)
    with pytest.raises(InputError, match=r"state of the search is damaged.*choose another folder"):
        tuner(out)


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_settings_are_a_line(out, kind):
    """A folder that no longer says which search it holds is refused: never is one mixed with another."""
    damage(out / "search" / "settings.json", kind)
    with pytest.raises(InputError, match="choose another"):
        _check_same_search(out, {"model": "three_conv"})


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if kind != "a folder"])
def test_a_trial_without_a_record_runs_again(out, kind, capsys):
    """A trial whose record is gone or damaged runs again, and the others do not."""
    lines = (out / TRIALS_FILE).read_bytes().splitlines(keepends=True)
    part = out / "part"
    part.write_bytes(lines[1])
    damage(part, kind)
    lost = part.read_bytes() if part.exists() else b""
    (out / TRIALS_FILE).write_bytes(lines[0] + lost.rstrip(b"\n") + b"\n" + lines[2])
    again = tuner(out)
    assert "1 trials run again" in capsys.readouterr().err
    again.search()
    records = read_trials(out)
    assert [record.number for record in records] == [1, 2, 3]
    assert all(record.ok for record in records)
    assert len((out / TRIALS_FILE).read_bytes().splitlines()) == 4


def test_the_search_goes_on_where_keras_tuners_own_file_is_gone(out):
    """A search goes on, and trains no trial twice, where the file is gone by which keras-tuner goes."""
    (out / "search" / "tuner0.json").unlink()
    before = (out / TRIALS_FILE).read_bytes()
    tuner(out).search()
    assert (out / TRIALS_FILE).read_bytes() == before


def finished(number, loss=0.5):
    """The record of a trial that finished."""
    result = TrialResult(loss, 0.9, 1, 1, 1.0, 9, 9, 1.0)
    values = {"learning_rate": 0.1 / (number + 1), "dropout": 0.1 * number}
    return TrialRecord(str(number), number + 1, "ok", "", "", 1.0, values, RECIPE, {}, result)


def test_lines_that_are_no_trials_are_passed_over(tmp_path, capsys):
    """A line of a search's records that is none is passed over, and the others are read."""
    record = finished(0)
    for line in (b"[]", b"5", b"null", b"{", b"\xff", b"[" * 100_000, b'{"trial": 1}', b"NaN", b""):
        with (tmp_path / TRIALS_FILE).open("ab") as file:
            file.write(line + b"\n")
    append_trial(tmp_path, record)
    assert json.loads((tmp_path / TRIALS_FILE).read_bytes().splitlines()[-1])["trial"] == "0"
    assert read_trials(tmp_path) == [record]


def test_trials_with_anything_at_any_place_end_no_report(tmp_path, monkeypatch, record_property):
    """Whatever stands at a place of a trial's record, it is passed over or shown; no report ends."""
    monkeypatch.setattr(report, "write_hparams", lambda *_: None)  # TensorFlow's, a second each
    # Drawing is what takes time: a value that reaches it may stand at these places alone.
    drawn = []
    monkeypatch.setattr(report, "draw_search", lambda path, records: drawn.append(records))
    (tmp_path / "figures").mkdir()
    request = SearchRequest("three_conv", DataRequest("x", tmp_path))
    values = asdict(finished(0, 0.1))
    cases = [(place, value) for place in list(places(values))[1:] for value in [*HOSTILE, ...]]
    others = "".join(json.dumps(asdict(finished(number))) + "\n" for number in (1, 2))
    tried = random.Random(0).sample(cases, 100)
    for place, value in tried:
        (tmp_path / TRIALS_FILE).write_text(f"{json.dumps(changed(values, place, value))}\n{others}")
        assert report.report(request) in (0, 1)
        assert {record.number for record in read_trials(tmp_path)} >= {2, 3}
    assert len(drawn) == len(tried)
    record_property("tried", len(tried))


def test_records_of_a_search_that_is_not_there_are_mixed_with_no_other(out):
    """Where the state of a search is gone and its records are not, no other search is mixed with them."""
    shutil.rmtree(out / "search")
    before = (out / TRIALS_FILE).read_bytes()
    for model in ("three_conv", "another"):
        with pytest.raises(InputError, match="choose another"):
            _check_same_search(out, {"model": model})
    assert (out / TRIALS_FILE).read_bytes() == before


def test_a_folder_in_place_of_the_records_is_a_line_before_any_trial(out):
    """What has the name of a search's records and is no file is a line, before a trial is trained."""
    damage(out / TRIALS_FILE, "a folder")
    with pytest.raises(InputError, match=f"{TRIALS_FILE}: no file; move it away"):
        tuner(out)


@pytest.mark.parametrize("at", ["before", "while"])
@pytest.mark.parametrize("kind", ["empty", "null", "swapped", "gone"])
def test_inputs_that_change_end_a_search_and_cost_no_trial(tmp_path, kind, at):
    """Files that trials read, changed while a search runs, end it with a line; no trial counts as failed."""
    (tmp_path / "search").mkdir()
    sides = tmp_path / "sides.json"
    sides.write_text('{"train": [0, 1], "validation": [2]}')
    made = tuner(tmp_path)
    made.plan = replace(made.plan, inputs={str(sides): sha256_of(sides)})

    def change():
        if kind == "swapped":
            sides.write_text('{"train": [2], "validation": [0, 1]}')
        elif sides.exists():
            damage(sides, kind)

    if at == "before":
        change()
    outcome = made._outcome
    made._outcome = lambda trial: (change(), outcome(trial))[1]
    with pytest.raises(InputError, match=r"sides\.json: changed or gone"):
        made.search()
    assert read_trials(tmp_path) == []
    tuner(tmp_path).search()
    assert [record.ok for record in read_trials(tmp_path)] == [True] * 3

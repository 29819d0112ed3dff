"""A search whose files are damaged."""

import json
import shutil

import pytest

from cnnzoo.errors import InputError
from experiments.search.journal import Journal
from experiments.search.oracles import make_oracle
from experiments.search.records import TRIALS_FILE, TrialRecord, append_trial, read_trials
from experiments.search.space import declared
from experiments.search.spec import Search
from experiments.search.start import _check_same_search
from experiments.search.workers import TrialTuner

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
    made = TrialTuner(oracle, search)
    result = {
        "val_loss": 0.5, "val_accuracy": 0.9, "epochs": 1, "best_epoch": 0, "train_seconds": 1.0,
        "total_params": 9, "trainable_params": 9, "peak_memory_mb": 1.0,
    }  # fmt: skip
    made._outcome = lambda trial: {"status": "ok", "environment": {}, "result": result, "recipe": {}}
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


def test_lines_that_are_no_trials_are_passed_over(tmp_path, capsys):
    """A line of a search's records that is none is passed over, and the others are read."""
    record = TrialRecord("0", 1, "ok", "", "", 1.0, {}, {}, {})
    for line in (b"[]", b"5", b"null", b"{", b"\xff", b"[" * 100_000, b'{"trial": 1}', b"NaN", b""):
        with (tmp_path / TRIALS_FILE).open("ab") as file:
            file.write(line + b"\n")
    append_trial(tmp_path, record)
    assert json.loads((tmp_path / TRIALS_FILE).read_bytes().splitlines()[-1])["trial"] == "0"
    assert read_trials(tmp_path) == [record]

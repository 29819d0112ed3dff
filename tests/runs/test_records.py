from dataclasses import replace

import pytest

from cnnzoo.errors import InputError
from cnnzoo.training.config import Epoch
from experiments.runs.records import (
    VERSION,
    RunRecord,
    RunResult,
    append_record,
    from_json,
    kept_epoch,
    latest_records,
    read_records,
    to_json,
)
from experiments.runs.spec import DataFacts

EPOCH = Epoch(
    phase=0,
    epoch=0,
    loss=0.5,
    accuracy=0.75,
    val_loss=0.4,
    val_accuracy=0.8,
    seconds=2.5,
    validation_seconds=0.5,
)
NUMBERS = dict.fromkeys(
    (name for name in RunResult.__dataclass_fields__ if name not in ("history", "per_class", "confusion")), 1
) | {"operating_point": None, "others": {}, "robustness": {}, "phase_start_seconds": [3.0]}
RESULT = RunResult(**NUMBERS, history=[EPOCH], per_class={"a|é": {"recall": 1.0}}, confusion=[[1, 0], [0, 1]])
RECORD = RunRecord(
    identity="1234",
    recipe="three_conv",
    model="three_conv",
    seed=0,
    status="ok",
    weights="random",
    started="2026-01-01T00:00:00+00:00",
    command="python",
    demonstration=False,
    config={},
    data=DataFacts(class_names=("a|é", "line\nbreak")),
    environment={},
    result=RESULT,
)


def test_a_record_survives_being_written_and_read():
    line = to_json(RECORD)
    assert "\n" not in line
    assert from_json(line) == RECORD
    failed = replace(RECORD, result=None, status="failed: out of memory")
    assert from_json(to_json(failed)) == failed
    assert not failed.ok


def test_a_torn_line_costs_that_line_alone(tmp_path):
    append_record(tmp_path, RECORD)
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write(to_json(RECORD)[:100])
    append_record(tmp_path, replace(RECORD, seed=1))
    assert [record.seed for record in read_records(tmp_path)] == [0, 1]


def test_fields_of_a_later_version_are_ignored():
    assert from_json(to_json(RECORD)[:-1] + ', "brand_new": 1}') == RECORD


def test_a_retried_failure_is_replaced_by_what_came_of_it():
    failed = replace(RECORD, status="failed: killed", result=None)
    assert latest_records([failed, RECORD]) == [RECORD]


def test_a_folder_without_runs_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"experiments\.compare"):
        read_records(tmp_path)


def test_a_record_of_a_newer_version_is_passed_over_with_a_word(tmp_path):
    append_record(tmp_path, RECORD)
    append_record(tmp_path, replace(RECORD, seed=1, version=VERSION + 1))
    said = []
    assert [record.seed for record in read_records(tmp_path, said.append)] == [0]
    assert len(said) == 1
    assert f"line 2: passed over: a record of version {VERSION + 1}, which a newer cnnzoo wrote" in said[0]


def test_a_whole_line_that_is_no_record_is_passed_over_with_a_word(tmp_path):
    append_record(tmp_path, RECORD)
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write(to_json(RECORD).replace('"seed": 0', '"seed": "zero"') + "\n")
    said = []
    assert len(read_records(tmp_path, said.append)) == 1
    assert "seed" in said[0]


def test_the_kept_epoch_is_the_best_of_the_last_phase_or_its_last():
    losses = [(0, 0.1), (1, 0.4), (1, 0.3), (1, 0.5)]
    history = [replace(EPOCH, phase=phase, val_loss=loss) for phase, loss in losses]
    best, last = history[2], history[3]
    assert kept_epoch(history, {"config": {"phases": [{"keep": "last"}, {}]}}) == best
    assert kept_epoch(history, {"config": {"phases": [{}, {"keep": "last"}]}}) == last
    for damaged in ({}, {"config": None}, {"config": {"phases": [3]}}, {"config": {"phases": [{}, 3]}}):
        assert kept_epoch(history, damaged) == best

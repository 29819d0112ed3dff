"""The command `bench`: its table, its records, its baseline, and what a part is asked."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cnnzoo.data.manifest import build_manifest
from cnnzoo.errors import InputError
from experiments import bench
from experiments.benchmarks import table
from experiments.benchmarks.baseline import Baseline
from experiments.benchmarks.clock import Lap, Timing, in_turns
from experiments.benchmarks.images import first_images, linked
from experiments.benchmarks.parts import pipeline, start, time_to_accuracy, ultralytics
from experiments.benchmarks.registry import PARTS, Request, unsaid
from experiments.benchmarks.rows import Measurement, Row, append_measurement, latest, read_measurements
from experiments.benchmarks.run import measure_part
from experiments.cli.process import exit_code

GROUPED = Path(__file__).parents[2] / "results" / "metu_half" / "grouped"
MACHINE = {"device": "CPU", "processor": "one", "cores": 2, "memory_gib": 23.5, "system": "Linux"}


def row(name="fast", value=300.0, **values):
    return Row(name, value, "images/s", **values)


def seconds(name, value):
    return Row(name, value, "s", less_is_better=True)


def measurement(*rows, part="training", environment=MACHINE):
    return Measurement(part, "cpu", "2026-11-26T15:00:00+00:00", "cnnzoo bench", 60, environment, rows)


def request(out, **values):
    return replace(Request("synthetic", 8, ("three_conv",), {}, out), **values)


def test_a_ratio_above_one_is_better_whatever_the_unit():
    assert row(rival=100.0, limit=600.0).ratio == 3 and row(limit=600.0).share == 0.5
    seconds = Row("run", 20.0, "s", rival=60.0, limit=5.0, less_is_better=True)
    assert (seconds.ratio, seconds.share) == (3, 0.25)
    assert row(rival=0.0).ratio is None and row(value=None, rival=1.0).ratio is None


def test_things_are_done_in_turns_and_the_warm_up_is_not_timed():
    done = []
    times = in_turns({name: lambda name=name: done.append(name) for name in ("a", "b")}, rounds=2)
    assert done == ["a", "b"] * 3
    assert set(times) == {"a", "b"}


def test_a_timing_is_the_median_and_says_how_far_the_laps_lie_apart():
    timing = Timing.of([Lap(2.0, 2.0), Lap(1.0, 2.0), Lap(1.0, 1.6)])
    assert (timing.seconds, timing.noise) == (1.0, 1.0)
    assert timing.cores == pytest.approx(1.4)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234 s"), (123.4, "123 s"), (12.345, "12.3 s"), (0.012345, "0.0123 s"), (0, "0 s")],
)
def test_amounts_have_three_digits(value, text):
    assert table.amount(value, "s") == text


def test_an_accuracy_has_four_digits():
    assert table.amount(0.9977) == "0.9977"


def test_what_was_measured_is_appended_and_the_last_of_each_part_counts(tmp_path):
    first, other, again = measurement(row()), measurement(row(), part="start"), measurement(row(value=400.0))
    for one in (first, other, again):
        append_measurement(tmp_path, one)
    assert read_measurements(tmp_path) == [first, other, again]
    assert latest(read_measurements(tmp_path)) == [again, other]


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing\.jsonl: No such file"):
        read_measurements(tmp_path / "missing.jsonl")
    (tmp_path / "benchmarks.jsonl").write_text('{"part": 1}\n')
    with pytest.raises(InputError, match=r"benchmarks\.jsonl, line 1: no measurement"):
        read_measurements(tmp_path)


def test_the_table_has_machine_rows_and_reasons():
    failed = Row("resnet50", None, "", note="killed | by *signal* 9")
    text = table.markdown([measurement(row(rival=100.0, rival_name="plain Keras"), failed)])
    assert "| fast | 300 images/s | 3.00 | plain Keras 100 images/s |  |" in text
    assert r"killed \| by \*signal* 9" in text
    assert "CPU, one, 2 cores, 23.5 GiB" in text and "`cnnzoo bench`" in text
    assert "limit" not in text.partition("| measured")[2].partition("\n")[0]  # nobody has one


def test_a_baseline_names_what_is_worse_by_more_than_its_rounds_differ():
    before = [measurement(row("a"), row("b"), row("c", noise=0.3), seconds("d", 1.0))]
    now = measurement(
        row("a", 330.0), row("b", 200.0), row("c", 240.0), Row("d", 2.0, "s", less_is_better=True)
    )
    baseline = Baseline(before)
    assert baseline.change(now, now.rows[0]) == pytest.approx(1.1)
    (said,) = baseline.sentences([now])
    assert said.endswith("d (training): 0.50 times and b (training): 0.67 times.")
    assert Baseline(before).sentences(before) == [
        "None of 4 rows is worse than in the baseline by more than its rounds differ."
    ]


def test_on_another_machine_the_ratios_to_the_rival_are_compared():
    before = measurement(row(rival=100.0), row("alone"), environment=MACHINE | {"processor": "another"})
    now = measurement(row(value=150.0, rival=50.0), row("alone", 10.0))
    baseline = Baseline([before])
    assert baseline.change(now, now.rows[0]) == 1.0
    assert baseline.change(now, now.rows[1]) is None
    assert "another machine" in baseline.sentences([now])[-1]


def test_images_are_linked_by_class(image_folder):
    manifest = first_images(build_manifest(image_folder, progress=False), 3)
    with linked(manifest) as folder:
        links = sorted(folder.rglob("*.png"))
        assert [link.parent.name for link in links] == ["crack"] * 3 + ["plain"] * 3
        assert links[0].read_bytes() == (image_folder / "crack" / "00.png").read_bytes()
    assert not folder.exists()


def test_seconds_until_an_accuracy_are_those_of_the_records(tmp_path):
    recipes = ("crack_net", "three_conv")
    rows = list(time_to_accuracy.measure(request(tmp_path, runs=(GROUPED,), recipes=recipes), unsaid))
    lines = (GROUPED / "runs.jsonl").read_text().splitlines()
    results = {r["seed"]: r["result"] for r in map(json.loads, lines) if r["recipe"] == "crack_net"}
    expected = []
    for result in results.values():
        accuracies = [epoch["val_accuracy"] for epoch in result["history"]]
        until = next(i for i, accuracy in enumerate(accuracies) if accuracy >= 0.99)
        expected.append(sum(epoch["seconds"] for epoch in result["history"][: until + 1]))
    assert rows[0].value == pytest.approx(sorted(expected)[len(expected) // 2])
    assert len(rows) == 4 and rows[3].value is None and "not reached" in rows[3].note


def test_a_start_is_timed_by_what_its_process_tells():
    timeline = start.Timeline(begun=time.perf_counter() - 5)
    timeline.heard({"event": "stage", "text": "training"})
    timeline.heard({"event": "progress", "phase": 0, "step": 0})
    timeline.heard({"event": "progress", "phase": 0, "step": 1})
    timeline.begun -= 10  # ten seconds later
    for event in ({"phase": 0, "step": 2}, {"phase": 1, "step": 0}):
        timeline.heard({"event": "progress", **event})
    assert timeline.first_batch == {0: pytest.approx(5, abs=1)}
    assert timeline.phases == {0: pytest.approx(5, abs=1), 1: pytest.approx(15, abs=1)}


def test_a_command_has_seconds_and_memory_or_says_how_it_ended(tmp_path):
    seconds, memory = start.command_rows("help", ["experiments.models", "--help"])
    assert 0 < seconds.value < 60 and 5 < memory.value < 500
    with pytest.raises(InputError, match="exit code 2"):
        list(start.command_rows("models", ["experiments.models", "--no-such-option"]))


@pytest.mark.slow
def test_the_start_of_a_run_is_measured_beside_plain_keras(image_folder, tmp_path):
    rows = {
        row.name: row for row in start.measure(request(tmp_path, data=str(image_folder), limit=40), unsaid)
    }
    first, second = (rows[f"three_conv: process to its {nth} batch"] for nth in ("first", "second"))
    assert 0 < first.value < second.value and 0 < first.rival < second.rival
    assert rows["compare three_conv: again, with its run already made"].value > 0
    assert rows["three_conv: peak memory"].value > 100


def test_a_package_that_is_missing_is_a_row_with_the_way_out(tmp_path):
    with pytest.raises(InputError, match="can't import no_such_package: pip install"):
        ultralytics.check_importable(Path(sys.executable), "no_such_package")
    measured = measure_part(PARTS["ultralytics"], request(tmp_path, python=tmp_path / "python"), "")
    (only,) = measured.rows
    assert only.value is None and "--python" in only.note and "No such file" in only.note


def test_the_command_measures_writes_and_compares(image_folder, tmp_path, capsys):
    out, before = tmp_path / "out", tmp_path / "before"
    before.mkdir()
    append_measurement(before, measurement(row("augmentation: flip", 1e9), part="pipeline"))
    options = ["--data", str(image_folder), "--limit", "8", "--only", "pipeline", "--baseline", str(before)]
    assert bench.main([*options, "--out", str(out)]) == 0
    (measured,) = read_measurements(out)
    assert measured.environment["tensorflow"] and len(measured.rows) > len(pipeline.KINDS)
    assert all(row.value > 0 for row in measured.rows)
    assert "augmentation: noise" in (out / "benchmarks.md").read_text()
    said = capsys.readouterr().out
    assert "augmentation: noise" in said and "baseline" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "trainin"], "near: training"),
        (["--only", "pipeline", "--device", "gpu"], "no part 'pipeline' for --device gpu"),
        (["--limit", "0"], "--limit 0"),
        (["--python", "missing"], "--python missing: no such file"),
        (["--baseline", "missing"], "missing: No such file"),
        (["--recipes", "three"], "three_conv"),
    ],
)
def test_what_cannot_be_asked_is_one_line(options, said, tmp_path, capsys):
    assert exit_code(lambda: bench.main([*options, "--out", str(tmp_path / "out")])) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not (tmp_path / "out").exists()

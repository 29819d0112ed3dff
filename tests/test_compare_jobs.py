"""Several runs at a time and rounds of a budget, as a user types them."""

import csv
import os

import pytest

from experiments.runs.records import read_records
from tests.test_compare import command

pytestmark = pytest.mark.slow


def table(folder):
    with (folder / "out" / "comparison.csv").open(newline="") as file:
        return {row["recipe"]: row for row in csv.DictReader(file)}


def test_runs_side_by_side_share_cores_and_images_and_one_that_fails_is_a_row(image_folder, tmp_path):
    (tmp_path / "broken.h5").write_text("not HDF5")
    arguments = ["experiments.compare", "--data", image_folder, "--epochs", 1, "--seeds", "0,1"]
    arguments += ["--recipes", "mobilenet_v2_160,three_conv", "--weights", "mobilenet_v2=broken.h5"]
    done = command(*arguments, "--jobs", 2, folder=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "shared by the runs" in done.stdout
    assert "three_conv-seed0: epoch 1: " in done.stderr
    records = read_records(tmp_path / "out")
    assert {record.at_once for record in records} == {2}
    cores = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {record.environment["cores"] for record in records if record.ok} == {cores}
    assert sorted(record.recipe for record in records if record.ok) == ["three_conv", "three_conv"]
    assert "broken.h5" in table(tmp_path)["mobilenet_v2_160"]["status"]
    assert "runs went 2 at a time (--jobs)" in (tmp_path / "out" / "comparison.md").read_text()
    # With another number at a time nothing that is finished is made again.
    again = command(*arguments, folder=tmp_path)
    assert "three_conv-seed1: already done" in again.stdout
    added = read_records(tmp_path / "out")[len(records) :]
    assert [(record.recipe, record.at_once) for record in added] == [("mobilenet_v2_160", 1)] * 2


def test_a_budget_ends_the_worst_untested_and_goes_on_where_it_was(image_folder, tmp_path):
    arguments = ["experiments.compare", "--data", image_folder, "--recipes", "three_conv,crack_net,lenet5"]
    arguments += ["--epochs", 3, "--budget", 30, "--jobs", 2]
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    records = read_records(tmp_path / "out")
    assert [record.round.number for record in records] == [0, 0, 0, 1, 1, 1, 2, 2]
    tested = {record.recipe for record in records if record.ok}
    second = {record.recipe: record for record in records if record.round.number == 1}
    losses = {name: min(epoch.val_loss for epoch in record.history) for name, record in second.items()}
    (lost,) = set(losses) - tested
    assert losses[lost] == max(losses.values())
    assert {record.recipe for record in records if record.files} == tested
    assert not list((tmp_path / "out" / "predictions").glob(f"{lost}-*"))
    assert table(tmp_path)[lost]["status"].startswith("ended early by --budget 30 after 3 epochs: validation")
    assert f"{lost} was ended early" in (tmp_path / "out" / "comparison.md").read_text()
    again = command(*arguments, folder=tmp_path)
    assert again.returncode == 0 and read_records(tmp_path / "out") == records


def test_the_results_are_those_of_one_run_at_a_time_bit_for_bit(image_folder, tmp_path):
    found = []
    for jobs in (1, 2):
        arguments = [
            "--recipes",
            "three_conv,crack_net",
            "--epochs",
            2,
            "--jobs",
            jobs,
            "--out",
            f"jobs{jobs}",
        ]
        done = command("experiments.compare", "--data", image_folder, *arguments, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        found.append(
            {
                record.identity: [
                    *((epoch.loss, epoch.val_loss, epoch.val_accuracy) for epoch in record.result.history),
                    record.result.test_loss,
                    record.result.confusion,
                    [facts for file, facts in record.files.items() if file.startswith("predictions/")],
                ]
                for record in read_records(tmp_path / f"jobs{jobs}")
            }
        )
    assert found[0] == found[1]

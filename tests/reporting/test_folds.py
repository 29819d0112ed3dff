"""Folds of a recipe and seed are one row, over all images."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import make_rows
from experiments.reporting.tables.csv_table import csv_row
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.write import write_comparison
from tests.reporting.test_verdict import run

FOLDS = 4


def fold(folder, recipe, number, right, *, seed=0, **numbers):
    """The run that tests one fold; its images have names of their own."""
    made = run(folder, recipe, right, seed=seed, left_out=f"{number}-", **numbers)
    before = folder / "predictions" / made.predictions_file()
    split = replace(made.data.split, left_out="", fold=number, folds=FOLDS, leaked=number)
    made = replace(
        made, identity=f"{recipe}{seed}fold{number}", name="", data=replace(made.data, split=split)
    )
    before.rename(folder / "predictions" / made.predictions_file())
    return made


def folds(folder, recipe, shares, *, seed=0, **numbers):
    rng = np.random.default_rng(seed)
    return [
        fold(folder, recipe, number, rng.random(200 + 20 * number) < share, seed=seed, **numbers)
        for number, share in enumerate(shares, 1)
    ]


def test_folds_are_one_row_of_all_images(tmp_path):
    records = [
        *folds(tmp_path, "a", [0.9, 0.95, 0.9, 0.97], train_seconds=10.0),
        *folds(tmp_path, "a", [0.9, 0.95, 0.9, 0.97], seed=1, train_seconds=20.0),
    ]
    (row,) = make_rows(records, None, tmp_path)
    assert row.name == "a"
    assert row.results[0].test_images == sum(200 + 20 * number for number in range(1, 5)) == 1000
    assert [len(seed.paths) for seed in row.predictions] == [1000, 1000]
    found = [accuracy_score(seed.labels, seed.decided) for seed in row.predictions]
    assert row.average("test_accuracy") == pytest.approx(np.mean(found))
    assert row.deviation("test_accuracy") == pytest.approx(np.std(found, ddof=1))
    together = np.concatenate([seed.labels for seed in row.predictions])
    decided = np.concatenate([seed.decided for seed in row.predictions])
    assert row.class_score("Positive", "recall") == pytest.approx(recall_score(together, decided))
    low, high = row.interval
    assert low < row.average("test_accuracy") < high
    assert row.average("train_seconds") == 15
    line = csv_row(row, row.class_names)
    assert (line["seeds"], line["folds"], line["test_images"]) == ("0,1", 4, 1000)


def test_the_verdict_is_of_all_images_and_says_how_they_were_tested(tmp_path):
    records = [*folds(tmp_path, "a", [0.97] * 4), *folds(tmp_path, "b", [0.9] * 4)]
    comparison = Comparison(tuple(make_rows(records, None, tmp_path)))
    (verdict,) = comparison.verdicts
    assert verdict.chosen.name == "a"
    assert "on 1,000 test images" in verdict.sentence
    text = markdown(comparison)
    assert "4 folds" in text, text
    assert "each image tested once" in text
    assert "500 images (" in text
    write_comparison(tmp_path, comparison)
    assert "4 folds" in (tmp_path / "report.html").read_text()


def test_a_failed_fold_is_said_and_the_others_stand(tmp_path):
    *good, bad = folds(tmp_path, "a", [0.9] * 4)
    (row,) = make_rows([*good, replace(bad, status="failed: out of memory", result=None)], None, tmp_path)
    assert row.status == "1 of 4 failed: out of memory"
    assert row.results[0].test_images == 720
    assert row.predictions == ()
    assert row.interval is not None


def test_thresholds_of_each_fold_decide_its_images(tmp_path):
    point = {"wanted_recall": 0.9, "test_recall": 1.0, "test_precision": 0.5}
    records = [
        replace(
            made,
            data=replace(made.data, positive="Positive"),
            result=replace(made.result, operating_point={**point, "threshold": threshold}),
        )
        for made, threshold in zip(folds(tmp_path, "a", [0.9] * 4), [0.0, 1.1, 0.0, 1.1], strict=True)
    ]
    (row,) = make_rows(records, None, tmp_path)
    (seed,) = row.predictions
    assert [set(seed.decided[seed.folds == number]) for number in range(4)] == [{1}, {0}, {1}, {0}]
    assert row.operating("threshold") == pytest.approx(0.55)

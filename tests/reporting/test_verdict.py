"""The sentence that people quote, from records and predictions that the test makes; nothing is trained."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cnnzoo.data.sources import synthetic
from experiments.reporting import sentences as markup
from experiments.reporting.charts.row import row_charts
from experiments.reporting.charts.shared import learning_curves
from experiments.reporting.comparison import Comparison
from experiments.reporting.mistakes import Decisions
from experiments.reporting.page import SHARED_CURVES
from experiments.reporting.rows import make_rows
from experiments.reporting.tables.csv_table import csv_row
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.verdict import verdicts
from experiments.reporting.write import write_report
from experiments.runs.records import append_record
from experiments.runs.spec import OtherFacts
from tests.reporting.test_report import record

NAMES = ["Negative", "Positive"]
IMAGES = 1000


def run(folder, recipe, right, *, seed=0, groups=None, train_size=None, network=None, **numbers):
    """A finished run whose verdicts on `IMAGES` test images are right where `right` says so."""
    made = record(recipe, seed)
    split = replace(made.data.split, train_size=train_size)
    images = {side: dict.fromkeys(NAMES, 50) for side in ("train", "validation", "test")}
    if train_size:
        images["train"] = dict.fromkeys(NAMES, train_size // 2)
    costs = {"ms_per_image_32": 2.0, "train_seconds": 100.0, "total_params": 1_000_000, "auroc": None}
    result = replace(
        made.result, test_images=len(right), test_accuracy=float(np.mean(right)), **{**costs, **numbers}
    )
    made = replace(
        made,
        identity=f"{recipe}-{seed}-{train_size}",
        config={**made.config, "model": network or recipe},
        data=replace(made.data, class_names=tuple(NAMES), images=images, split=split),
        result=result,
    )
    labels = np.arange(len(right)) % 2
    (folder / "predictions").mkdir(exist_ok=True)
    with (folder / "predictions" / made.predictions_file()).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group", "actual", "predicted", "p_Negative", "p_Positive"])
        for i, (label, good) in enumerate(zip(labels, right, strict=True)):
            predicted = label if good else 1 - label
            group = i if groups is None else groups[i]
            writer.writerow([f"{i}.jpg", group, NAMES[label], NAMES[predicted], 1 - predicted, predicted])
    return made


def with_mistakes(*wrong):
    right = np.ones(IMAGES, bool)
    right[list(wrong)] = False
    return right


def rows_of(folder, *records):
    return make_rows(records, None, folder)


def compared(folder, *records):
    return Comparison(tuple(rows_of(folder, *records)))


def judged(folder, *records):
    return verdicts(rows_of(folder, *records))


def test_a_clear_winner_is_taken_with_the_reason(tmp_path):
    records = [
        run(tmp_path, "good", with_mistakes(*range(5))),
        run(tmp_path, "bad", with_mistakes(*range(3, 70)), ms_per_image_32=0.1),
        run(tmp_path, "worse", with_mistakes(*range(200, 300)), ms_per_image_32=0.1),
    ]
    (verdict,) = judged(tmp_path, *records)
    assert verdict.chosen.name == "good"
    assert verdict.sentence.startswith("Take good: accuracy 0.9950 (")
    assert "the next, bad, has 6.20 percentage points less (p < 0.001)" in verdict.sentence
    assert verdict.sentence in markdown(compared(tmp_path, *records))


def test_of_recipes_that_cannot_be_told_apart_the_cheapest_is_taken(tmp_path):
    (verdict,) = judged(
        tmp_path,
        run(tmp_path, "best", with_mistakes(1, 2, 3), ms_per_image_32=9.0),
        run(tmp_path, "fast", with_mistakes(4, 5, 6, 7), ms_per_image_32=2.0, train_seconds=500.0),
        run(tmp_path, "as_fast", with_mistakes(8, 9, 10, 11), ms_per_image_32=2.2, train_seconds=50.0),
        run(tmp_path, "bad", with_mistakes(*range(100, 180)), ms_per_image_32=0.1),
    )
    assert verdict.chosen.name == "as_fast"
    assert "best, fast and as_fast can't be told apart on 1,000 test images" in verdict.sentence
    assert "Take as_fast, the cheapest of those that can't be told from the best" in verdict.sentence
    assert "Worse than best: bad by 7.70 percentage points (p < 0.001)." in verdict.sentence


def test_one_network_costs_the_same_however_it_was_trained_and_timed(tmp_path):
    long, short = {"train_seconds": 500.0}, {"train_seconds": 50.0}
    (verdict,) = judged(
        tmp_path,
        run(tmp_path, "tuned", with_mistakes(1), network="net", ms_per_image_32=2.0, **long),
        run(tmp_path, "frozen", with_mistakes(2, 3), network="net", ms_per_image_32=3.0, **short),
    )
    assert verdict.chosen.name == "frozen"
    assert "3.00 ms" not in verdict.sentence


def test_a_single_recipe_is_compared_with_nothing(tmp_path):
    (verdict,) = judged(tmp_path, run(tmp_path, "only", with_mistakes(1, 2)))
    assert verdict.sentence.startswith("Only only was tested: accuracy 0.9980 (")
    assert "nothing to compare" in verdict.sentence


def test_p_values_are_mcnemars_corrected_by_holm(tmp_path):
    rng = np.random.default_rng(0)
    rights = [rng.random(IMAGES) < share for share in (0.95, 0.93, 0.9)]
    (verdict,) = judged(tmp_path, *(run(tmp_path, f"r{i}", right) for i, right in enumerate(rights)))
    by_name = {f"r{i}": right for i, right in enumerate(rights)}
    expected = []
    for pair in verdict.pairs:
        a, b = by_name[pair.first.name], by_name[pair.second.name]
        table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
        expected.append(mcnemar(table, exact=True).pvalue)
        assert pair.difference == pytest.approx(a.mean() - b.mean())
    assert [pair.p for pair in verdict.pairs] == pytest.approx(expected)
    corrected = multipletests(expected, method="holm")[1]
    assert [pair.corrected for pair in verdict.pairs] == pytest.approx(corrected)


def test_mistakes_on_one_photograph_count_once(tmp_path):
    """Twenty discordant tiles decide between independent images, but not if one photograph has them all."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    groups = [0 if i < 20 else i for i in range(IMAGES)]
    for folder, numbers in ((alone, None), (together, groups)):
        folder.mkdir()
        (verdict,) = judged(
            folder,
            run(folder, "a", with_mistakes(), groups=numbers),
            run(folder, "b", with_mistakes(*range(20)), groups=numbers),
        )
        assert verdict.pairs[0].apart == (folder is alone)


def test_a_difference_of_one_lucky_seed_decides_nothing(tmp_path):
    many = with_mistakes(*range(60))
    records = [run(tmp_path, "a", with_mistakes(1, 2), seed=0), run(tmp_path, "a", many, seed=1)]
    records += [run(tmp_path, "b", many, seed=seed) for seed in (0, 1)]
    (verdict,) = judged(tmp_path, *records)
    assert verdict.pairs[0].p < 0.05
    assert not verdict.pairs[0].apart


def test_runs_with_fewer_training_images_make_a_learning_curve_and_no_verdict(tmp_path):
    records = [
        run(tmp_path, "a", with_mistakes(*range(100)), train_size=20),
        run(tmp_path, "a", with_mistakes(*range(50)), train_size=60),
        run(tmp_path, "a", with_mistakes(*range(10))),
    ]
    (verdict,) = judged(tmp_path, *records)
    assert [row.name for row in verdict.rows] == ["a"]
    (curve,) = learning_curves(rows_of(tmp_path, *records)).values()
    assert [row.images("train") for row in curve] == [20, 60, 100]


def test_the_report_draws_what_the_predictions_show(tmp_path):
    robust = {"none": [0.99], "blur": [0.9, 0.8, 0.7, 0.6, 0.5], "noise": [0.9, 0.9, 0.9, 0.8, 0.7]}
    for each in (
        run(tmp_path, "a", with_mistakes(*range(50)), train_size=60),
        run(tmp_path, "a", with_mistakes(*range(10)), robustness=robust),
    ):
        append_record(tmp_path, each)
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    for name in ("learning_curve", "robustness", "reliability", "abstention"):
        assert (tmp_path / "figures" / f"{name}.svg").is_file()
        assert SHARED_CURVES[name] in page


def test_without_predictions_there_is_a_table_but_no_verdict(tmp_path):
    made = run(tmp_path, "a", with_mistakes(1))
    (tmp_path / "predictions" / made.predictions_file()).unlink()
    assert judged(tmp_path, made) == []
    assert "0.9990" in markdown(compared(tmp_path, made))


def test_a_demonstration_recommends_too_and_says_what_it_is(tmp_path):
    made = run(tmp_path, "a", with_mistakes(1))
    assert "demonstration" not in markdown(compared(tmp_path, made))
    shown = markdown(compared(tmp_path, replace(made, demonstration=True)))
    assert shown.startswith("A demonstration on drawn tiles of 64 pixels")
    assert "`cnnzoo compare --data DIR`" in shown
    assert "Only a was tested" in shown


def test_the_tile_of_the_notice_is_that_of_the_drawing():
    assert markup.TILE == synthetic.TILE


def test_what_is_worse_than_one_of_the_best_is_not_among_them(tmp_path):
    first, second, third = range(9), range(100, 110), range(100, 119)
    (verdict,) = judged(
        tmp_path,
        run(tmp_path, "a", with_mistakes(*first)),
        run(tmp_path, "b", with_mistakes(*second), ms_per_image_32=1.0),
        run(tmp_path, "c", with_mistakes(*third), ms_per_image_32=0.1),
    )
    assert verdict.chosen.name == "b"
    assert "a and b can't be told apart" in verdict.sentence
    assert "Worse than b: c by 0.90 percentage points" in verdict.sentence


def test_one_seed_is_said_to_be_one(tmp_path):
    one = [run(tmp_path, "a", with_mistakes(1)), run(tmp_path, "b", with_mistakes(2, 3))]
    assert "--seeds 0,1,2" in judged(tmp_path, *one)[0].sentence
    more = [run(tmp_path, r.recipe, with_mistakes(4), seed=1) for r in one]
    assert "--seeds" not in judged(tmp_path, *one, *more)[0].sentence


def test_another_option_is_no_other_seed(tmp_path):
    before, after = run(tmp_path, "a", with_mistakes(1)), run(tmp_path, "a", with_mistakes(1, 2))
    (row,) = rows_of(tmp_path, before, replace(after, identity="other"))
    assert [record.identity for record in row.records] == ["other"]


def test_another_data_set_named_test_hides_no_column(tmp_path):
    made = run(tmp_path, "a", with_mistakes(1))
    others = {"test": {"accuracy": 0.5, "auroc": 0.5, "images": 2}}
    made = replace(
        made,
        data=replace(made.data, others={"test": OtherFacts(fingerprint="x")}),
        result=replace(made.result, others=others),
    )
    (row,) = rows_of(tmp_path, made)
    values = csv_row(row, NAMES, ["test"])
    assert values["test_accuracy"] == pytest.approx(0.999)
    assert values["also_test_accuracy"] == 0.5


def test_the_precision_curve_of_a_weak_model_lies_within_its_axes(tmp_path):
    from matplotlib.figure import Figure

    weak = run(tmp_path, "weak", with_mistakes(*range(300)))
    weak = replace(weak, data=replace(weak.data, positive="Positive"))
    (row,) = rows_of(tmp_path, weak)
    figure = Figure()
    row_charts(Decisions(row))["precision"](figure)
    (axes,) = figure.axes
    # 150 of 500 of each class are wrong: precision and recall are 0.7.
    assert axes.get_xlim()[0] < 0.7 > axes.get_ylim()[0]

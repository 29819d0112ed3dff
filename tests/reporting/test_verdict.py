"""The sentence that people quote, from records and predictions that the test makes; nothing is trained."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cnnzoo.data.sources import synthetic
from experiments.reporting import sentences as markup
from experiments.reporting.charts.row import row_charts
from experiments.reporting.charts.shared import learning_curves, shared_curves
from experiments.reporting.comparison import Comparison
from experiments.reporting.mistakes import Decisions
from experiments.reporting.page import SHARED_CURVES
from experiments.reporting.rows import make_rows
from experiments.reporting.tables.csv_table import csv_row
from experiments.reporting.tables.latex import latex
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.tables.terminal import print_table
from experiments.reporting.verdict import verdicts, working
from experiments.reporting.write import summary, write_comparison, write_report
from experiments.runs.records import append_record, ended_early, latest_records
from experiments.runs.spec import OtherFacts, Round
from tests.reporting.test_report import record
from tests.runs.test_records import EPOCH

NAMES = ["Negative", "Positive"]
IMAGES = 1000


def run(
    folder, recipe, right, *, seed=0, groups=None, train_size=None, network=None, labels=None, left_out="",
    **numbers,
):  # fmt: skip
    """A finished run whose verdicts on its test images are right where `right` says so."""
    made = record(recipe, seed)
    split = replace(made.data.split, train_size=train_size, left_out=left_out)
    labels = np.arange(len(right)) % 2 if labels is None else np.array(labels)
    best = np.where(right, labels, 1 - labels)
    images = {side: dict.fromkeys(NAMES, 50) for side in ("train", "validation")}
    images["test"] = {name: int((labels == i).sum()) for i, name in enumerate(NAMES)}
    if train_size:
        images["train"] = dict.fromkeys(NAMES, train_size // 2)
    costs = {"ms_per_image_32": 2.0, "train_seconds": 100.0, "total_params": 1_000_000, "auroc": None}
    result = replace(
        made.result,
        test_images=len(right),
        test_accuracy=float(np.mean(right)),
        confusion=confusion_matrix(labels, best, labels=[0, 1]).tolist(),
        **{**costs, **numbers},
    )
    made = replace(
        made,
        identity=f"{recipe}-{seed}-{train_size}{left_out}",
        config={**made.config, "model": network or recipe},
        data=replace(made.data, class_names=tuple(NAMES), images=images, split=split),
        result=result,
    )
    (folder / "predictions").mkdir(exist_ok=True)
    with (folder / "predictions" / made.predictions_file()).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group", "actual", "predicted", "p_Negative", "p_Positive"])
        for i, (label, predicted) in enumerate(zip(labels, best, strict=True)):
            group = i if groups is None else groups[i]
            writer.writerow(
                [f"{left_out}{i}.jpg", group, NAMES[label], NAMES[predicted], 1 - predicted, predicted]
            )
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
    assert verdict.sentence.startswith(
        "Recommended: good, significantly more accurate than every other recipe: 0.9950 ("
    )
    assert "The next, bad, scores 6.20 percentage points lower (p < 0.001)." in verdict.sentence
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
    assert verdict.sentence.startswith(
        "No significant difference on 1,000 test images between best, fast and as_fast (p = 1.00 against best"
    )
    assert "Recommended: as_fast, the cheapest recipe statistically on par with the best" in verdict.sentence
    assert "Significantly worse than best: bad by 7.70 percentage points (p < 0.001)." in verdict.sentence


def test_one_network_is_as_fast_however_it_was_trained_and_its_row_says_what_was_measured(tmp_path):
    long, short = {"train_seconds": 500.0}, {"train_seconds": 50.0}
    (verdict,) = judged(
        tmp_path,
        run(tmp_path, "tuned", with_mistakes(1), network="net", ms_per_image_32=2.0, **long),
        run(tmp_path, "frozen", with_mistakes(2, 3), network="net", ms_per_image_32=3.0, **short),
    )
    assert verdict.chosen.name == "frozen"
    assert "best: accuracy 0.9980 (" in verdict.sentence
    assert "3.00 ms per image, 50.0 s of training" in verdict.sentence
    assert "takes 2.00 ms per image, 8 min 20 s of training" in verdict.sentence
    assert "Both are the same network" in verdict.sentence


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
    assert shown.startswith("A demonstration on synthetic concrete, tiles of 64 pixels")
    assert "alone" not in shown.splitlines()[0]
    own = replace(made, recipe="own", identity="own")
    shown = markdown(compared(tmp_path, replace(made, demonstration=True), own))
    assert "That is said of a alone." in shown.splitlines()[0]
    assert "`cnnzoo compare --data DIR --out compared`" in shown
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
    assert "between a and b (p = 1.00 against a, Holm-corrected)" in verdict.sentence
    assert "Significantly worse than b: c by 0.90 percentage points" in verdict.sentence


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


def on_a_wall(made, **scores):
    return replace(
        made,
        data=replace(made.data, others={"wall": OtherFacts(fingerprint="x")}),
        result=replace(made.result, others={"wall": {"accuracy": 0.5, "images": 4, **scores}}),
    )


def test_adapted_accuracy_is_a_column_of_all_seeds_or_of_none(tmp_path):
    first, second = run(tmp_path, "a", with_mistakes(1)), run(tmp_path, "a", with_mistakes(2), seed=1)
    fitted = [on_a_wall(first, adapted={"accuracy": 0.75}), on_a_wall(second, adapted={"accuracy": 0.5})]
    comparison = Comparison(rows_of(tmp_path, *fitted))
    assert csv_row(comparison.rows[0], NAMES, ["wall"])["also_wall_adapted_accuracy"] == 0.625
    assert "wall, adapted |" in markdown(comparison) and "| 0.6250 |" in markdown(comparison)
    # A record of an earlier version beside one of today: no mean of other seeds than the plain one's.
    comparison = Comparison(rows_of(tmp_path, fitted[0], on_a_wall(second)))
    assert csv_row(comparison.rows[0], NAMES, ["wall"])["also_wall_adapted_accuracy"] is None
    assert "adapted" not in markdown(comparison)


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


RARE = [1] * 20 + [0] * 620  # 20 of 640 test images are Positive
ALWAYS_NEGATIVE = [label == 0 for label in RARE]


def test_a_recipe_that_never_predicts_a_class_is_never_recommended_and_every_table_says_so(tmp_path, capsys):
    useful = [i % 16 != 0 for i in range(len(RARE))]  # 0.9375, less than answering Negative always: 0.9688
    for made in (
        run(tmp_path, "constant", ALWAYS_NEGATIVE, labels=RARE, ms_per_image_32=0.1),
        run(tmp_path, "useful", useful, labels=RARE),
    ):
        append_record(tmp_path, made)
    comparison = write_report(tmp_path)
    (verdict,) = comparison.verdicts
    assert verdict.chosen.name == "useful"
    said = "never predicts Positive; always answering Negative would score 0.9688"
    assert f"Not usable: constant {said.replace('; ', ' (')})." in verdict.sentence
    assert verdict.sentence.count("lways answering Negative would score 0.9688") == 1
    assert "That is no less than the accuracy of useful." in verdict.sentence
    (alone,) = judged(tmp_path, run(tmp_path, "useful", useful, labels=RARE))
    assert (
        "Always answering Negative would score 0.9688, no less than the accuracy of useful" in alone.sentence
    )
    print_table(comparison, tmp_path)
    written = [(tmp_path / name).read_text() for name in ("comparison.md", "comparison.tex", "report.html")]
    for text in (*written, capsys.readouterr().out):
        assert said in " ".join(text.split())
    assert "0.9688*" in latex(comparison)
    assert csv_row(comparison.rows[0], NAMES)["never_predicted"] == "Positive"
    told = summary(comparison, tmp_path)
    assert told["rows"][0]["never_predicted"] == ["Positive"]
    assert told["rows"][0]["majority_accuracy"] == pytest.approx(620 / 640)
    assert told["verdicts"][0]["recommended"] == "useful"
    assert told["verdicts"][0]["never_predict_a_class"] == ["constant"]


def test_where_no_recipe_predicts_every_class_none_is_recommended(tmp_path):
    (verdict,) = judged(tmp_path, run(tmp_path, "a", ALWAYS_NEGATIVE, labels=RARE))
    assert verdict.chosen is None
    assert verdict.sentence.startswith("No recipe can be recommended: a never predicts Positive")


@pytest.mark.parametrize(("accuracy", "works"), [(0.5, ["a"]), (0.3, [])])
def test_of_many_classes_one_may_be_missed_where_every_recipe_misses_one(accuracy, works):
    made = record("a", classes=3, accuracy=accuracy)
    missed = replace(made, result=replace(made.result, confusion=[[40, 10, 0], [10, 40, 0], [25, 25, 0]]))
    assert [row.name for row in working(make_rows([missed]))] == works
    whole = record("b", classes=3, accuracy=0.2)
    assert [row.name for row in working(make_rows([missed, whole]))] == ["b"]


def test_a_seed_that_collapsed_is_counted(tmp_path):
    made = [
        run(tmp_path, "a", [True] * len(RARE), labels=RARE, seed=0),
        run(tmp_path, "a", ALWAYS_NEGATIVE, labels=RARE, seed=1),
    ]
    (notes,) = compared(tmp_path, *made).notes.values()
    assert notes[0].startswith(
        "1 of 2 seeds never predicts Positive: trained too briefly or on too few images"
    )


def test_the_csv_has_the_precision_of_all_seeds_together_as_the_page(tmp_path):
    right = [np.arange(len(RARE)) % 4 > 0, ALWAYS_NEGATIVE]
    made = [run(tmp_path, "a", each, labels=RARE, seed=seed) for seed, each in enumerate(right)]
    (row,) = rows_of(tmp_path, *made)
    line = csv_row(row, NAMES)
    for scores in Decisions(row).class_report[:2]:
        for score in ("precision", "recall", "f1"):
            assert line[f"{score}_{scores.name}"] == pytest.approx(getattr(scores, score))


def test_too_few_images_for_a_reliability_curve_leave_it_out(tmp_path):
    made = run(tmp_path, "a", with_mistakes(3)[:8])
    rows = rows_of(tmp_path, made)
    assert "reliability" not in row_charts(Decisions(rows[0]))
    assert "reliability" not in shared_curves(rows)


def test_a_temperature_that_makes_the_error_larger_is_said_not_to_help(tmp_path):
    made = run(tmp_path, "a", with_mistakes(3), calibration_error_raw=0.05, calibration_error=0.07)
    append_record(tmp_path, made)
    write_report(tmp_path)
    said = "Temperature scaling did not help with so few validation images (100)."
    assert said in (tmp_path / "report.html").read_text()


def test_too_few_images_of_a_class_decide_nothing(tmp_path):
    labels = [1] * 5 + [0] * 595
    first, second = ([i != wrong for i in range(600)] for wrong in (0, 300))
    (verdict,) = judged(
        tmp_path, run(tmp_path, "a", first, labels=labels), run(tmp_path, "b", second, labels=labels)
    )
    assert verdict.chosen is None
    assert (verdict.too_few.rarest, verdict.too_few.rarest_images) == ("Positive", 5)
    assert verdict.sentence.startswith(
        "Too few images to decide between a and b: only 5 test images show Positive. What would help: "
        "about 100 images of Positive in the data, so that 10 of them are test images."
    )
    (alone,) = judged(tmp_path, run(tmp_path, "a", first, labels=labels))
    assert alone.sentence.startswith("Too few images to judge a: only 5 test images")


def test_a_wide_interval_decides_nothing_unless_a_difference_is_significant(tmp_path):
    right = {name: np.arange(60) % 12 != place for name, place in (("a", 0), ("b", 6))}
    (verdict,) = judged(tmp_path, *(run(tmp_path, name, each) for name, each in right.items()))
    low, high = verdict.too_few.interval
    assert high - low > 0.1 and verdict.too_few.rarest_images == 30
    assert f"the 95 % interval of {verdict.best.name} spans {low:.2f} to {high:.2f}" in verdict.recommendation
    assert "times as many test images" in verdict.too_few.help
    (verdict,) = judged(
        tmp_path,
        *(run(tmp_path, name, each) for name, each in right.items()),
        run(tmp_path, "c", np.arange(60) % 12 > 8),
    )
    assert verdict.too_few is None and verdict.chosen.name in ("a", "b")


def test_test_images_of_few_groups_are_said_to_be_that_wherever_the_data_are_named(tmp_path, capsys):
    records = [
        run(tmp_path, name, np.arange(78) % 13 != place, groups=np.arange(78) // 26)
        for name, place in (("a", 0), ("b", 6))
    ]
    for each in records:
        append_record(tmp_path, each)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / f"{records[0].run_name}.keras").touch()
    print_table(write_report(tmp_path), tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    counted = "the 78 test images come from 3 groups"
    why = "the 78 test images come from only 3 groups (photographs or runs of neighbouring files)"
    page, table = ((tmp_path / name).read_text() for name in ("report.html", "comparison.md"))
    for text in (said, page, table):
        assert f"Too few independent images to decide between a and b: {why} and the 95 % interval" in text
        assert "What would help: images of many more objects or places" in text
        assert counted in text
    assert "No recipe is recommended; to try the most accurate so far, a: " in said
    assert "No recipe is recommended; to try this one:" in page


def test_times_that_were_measured_beside_other_runs_say_so(tmp_path):
    alone = run(tmp_path, "alone", with_mistakes(1, 2, 3))
    beside = replace(run(tmp_path, "beside", with_mistakes(4, 5, 6)), at_once=2)
    comparison = compared(tmp_path, alone, beside)
    (said,) = [note for note in comparison.notes["beside"] if "--jobs" in note]
    assert said.startswith("runs went 2 at a time")
    assert not any("--jobs" in note for note in comparison.notes["alone"])
    different = "measured with different numbers of runs at a time"
    assert different in comparison.verdicts[0].sentence
    together = judged(tmp_path, replace(alone, at_once=2), beside)
    assert different not in together[0].sentence


def round_of(record, number, *, last):
    return replace(record, round=Round(30.0, number, last, run=record.identity))


def lost_in(folder, recipe, *histories):
    """A recipe that a budget ended, with a seed for each training, given by its validation accuracies."""
    found = []
    for seed, accuracies in enumerate(histories):
        made = run(folder, recipe, with_mistakes(1), seed=seed)
        epochs = [
            replace(EPOCH, epoch=i, val_accuracy=one, val_loss=1 - one) for i, one in enumerate(accuracies)
        ]
        lost = replace(made, status=ended_early(epochs, {}), result=None, history=epochs)
        found.append(round_of(lost, 1, last=False))
    return found


def test_the_verdict_says_that_it_rests_on_a_budget_and_who_was_ended_early(tmp_path):
    finals = [
        round_of(run(tmp_path, name, with_mistakes(*range(wrong))), 2, last=True)
        for name, wrong in (("good", 5), ("other", 60))
    ]
    # What the two of them were in the round before is no row.
    before = [
        replace(each, identity="1", status="ended early: x", result=None, round=replace(each.round, number=1))
        for each in finals
    ]
    lost = lost_in(tmp_path, "lost", (0.5, 0.7, 0.6), (0.9,))
    comparison = compared(tmp_path, *latest_records([*before, *lost, *finals]))
    assert sorted(row.name for row in comparison.rows) == ["good", "lost", "other"]
    (verdict,) = comparison.verdicts
    assert verdict.sentence.endswith(
        "This holds within a budget of 30 minutes for all recipes together (--budget); lost was ended early, "
        "by validation loss, and not tested. One seed can't show run-to-run variation; --seeds 0,1,2 can."
    )
    said = "ended early by --budget 30 after 2 epochs: validation accuracy 0.8000"
    assert comparison.notes["lost"][-1] == said
    assert {row.name: row.status for row in comparison.rows} == {"good": "ok", "other": "ok", "lost": said}
    assert "within --budget 30" in comparison.notes["good"]
    write_comparison(tmp_path, comparison)
    written = (tmp_path / "report.html").read_text()
    assert "ended early, by validation loss" in written and '<td class="bad">' not in written  # no failure
    assert not any("failed" in note for notes in comparison.notes.values() for note in notes)


def test_rows_without_a_budget_say_nothing_of_it(tmp_path):
    alone = run(tmp_path, "alone", with_mistakes(1))
    comparison = compared(tmp_path, alone, *lost_in(tmp_path, "lost", (0.5,)))
    assert "--budget" not in comparison.verdicts[0].sentence

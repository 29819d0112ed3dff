"""The verdict over surfaces that were left out of training in turn, from records that the test makes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cnnzoo.evaluation.statistics import balanced_draws, interval_over_sets
from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import make_rows
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.write import summary, write_comparison
from tests.reporting.test_verdict import run

SURFACES = ("brick", "asphalt", "plaster")


def with_accuracy(share, count=400):
    right = np.zeros(count, bool)
    right[: round(share * count / 2) * 2] = True  # every second one is of the other class
    return right


def comparison(folder, accuracies):
    made = [
        run(folder, recipe, with_accuracy(share), left_out=surface)
        for recipe, shares in accuracies.items()
        for surface, share in zip(SURFACES, shares, strict=True)
    ]
    return Comparison(tuple(make_rows(made, None, folder)))


def test_the_interval_over_surfaces_is_students_where_they_differ_more_than_their_images(tmp_path):
    found = comparison(tmp_path, {"good": (0.99, 0.70, 0.85)})
    (over,) = found.over_surfaces
    assert over.surfaces == SURFACES
    (good,) = over.recipes
    assert good.values == pytest.approx((0.99, 0.70, 0.85))
    low, high = stats.t.interval(0.95, 2, np.mean(good.values), stats.sem(good.values))
    assert good.interval == pytest.approx((max(0, low), min(1, high)))


def test_the_interval_is_that_of_the_images_where_surfaces_agree():
    low, high = interval_over_sets([0.8, 0.8, 0.8], [(0.7, 0.85)] * 3)
    assert low == pytest.approx(0.8 - 0.1 / 3**0.5)
    assert high == pytest.approx(0.8 + 0.05 / 3**0.5)


def test_a_recipe_without_a_mistake_is_not_certain(tmp_path):
    (over,) = comparison(tmp_path, {"perfect": (1.0, 1.0, 1.0)}).over_surfaces
    low, high = over.recipes[0].interval
    wilson = 1 - stats.binomtest(400, 400).proportion_ci(method="wilson").low
    assert 1 - low == pytest.approx(wilson / 3**0.5)
    assert high == 1


def test_of_several_recipes_more_is_asked(tmp_path):
    few = {"best": (0.95, 0.75, 0.85), "worse": (0.85, 0.62, 0.69)}
    many = few | {f"other{i}": (0.94, 0.76, 0.84) for i in range(6)}
    assert "worse is worse by" in comparison(tmp_path, few).conclusions[0]
    (tmp_path / "many").mkdir()
    assert "worse is worse by" not in comparison(tmp_path / "many", many).conclusions[0]


def test_a_recipe_with_other_settings_is_another(tmp_path):
    first = [run(tmp_path, "net", with_accuracy(0.9), left_out=surface) for surface in SURFACES]
    changed = [run(tmp_path, "net", with_accuracy(0.6), seed=1, left_out=name) for name in SURFACES[:2]]
    changed = [replace(each, config={**each.config, "image_size": 7}) for each in changed]
    (over,) = Comparison(tuple(make_rows([*first, *changed], None, tmp_path))).over_surfaces
    assert [each.values for each in over.recipes] == [pytest.approx((0.9, 0.9, 0.9))]


def test_draws_are_of_whole_groups_and_each_class_counts_alike():
    labels = np.array([0] * 90 + [1] * 10)
    right = np.ones((1, 100))
    right[0, 90:95] = 0  # half of the rare class
    one_group = balanced_draws(right, labels, np.zeros(100))
    assert one_group == pytest.approx(np.full(len(one_group), 0.75))
    alone = balanced_draws(right, labels, np.arange(100))
    assert alone.mean() == pytest.approx(0.75, abs=0.01)
    # Of a share of a half among ten, halved, as one of two classes.
    assert alone.std() == pytest.approx((0.25 / 10) ** 0.5 / 2, rel=0.15)


def test_a_recipe_that_is_worse_everywhere_by_as_much_is_said_to_be_worse(tmp_path):
    found = comparison(tmp_path, {"worse": (0.80, 0.61, 0.70), "good": (0.95, 0.75, 0.85)})
    (over,) = found.over_surfaces
    assert [each.recipe for each in over.recipes] == ["good", "worse"]
    apart, (low, high) = over.recipes[0].less(over.recipes[1], level=0.95)
    expected = stats.ttest_rel((0.95, 0.75, 0.85), (0.80, 0.61, 0.70)).confidence_interval()
    assert apart == pytest.approx(0.1467, abs=1e-3)
    assert low <= expected.low + 1e-9
    assert high >= expected.high - 1e-9
    assert "good has the highest balanced accuracy, 0.8500 on average" in found.conclusions[0]
    assert "worse is worse by 14.7 percentage points" in found.conclusions[0]


def test_surfaces_that_disagree_decide_nothing(tmp_path):
    found = comparison(tmp_path, {"one": (0.95, 0.60, 0.85), "two": (0.70, 0.80, 0.80)})
    said = found.conclusions[0]
    assert "3 surfaces don't decide between it and two" in said
    assert "worse" not in said


def test_every_writer_has_the_table(tmp_path):
    found = comparison(tmp_path, {"good": (0.95, 0.75, 0.85), "worse": (0.80, 0.61, 0.70)})
    assert "| good | 0.9500 | 0.7500 | 0.8500 | 0.8500 (" in markdown(found)
    assert summary(found, tmp_path)["over_surfaces"][0]["good"]["balanced_accuracy"]["asphalt"] == 0.75
    write_comparison(tmp_path, found)
    page = (tmp_path / "report.html").read_text()
    assert "Balanced accuracy, left out:" in page
    assert [row.name for row in found.rows] == [
        f"{recipe}-without-{surface}" for recipe in ("good", "worse") for surface in SURFACES
    ]


def test_a_recipe_that_lacks_a_surface_is_not_among_them(tmp_path):
    whole = [run(tmp_path, "whole", with_accuracy(0.9), left_out=surface) for surface in SURFACES]
    part = [run(tmp_path, "part", with_accuracy(0.99), left_out=surface) for surface in SURFACES[:2]]
    (over,) = Comparison(tuple(make_rows([*whole, *part], None, tmp_path))).over_surfaces
    assert [each.recipe for each in over.recipes] == ["whole"]

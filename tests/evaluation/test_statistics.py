import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from cnnzoo.evaluation import statistics
from cnnzoo.evaluation.statistics import (
    accuracy_interval,
    bootstrap_interval,
    holm,
    paired_p_value,
    wilson_interval,
)


@pytest.mark.parametrize(("right", "all_"), [(8, 10), (0, 30), (30, 30), (1993, 2001)])
def test_wilsons_interval_is_that_of_statsmodels(right, all_):
    assert wilson_interval(right, all_) == pytest.approx(proportion_confint(right, all_, method="wilson"))


def test_the_bootstrap_of_independent_images_is_the_normal_interval():
    right = np.random.default_rng(0).random((1, 3000)) < 0.9
    p = right.mean()
    half = norm.ppf(0.975) * np.sqrt(p * (1 - p) / 3000)
    assert bootstrap_interval(right, range(3000)) == pytest.approx((p - half, p + half), abs=0.002)
    assert bootstrap_interval(right, range(3000)) == bootstrap_interval(right, range(3000))


def test_groups_of_equal_images_count_once():
    once = np.random.default_rng(0).random((1, 400)) < 0.8
    copies = once.repeat(9, axis=1)
    low, high = bootstrap_interval(copies, np.arange(400).repeat(9))
    assert (low, high) == pytest.approx(bootstrap_interval(once, range(400)), abs=0.01)
    naive_low, naive_high = bootstrap_interval(copies, range(3600))
    assert high - low == pytest.approx(3 * (naive_high - naive_low), rel=0.15)


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    alike = rng.random((3, 2000)) < 0.9
    unlike = rng.random((3, 2000)) < np.array([[0.85], [0.9], [0.95]])
    widths = [np.diff(bootstrap_interval(right, range(2000)))[0] for right in (alike, unlike)]
    assert widths[1] > 2 * widths[0]


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    groups = np.arange(60).repeat(8)
    covered = []
    for _ in range(150):
        # Each group has its own share of right images, 0.8 in the mean.
        share = rng.beta(4, 1, 60).repeat(8)
        low, high = accuracy_interval((rng.random((1, 480)) < share).astype(float), groups)
        covered.append(low <= 0.8 <= high)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_one_seed_of_independent_images_gets_wilsons_interval():
    right = np.ones((1, 200))
    right[0, :7] = 0
    assert accuracy_interval(right, range(200)) == wilson_interval(193, 200)


def test_without_mistakes_the_groups_are_the_trials():
    assert accuracy_interval(np.ones((2, 100)), np.arange(100) // 5) == wilson_interval(20, 20)


def test_no_interval_is_narrower_than_wilsons():
    right = np.ones((3, 500))
    right[:, 0] = 0
    low, high = accuracy_interval(right, np.arange(500) // 2)
    wilson = wilson_interval(499, 500)
    assert low <= wilson[0] and high >= wilson[1]


@pytest.mark.parametrize("seed", range(4))
def test_independent_images_of_one_seed_get_mcnemars_exact_test(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(500) < 0.95, rng.random(500) < 0.9
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    expected = mcnemar(table, exact=True).pvalue
    assert paired_p_value(a[None].astype(float), b[None].astype(float), range(500)) == pytest.approx(expected)
    assert paired_p_value(b[None].astype(float), a[None].astype(float), range(500)) == pytest.approx(expected)


def test_copies_of_a_group_do_not_make_a_difference_surer():
    # 6 groups for the first, 1 for the second: 2 · (1 + 7) / 2⁷ by hand.
    a, b = np.array([1, 1, 1, 1, 1, 1, 0, 1.0]), np.array([0, 0, 0, 0, 0, 0, 1, 1.0])
    copies = 5
    p = paired_p_value(a.repeat(copies)[None], b.repeat(copies)[None], np.arange(8).repeat(copies))
    assert p == pytest.approx(16 / 128)
    assert paired_p_value(a[None], b[None], range(8)) == pytest.approx(16 / 128)


def test_runs_that_agree_cannot_be_told_apart():
    right = np.random.default_rng(0).random((2, 50)) < 0.8
    assert paired_p_value(right, right, range(50)) == 1


def test_dependent_images_are_not_told_apart_too_often():
    rng = np.random.default_rng(0)
    groups = np.arange(40).repeat(10)
    by_groups, naive = [], []
    for _ in range(60):
        # On each photograph one of two equally good models fails on all ten tiles.
        first = (rng.random(40) < 0.5).repeat(10).astype(float)[None]
        by_groups.append(paired_p_value(first, 1 - first, groups) < 0.05)
        naive.append(paired_p_value(first, 1 - first, range(400)) < 0.05)
    assert np.mean(by_groups) <= 0.12
    assert np.mean(naive) > 0.3


@pytest.mark.parametrize("values", [[0.04], [0.01, 0.04, 0.03, 0.5], [0.02, 0.02, 0.02], [1.0, 0.9, 0.001]])
def test_holms_correction_is_that_of_statsmodels(values):
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_nothing_is_corrected_to_nothing():
    assert holm([]) == []


def test_one_mistake_hardly_narrows_the_interval_of_none():
    groups = np.repeat(np.arange(20), 50)
    right = np.ones((1, 1000))
    without = accuracy_interval(right, groups)
    right[0, 0] = 0
    assert accuracy_interval(right, groups)[0] == pytest.approx(without[0], abs=0.06)


def test_permutations_of_many_groups_are_made_in_parts_that_fit_into_memory(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = (rng.random((2, 400)) < 0.8, rng.random((2, 400)) < 0.77)
    groups = np.arange(400) // 2
    whole = paired_p_value(first.astype(float), second.astype(float), groups)
    monkeypatch.setattr(statistics, "MOST_SIGNS", 10_000)
    parts = paired_p_value(first.astype(float), second.astype(float), groups)
    assert 0.01 < whole < 0.99
    assert parts == pytest.approx(whole, abs=0.02)


def test_the_interval_covers_the_accuracy_of_another_network_where_folds_have_one_each():
    # Each fold's network is a little better or worse than the recipe is; the images are independent.
    rng, covered, alone = np.random.default_rng(0), 0, 0
    folds = np.arange(2000) % 10
    for _ in range(100):
        shares = 0.8 + rng.normal(0, 0.04, 10)
        right = (rng.random((1, 2000)) < shares[folds]).astype(float)
        low, high = accuracy_interval(right, range(2000), folds=folds)
        covered += low <= 0.8 <= high
        low, high = accuracy_interval(right, range(2000))
        alone += low <= 0.8 <= high
    assert covered >= 88
    assert alone < 85


def test_folds_without_a_difference_widen_the_interval_by_no_more_than_the_second_stage():
    right = (np.random.default_rng(0).random((1, 3000)) < 0.9).astype(float)
    low, high = bootstrap_interval(right, range(3000))
    low_folds, high_folds = bootstrap_interval(right, range(3000), folds=np.arange(3000) // 600)
    assert 1 <= (high_folds - low_folds) / (high - low) <= 1.7

"""A promised recall holds on other photographs; checked by drawing them, and against combinatorics."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from cnnzoo.evaluation.promise import (
    images_needed,
    independent_images,
    threshold_for_precision,
    threshold_for_promise,
)


def alike(rng, groups, most):
    """Scores of images of `groups` photographs, which hold 1 to `most` images that score alike."""
    sizes = rng.integers(1, most + 1, groups)
    group = np.repeat(np.arange(groups), sizes)
    return rng.normal(size=groups)[group] + 0.2 * rng.normal(size=len(group)), group


@pytest.mark.parametrize(("groups", "most", "recall"), [(1000, 1, 0.99), (400, 8, 0.9), (600, 5, 0.95)])
def test_a_promise_is_broken_in_at_most_one_of_twenty_draws_of_photographs(groups, most, recall):
    rng = np.random.default_rng(0)
    broken, broken_without = 0, 0
    for _ in range(1000):
        scores, group = alike(rng, groups, most)
        seen = np.isin(group, rng.permutation(groups)[: groups // 2])
        found = threshold_for_promise(np.ones(seen.sum(), bool), scores[seen], group[seen], recall)
        assert found.promised
        broken += np.mean(scores[~seen] >= found.threshold) < recall
        broken_without += np.mean(scores[~seen] >= np.quantile(scores[seen], 1 - recall)) < recall
    assert broken <= 50 + 2 * np.sqrt(1000 * 0.05 * 0.95)
    assert broken_without > 350  # the threshold that just reaches it on the images seen


@pytest.mark.parametrize(("n", "recall"), [(500, 0.99), (800, 0.99), (1500, 0.98), (200, 0.9)])
def test_as_many_are_missed_as_the_order_of_scores_allows(n, recall):
    # More than `few` of n new ones lie below the threshold if at most k of the lowest k + few + 1 of all are
    # of those seen: a draw without replacement.
    few = round((1 - recall) * n)
    kept = [k for k in range(few + 1) if hypergeom.cdf(k, 2 * n, n, k + few + 1) <= 0.05]
    scores = np.random.default_rng(0).permutation(n).astype(float)
    found = threshold_for_promise(np.ones(n, bool), scores, np.arange(n), recall)
    assert (found.threshold, found.promised, found.independent) == (max(kept), True, n)


def test_images_of_few_photographs_promise_nothing():
    scores = np.linspace(0.2, 1, 450)
    found = threshold_for_promise(np.ones(450, bool), scores, np.arange(450) // 30, 0.99)
    assert not found.promised
    assert found.independent == pytest.approx(15)
    assert found.threshold == 0.2  # of 450 independent ones none may be missed either
    many = threshold_for_promise(np.ones(3000, bool), np.arange(3000), np.arange(3000) // 150, 0.99)
    alone = threshold_for_promise(np.ones(3000, bool), np.arange(3000), np.arange(3000), 0.99)
    assert (many.promised, alone.promised) == (False, True)
    assert many.threshold == alone.threshold > 10
    assert not threshold_for_promise(np.ones(450, bool), scores, np.arange(450), 1.0).promised


def test_images_of_a_group_are_worth_fewer():
    assert independent_images(["a", "b", "c"]) == 3
    assert independent_images([1, 1, 2, 2]) == 2
    assert independent_images([1, 1, 1, 2]) == pytest.approx(16 / 10)


@pytest.mark.parametrize("recall", [0.9, 0.95, 0.99])
def test_as_many_images_as_are_said_to_be_needed_suffice(recall):
    needed = images_needed(recall)
    enough, fewer = np.ones(needed, bool), np.ones(needed - 1, bool)
    assert threshold_for_promise(enough, np.arange(needed), np.arange(needed), recall).promised
    assert not threshold_for_promise(fewer, np.arange(needed - 1), np.arange(needed - 1), recall).promised
    assert images_needed(1.0) is None


def test_a_precision_is_kept_on_other_images():
    rng = np.random.default_rng(0)
    broken = promised = 0
    for _ in range(300):
        positive = rng.random(1600) < 0.5
        scores, seen = rng.normal(2 * positive), np.arange(1600) < 800
        found = threshold_for_precision(positive[seen], scores[seen], np.arange(800), 0.9)
        called = scores[~seen] >= found.threshold
        promised += found.promised
        broken += found.promised and np.mean(positive[~seen][called]) < 0.9
    assert promised > 290
    assert broken <= 0.05 * promised + 2 * np.sqrt(300 * 0.05 * 0.95)


def test_the_best_threshold_is_taken_where_no_precision_can_be_promised():
    found = threshold_for_precision(np.array([1, 1, 0, 1]), np.array([0.9, 0.8, 0.7, 0.1]), range(4), 0.99)
    assert (found.threshold, found.promised) == (0.8, False)

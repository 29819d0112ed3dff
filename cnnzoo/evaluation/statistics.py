"""How sure a comparison is: intervals and paired tests for images that are not independent of each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Groups = Sequence[Any] | npt.NDArray

RESAMPLES = 2000
PERMUTATIONS = 9999
MOST_SIGNS = 20_000_000  # of groups, held at once: all permutations of up to 2,000 groups
LEVEL = 0.95
FEW_GROUPS = 5


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval (1927) of a share, for independent trials."""
    from scipy.stats import binomtest  # takes a second to import: where it is needed

    interval = binomtest(successes, trials).proportion_ci(confidence_level=LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap_interval(
    values: npt.NDArray, groups: Groups, *, folds: npt.NDArray | None = None, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % percentile interval of the mean of `values` by a bootstrap over groups and seeds.

    Both are drawn anew with replacement (two-way cluster bootstrap; Owen 2007, Davison and Hinkley 1997):
    images of one group fall together, and another initialisation is as much chance as another photograph.
    Over a dozen groups or less such an interval is too narrow. With folds, each tested by a network of its
    own, folds are drawn, then groups within each (two-stage bootstrap, which is rather too wide).

    Args:
        values: (seeds, images), for example 1 where the run was right and 0 where it was wrong.
        groups: (images,) the group of each.
        folds: (images,) the fold of each; a group lies in one.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    count = int(numbers.max()) + 1
    sums = np.stack([np.bincount(numbers, weights=row, minlength=count) for row in values])
    sizes = np.bincount(numbers, minlength=count)
    means = np.empty(RESAMPLES)
    within = (
        [np.arange(count)] if folds is None else [np.unique(numbers[folds == k]) for k in np.unique(folds)]
    )
    for i in range(RESAMPLES):
        chosen = _drawn(rng, within)
        runs = rng.integers(0, len(sums), len(sums))
        means[i] = sums[runs][:, chosen].sum() / (sizes[chosen].sum() * len(sums))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _drawn(rng: np.random.Generator, within: Sequence[npt.NDArray]) -> npt.NDArray:
    """Draws folds, then of the groups within each as many as there are."""
    if len(within) == 1:
        return within[0][rng.integers(0, len(within[0]), len(within[0]))]
    folds = [within[k] for k in rng.integers(0, len(within), len(within))]
    return np.concatenate([groups[rng.integers(0, len(groups), len(groups))] for groups in folds])


def accuracy_interval(
    right: npt.NDArray, groups: Groups, *, folds: npt.NDArray | None = None
) -> tuple[float, float]:
    """Returns a 95 % interval of the mean accuracy over seeds, for images of `groups`.

    For one seed and no two images of a group it is Wilson's. Else the bootstrap's, but never narrower than
    Wilson's. With mistakes in fewer than `FEW_GROUPS` groups, or hardly anything but mistakes, there is
    little to resample: Wilson's for as many trials as groups then.

    Args:
        right: (seeds, images) whether the run was right.
        groups: (images,) the group of each.
        folds: (images,) the fold of each, where a network of its own tested it.
    """
    accuracy = float(right.mean())
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    alone = len(np.unique(numbers)) == right.shape[1]
    share = right.mean(axis=0)
    rare = min(len(np.unique(numbers[share < 1])), len(np.unique(numbers[share > 0])))
    trials = len(np.unique(numbers)) if rare < FEW_GROUPS else right.shape[1]
    wilson_low, wilson_high = wilson_interval(round(accuracy * trials), trials)
    if accuracy in (0.0, 1.0) or (len(right) == 1 and alone and folds is None):
        return wilson_low, wilson_high
    low, high = bootstrap_interval(right, groups, folds=folds)
    return min(low, wilson_low), max(high, wilson_high)


def balanced_draws(right: npt.NDArray, labels: npt.NDArray, groups: Groups, *, seed: int = 0) -> npt.NDArray:
    """Returns `RESAMPLES` balanced accuracies of a bootstrap over groups and seeds, drawn as above.

    The same seed draws the same groups and runs, so that two recipes can be subtracted draw by draw.

    Args:
        right: (seeds, images) 1 where the run was right, 0 where it was wrong.
        labels: (images,) class ids.
        groups: (images,) the group of each.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    count, classes = int(numbers.max()) + 1, np.unique(labels)
    hits = np.zeros((len(right), count, len(classes)))
    sizes = np.zeros((count, len(classes)))
    for place, label in enumerate(classes):
        here = labels == label
        sizes[:, place] = np.bincount(numbers[here], minlength=count)
        for run, row in enumerate(right):
            hits[run, :, place] = np.bincount(numbers[here], weights=row[here], minlength=count)
    drawn = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        chosen = rng.integers(0, count, count)
        runs = rng.integers(0, len(hits), len(hits))
        whole = sizes[chosen].sum(axis=0)
        found = hits[runs][:, chosen].sum(axis=(0, 1)) / len(hits)
        drawn[i] = (found[whole > 0] / whole[whole > 0]).mean()
    return drawn


def interval_over_sets(
    values: Sequence[float], intervals: Sequence[tuple[float, float]], *, level: float = LEVEL
) -> tuple[float, float]:
    """Returns an interval of the mean of a figure over data sets, for a data set like these.

    It is Student's over the sets, as they are few, but never narrower than that of the mean for these very
    sets, from the interval of each (Zou and Donner 2008).

    Args:
        values: of each set, at least two.
        intervals: of each value.
        level: of the interval.
    """
    from scipy.stats import ttest_1samp

    mean, each = float(np.mean(values)), np.asarray(intervals)
    low = mean - float(np.linalg.norm(np.asarray(values) - each[:, 0])) / len(each)
    high = mean + float(np.linalg.norm(each[:, 1] - np.asarray(values))) / len(each)
    if np.ptp(values) == 0:  # Student's has no width then
        return low, high
    over = ttest_1samp(values, 0).confidence_interval(level)
    return min(low, float(over.low)), max(high, float(over.high))


def paired_p_value(first: npt.NDArray, second: npt.NDArray, groups: Groups, *, seed: int = 0) -> float:
    """Returns the two-sided p-value of "both are right as often" on the same images.

    For one seed and discordant images of different groups this is McNemar's exact test (1947). Else whole
    groups change sign, in a permutation test of the difference that each group shows (the mean over the
    seeds), exact where there are few.

    Args:
        first, second: (seeds, images) 1 where the run was right, 0 where it was wrong.
        groups: (images,) the group of each.
        seed: of the permutations, where they are too many to list.
    """
    difference = first.mean(axis=0) - second.mean(axis=0)
    from scipy.stats import binomtest, permutation_test

    discordant = np.flatnonzero(difference)
    if not len(discordant):
        return 1.0
    _, numbers = np.unique(np.asarray(groups)[discordant], return_inverse=True)
    sums = np.bincount(numbers, weights=difference[discordant])
    if len(first) == len(second) == 1 and len(sums) == len(discordant):
        return float(binomtest(int((sums > 0).sum()), len(sums)).pvalue)
    sums = sums[np.abs(sums) > 1e-12]
    if len(sums) < 2:
        return 1.0
    result = permutation_test(
        (sums,), np.sum, permutation_type="samples", n_resamples=PERMUTATIONS,
        batch=max(1, MOST_SIGNS // len(sums)), rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    count = len(order)
    corrected = np.empty(count)
    steps = np.asarray(p_values, float)[order] * (count - np.arange(count))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(p) for p in corrected]

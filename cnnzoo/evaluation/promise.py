"""A recall that holds on new photographs: the threshold that leaves room for another draw of them.

The threshold at which 99 % of the validation images are found finds less on other images in half of the
cases. So fewer may be missed on validation: so few that, with a probability of 95 %, no more than was asked
for are missed among as many new images. Where validation misses k of n independent images, the number that
as many new ones miss has a beta-binomial distribution, whatever that of the scores (Wilks 1941; as a bound on
a risk, Angelopoulos et al. 2022, "Conformal risk control"). Images of one photograph are not independent:
they count as the number that would say as much (Kish 1965), if they were all missed or found together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
_MOST_NEEDED = 100_000  # independent images, beyond which nobody is told to collect them
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Operating:
    """A threshold for a wanted recall.

    Attributes:
        threshold: probability from which on an image counts as positive.
        promised: whether the recall holds on as many new images with a probability of 95 %.
        independent: how many independent images the positive validation images are worth.
    """

    threshold: float
    promised: bool
    independent: float


def threshold_for_promise(
    positive: npt.NDArray, scores: npt.NDArray, groups: Sequence[Any] | npt.NDArray, recall: float
) -> Operating:
    """Returns the highest threshold that promises `recall` on as many new images.

    Where there are too few photographs to promise it, the threshold is the one that would promise it if each
    image were a photograph of its own; with too few images for that, the lowest score of a positive one.

    Args:
        positive: (n,) whether the image is of the positive class; at least one must be.
        scores: (n,) probability of the positive class.
        groups: (n,) what each image comes from, as a photograph.
        recall: wanted share, above 0 and at most 1.
    """
    wanted = np.asarray(positive, bool)
    found = np.sort(np.asarray(scores, np.float64)[wanted])
    independent = independent_images(np.asarray(groups)[wanted])
    missed = _most_missed(independent, recall)
    if missed is None:
        at_best = _most_missed(len(found), recall) or 0
        return Operating(float(found[at_best]), promised=False, independent=independent)
    allowed = math.floor(missed * len(found) / independent + _ROUNDING)
    return Operating(float(found[allowed]), promised=True, independent=independent)


def threshold_for_precision(
    positive: npt.NDArray, scores: npt.NDArray, groups: Sequence[Any] | npt.NDArray, precision: float
) -> Operating:
    """Returns the lowest threshold above which `precision` of as many new images are positive.

    Promised as a recall is. Where none can be promised, the threshold is the one with the highest precision.

    Args:
        positive: (n,) whether the image is of the positive class; at least one must be.
        scores: (n,) probability of the positive class.
        groups: (n,) what each image comes from, as a photograph.
        precision: wanted share, above 0 and at most 1.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    wrong, ranked = ~np.asarray(positive, bool)[order], np.asarray(scores, np.float64)[order]
    numbers = np.unique(np.asarray(groups)[order], return_inverse=True)[1]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of images with one score
    shares = np.cumsum(wrong)[last] / (last + 1)
    # From the lowest threshold up: most of them fail by their share alone, before anything is counted.
    for at in last[shares <= 1 - precision + _ROUNDING][::-1]:
        independent = independent_images(numbers[: at + 1])
        most = _most_missed(independent, precision)
        if most is not None and wrong[: at + 1].sum() * independent / (at + 1) <= most + _ROUNDING:
            return Operating(float(ranked[at]), promised=True, independent=independent)
    best = int(last[np.flatnonzero(shares == shares.min())[-1]])
    return Operating(float(ranked[best]), promised=False, independent=independent_images(numbers[: best + 1]))


def independent_images(groups: Sequence[Any] | npt.NDArray) -> float:
    """Returns the number of independent images that these are worth, if a group is right or wrong together.

    Args:
        groups: (n,) the group of each image; (sum of sizes)² / sum of squared sizes (Kish 1965).
    """
    sizes = np.unique(np.asarray(groups), return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def images_needed(share: float) -> int | None:
    """Returns how many independent images it takes to promise a share, none of them missed; None for none."""
    if share >= 1:
        return None
    least = 1
    while _most_missed(least, share) is None:
        least *= 2
        if least > _MOST_NEEDED:
            return None
    fits = [n for n in range(max(1, least // 2), least + 1) if _most_missed(n, share) is not None]
    return fits[0]


def _most_missed(independent: float, share: float) -> int | None:
    """How many of so many images may be missed, so that few enough of as many new ones are; None for none."""
    from scipy.stats import betabinom

    new = round(independent)
    missed = np.arange(math.floor((1 - share) * independent) + 1)
    too_many = betabinom.sf(math.floor((1 - share) * new + _ROUNDING), new, missed + 1, independent - missed)
    kept = missed[too_many <= 1 - CONFIDENCE]
    return int(kept[-1]) if len(kept) else None

"""How alike two images of one set must be to count as near-duplicates: more than its unrelated images are.

The correlation that unrelated images reach depends on the subject. The grain of concrete is never twice the
same; digits drawn large, or chests under X-rays, share their structure, and a fixed threshold chains them
all together.
"""

import numpy as np
import numpy.typing as npt

from cnnzoo.data.audit.groups import chained

BAND = 0.2  # of Fisher's z, in which pairs are counted
STEP = 0.05  # of it, by which the threshold is raised
FALSE_PAIRS = 0.02  # an image, at most: some 0.5 would chain everything together
LARGEST_SHARE = 0.25  # of a class, that chained pairs may join
LEAST_LARGE = 10  # images; smaller groups are never too large


def raise_needed(
    pairs: npt.NDArray[np.int64],
    excess: npt.NDArray[np.float64],
    certain: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int64],
) -> float:
    """Returns by how much of Fisher's z the threshold must rise; 0 where near-duplicates stand apart.

    Args:
        pairs: (n, 2) images of every pair that was compared, whether alike or not.
        excess: Fisher's z of the correlation of each, less that of the usual threshold.
        certain: whether two images are the same to the last digit: such pairs may be as many as they are.
        labels: a class for each image.
    """
    most = max(1.0, FALSE_PAIRS * len(labels))
    ordered = np.sort(excess)
    level = 0.0
    while _by_chance(ordered, level) > most or _chained(pairs[(excess >= level) & ~certain], labels):
        level = round(level + STEP, 6)
    return level


def _by_chance(ordered: npt.NDArray[np.float64], level: float) -> float:
    """How many pairs from `level` on to expect of unrelated images.

    Of near-duplicates there are few right under the level that tells them apart, so what lies there is of
    unrelated images. Their number falls at least by the same ratio from each band to the next, as a normal
    tail does; so the bands above the level hold a geometric series of it.
    """
    far, near, here = np.searchsorted(ordered, [level - 2 * BAND, level - BAND, level])
    last, before = int(here - near), int(near - far)
    # A band with hardly a pair has no ratio worth the name.
    if last <= 1:
        return float(last)
    return last * last / (before - last) if before > last else float("inf")


def _chained(pairs: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> bool:
    """Whether chains of pairs join an implausible share of a class."""
    if not len(pairs):
        return False
    groups = chained(len(labels), pairs)
    for label in np.unique(labels):
        sizes = np.bincount(groups[labels == label])
        if sizes.max() >= max(LEAST_LARGE, LARGEST_SHARE * sizes.sum()):
            return True
    return False

"""Statistics of filter responses: what tells classes of surfaces apart without any training of a network."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

_SHARES = (1, 5, 25, 50, 75, 95, 99)  # percentiles


def texture_features(gray: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns (105,) numbers that describe a gray image, the same for its eight flips and quarter turns.

    Percentiles of the gray levels, of five bands between Gaussians, of the ridges (the larger eigenvalue of
    the Hessian) and of the orientedness (structure tensor) at three scales.
    """
    smoothed = {scale: cv2.GaussianBlur(gray, (0, 0), scale) for scale in (1, 2, 4)}
    bands = [a - b for a, b in pairwise([gray, *smoothed.values()])]
    # What is this smooth is told by the means of 2 x 2 pixels in a tenth of the time.
    coarse = _halved(smoothed[4])
    for scale in (8, 16):
        coarser = cv2.GaussianBlur(coarse, (0, 0), np.sqrt(scale**2 - (scale / 2) ** 2) / 2)
        bands.append(coarse - coarser)
        coarse = coarser
    parts = [_percentiles(image, _SHARES) for image in (gray, *bands)]
    for scale in (1, 2, 4):
        parts.append(_percentiles(_ridges(smoothed[scale]) * scale**2, _SHARES))
        parts += _orientedness(smoothed[scale], windows=(4, 10))
    return np.concatenate(parts).astype(np.float32)


def _halved(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)


def _percentiles(values: npt.NDArray[np.float32], shares: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """What `np.percentile` gives, in a fifth of its time: sorting is faster than its partitions."""
    ordered = np.sort(values, axis=None)
    below, above, between = _ranks(ordered.size, shares)
    return np.asarray(ordered[below] + between * (ordered[above] - ordered[below]), np.float64)


@cache
def _ranks(
    size: int, shares: tuple[float, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The ranks, from 0, that each percentile lies between, and how far it is from the lower one."""
    places = np.array(shares) / 100 * (size - 1)
    below = places.astype(int)
    return below, np.minimum(below + 1, size - 1), places - below


def _ridges(smooth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    xx, yy, xy = (cv2.Sobel(smooth, -1, *order) for order in ((2, 0), (0, 2), (1, 1)))
    return np.asarray((xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy * xy), np.float32)


def _orientedness(smooth: npt.NDArray[np.float32], windows: Sequence[float]) -> list[npt.NDArray]:
    x, y = cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1)
    products = [_halved(product) for product in (x * x, y * y, x * y)]  # windows are wide
    parts = []
    for window in windows:
        xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), window / 2) for product in products)
        difference = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
        coherence = difference / (xx + yy + 1)
        parts.append(_percentiles(difference, _SHARES[2:]))
        parts.append(np.array([coherence.mean(), *_percentiles(coherence, (95,))]))
    return parts

"""Statistics of filter responses: what tells classes of surfaces apart without any training of a network."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

_SHARES = (1, 5, 25, 50, 75, 95, 99)  # percentiles


def texture_features(gray: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns (112,) numbers that describe a gray image, the same for its eight flips and quarter turns.

    Percentiles of the gray levels, of six bands between Gaussians, of the ridges (the larger eigenvalue of
    the Hessian) and of the orientedness (structure tensor) at three scales.
    """
    smoothed = {scale: cv2.GaussianBlur(gray, (0, 0), scale) for scale in (1, 2, 4, 8, 16)}
    parts = [_percentiles(gray, _SHARES)]
    parts += [_percentiles(a - b, _SHARES) for a, b in pairwise([gray, *smoothed.values()])]
    for scale in (1, 2, 4):
        parts.append(_percentiles(_ridges(smoothed[scale]) * scale**2, _SHARES))
        parts += _orientedness(smoothed[scale], windows=(4, 10))
    return np.concatenate(parts).astype(np.float32)


def _percentiles(values: npt.NDArray[np.float32], shares: Sequence[float]) -> npt.NDArray[np.float64]:
    """What `np.percentile` gives, in a third of its time: sorting is faster than its partitions."""
    ordered = np.sort(values, axis=None)
    places = np.array(shares) / 100 * (ordered.size - 1)
    below = places.astype(int)
    above = np.minimum(below + 1, ordered.size - 1)
    return ordered[below] + (places - below) * (ordered[above] - ordered[below])


def _ridges(smooth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    xx, yy, xy = (cv2.Sobel(smooth, -1, *order) for order in ((2, 0), (0, 2), (1, 1)))
    return np.asarray((xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy * xy), np.float32)


def _orientedness(smooth: npt.NDArray[np.float32], windows: Sequence[float]) -> list[npt.NDArray]:
    x, y = cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1)
    products = x * x, y * y, x * y
    parts = []
    for window in windows:
        xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), window) for product in products)
        difference = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
        coherence = difference / (xx + yy + 1)
        parts.append(_percentiles(difference, _SHARES[2:]))
        parts.append(np.array([coherence.mean(), *_percentiles(coherence, [95])]))
    return parts

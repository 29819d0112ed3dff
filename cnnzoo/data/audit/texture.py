"""Statistics of filter responses: what tells classes of surfaces apart without any training of a network."""

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
    levels = [gray, *(cv2.GaussianBlur(gray, (0, 0), scale) for scale in (1, 2, 4, 8, 16))]
    parts = [np.percentile(gray, _SHARES)]
    parts += [np.percentile(a - b, _SHARES) for a, b in pairwise(levels)]
    for scale in (1, 2, 4):
        smooth = cv2.GaussianBlur(gray, (0, 0), scale)
        parts.append(np.percentile(_ridges(smooth) * scale**2, _SHARES))
        for window in (4, 10):
            parts += _orientedness(smooth, window)
    return np.concatenate(parts).astype(np.float32)


def _ridges(smooth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    xx, yy, xy = (cv2.Sobel(smooth, -1, *order) for order in ((2, 0), (0, 2), (1, 1)))
    return np.asarray((xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy * xy), np.float32)


def _orientedness(smooth: npt.NDArray[np.float32], window: float) -> list[npt.NDArray]:
    x, y = cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1)
    xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), window) for product in (x * x, y * y, x * y))
    difference = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    coherence = difference / (xx + yy + 1)
    return [
        np.percentile(difference, _SHARES[2:]),
        np.array([coherence.mean(), np.percentile(coherence, 95)]),
    ]

"""Dark lines in a picture: second derivatives of Gaussians, drawn out along twelve directions.

W. T. Freeman and E. H. Adelson, The Design and Use of Steerable Filters, IEEE TPAMI 13(9), 1991; several
widths as in T. Lindeberg, Edge Detection and Ridge Detection with Automatic Scale Selection, IJCV 30, 1998.
"""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

WIDTHS = (1, 2, 4)  # pixels: standard deviations of the Gaussian across a line
REACH = 192  # pixels around a place that its answer depends on: what lies beyond changes it by hundredths

_LENGTH = 6  # times as long as wide
_DIRECTIONS = 12
_AROUND = 31  # pixels: standard deviation of the surroundings that a line is compared with
_BLURRED = 4.0  # pixels: a Gaussian this wide has nothing left that a lower resolution would lose
_FLAT = 3.0  # gray levels: noise that is none, lest a flat picture have lines


def dark_lines(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Says how much each place looks like a dark line, compared with the texture around it.

    The answer of the best of twelve directions and three widths, each divided by the root mean square of the
    answers around the place, so that a rough surface has as few lines as a smooth one.

    Args:
        gray: (height, width).

    Returns:
        (height, width), 0 or more; 4 is a clear line.
    """
    height, width = gray.shape
    best = np.zeros(gray.shape, np.float32)
    for coarser in WIDTHS:
        small = (max(1, round(width / coarser)), max(1, round(height / coarser)))
        picture = cv2.resize(gray, small, interpolation=cv2.INTER_AREA).astype(np.float32)
        highest = np.zeros(picture.shape, np.float32)
        power = np.zeros(picture.shape, np.float32)
        for kernel in _kernels():
            answer = cv2.filter2D(picture, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)
            np.maximum(highest, answer, out=highest)
            power += np.square(answer) / _DIRECTIONS
        noise = np.sqrt(surroundings(power, _AROUND))
        lines = cv2.resize(highest / (noise + _FLAT), (width, height), interpolation=cv2.INTER_LINEAR)
        np.maximum(best, lines, out=best)
    return best


def surroundings(picture: npt.NDArray[np.float32], deviation: float) -> npt.NDArray[np.float32]:
    """Returns the Gaussian mean around each place: a wide one is computed at a lower resolution, and so fast.

    Args:
        picture: (height, width).
        deviation: of the Gaussian, pixels.
    """
    coarser = max(1, int(deviation // _BLURRED))
    size = picture.shape[::-1]
    small = (max(1, round(size[0] / coarser)), max(1, round(size[1] / coarser)))
    shrunk = picture if coarser == 1 else cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(shrunk, (0, 0), deviation / coarser)
    return blurred if coarser == 1 else cv2.resize(blurred, size, interpolation=cv2.INTER_LINEAR)


@cache
def _kernels() -> tuple[npt.NDArray[np.float32], ...]:
    """A filter a direction, which answers 0 to a flat picture and 1 to white noise of deviation 1."""
    return tuple(_kernel(angle) for angle in np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS)


def _kernel(angle: float) -> npt.NDArray[np.float32]:
    reach = 3 * _LENGTH
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = (across**2 - 1) * np.exp(-(across**2) / 2 - (along / _LENGTH) ** 2 / 2)
    kernel -= kernel.mean()
    return np.asarray(kernel / np.sqrt((kernel**2).sum()), np.float32)

"""Dark lines in a picture: second derivatives of Gaussians, drawn out along twelve directions.

W. T. Freeman and E. H. Adelson, The Design and Use of Steerable Filters, IEEE TPAMI 13(9), 1991; several
widths as in T. Lindeberg, Edge Detection and Ridge Detection with Automatic Scale Selection, IJCV 30, 1998.
"""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

WIDTHS = (1, 2, 4)  # pixels: standard deviations of the Gaussian across a line
REACH = 192  # pixels around a place that its answer depends on: what lies beyond changes it by hundredths

# For the first half of the directions, every 15 degrees: pixels (x, y) from a place to those before and
# behind it that it is joined with. One after the other that is nearly a Gaussian six times as long as wide,
# of nine numbers in place of a thousand (à trous, Holschneider et al. 1989). The other half lies at right
# angles to them.
_STEPS = (
    ((2, 0), (4, 0), (6, 0)),
    ((2, 0), (4, 1), (7, 2)),
    ((2, 1), (4, 2), (5, 3)),
    ((2, 2), (3, 3), (4, 4)),
    ((1, 2), (2, 4), (3, 5)),
    ((0, 2), (1, 4), (2, 7)),
)
_DIRECTIONS = 2 * len(_STEPS)
_HALF = 4  # pixels of a derivative on each side of its middle
_REACHED = 17  # pixels of a filter on each side of its middle
_AROUND = 31  # pixels: standard deviation of the surroundings that a line is compared with
_BLURRED = 4.0  # pixels: a Gaussian this wide has nothing left that a lower resolution would lose
_FLAT = 3.0  # gray levels: noise that is none, lest a flat picture have lines


def dark_lines(gray: npt.NDArray[np.uint8]) -> Floats:
    """Says how much each place looks like a dark line, compared with the texture around it.

    The answer of the best of twelve directions and three widths, each divided by the root mean square of the
    answers around the place, so that a rough surface has as few lines as a smooth one.

    Args:
        gray: (height, width).

    Returns:
        (height, width), 0 or more; 4 is a clear line.
    """
    shape = gray.shape
    # So that pixels of a lower resolution are whole ones, the same in each part of a picture.
    gray = np.pad(gray, [(0, -side % max(WIDTHS)) for side in shape], mode="reflect")
    height, width = gray.shape
    best = np.zeros(gray.shape, np.float32)
    for coarser in WIDTHS:
        small = (width // coarser, height // coarser)
        picture = cv2.resize(gray, small, interpolation=cv2.INTER_AREA).astype(np.float32)
        lines, power = _answers(picture)
        noise = cv2.sqrt(surroundings(power, _AROUND))
        noise += _FLAT
        lines /= noise
        if coarser > 1:
            lines = cv2.resize(lines, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.max(best, lines, best)
    return best[: shape[0], : shape[1]]


def surroundings(picture: Floats, deviation: float) -> Floats:
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


def _answers(picture: Floats) -> tuple[Floats, Floats]:
    """The highest answer of all directions at each place, 0 at least, and the mean of their squares."""
    # The mirror is of the picture: in that of its derivatives lines would have the wrong direction.
    picture = np.pad(picture, _REACHED, mode="reflect")
    highest, power = np.zeros_like(picture), np.zeros_like(picture)
    xx, xy, yy = _derivatives(picture)
    one, other = np.empty_like(picture), np.empty_like(picture)  # filled again and again: twice as fast
    for (of_xx, of_xy, of_yy), steps in _directions():
        cv2.addWeighted(xx, of_xx, yy, of_yy, 0, one)
        cv2.scaleAdd(xy, of_xy, one, one)
        for step in steps:
            cv2.filter2D(one, -1, step, other)
            one, other = other, one
        cv2.max(highest, one, highest)
        cv2.accumulateSquare(one, power)
    power /= _DIRECTIONS
    inner = np.s_[_REACHED:-_REACHED, _REACHED:-_REACHED]
    return highest[inner], power[inner]


def _derivatives(picture: Floats) -> tuple[Floats, Floats, Floats]:
    """Second derivatives along x twice, along x and y, and along y twice; 0 for a flat picture."""
    at = np.arange(-_HALF, _HALF + 1)
    plain = np.exp(-(at**2) / 2)
    first, second = at * plain, (at**2 - 1) * plain
    second -= second.mean()
    along = ((second, plain), (first, first), (plain, second))
    xx, xy, yy = (cv2.sepFilter2D(picture, -1, x, y) for x, y in along)
    return xx, xy, yy


@cache
def _directions() -> list[tuple[tuple[float, float, float], list[Floats]]]:
    """For each direction shares of the three derivatives, and the steps that draw their sum out along it.

    They answer 1 to white noise of deviation 1.
    """
    single = np.zeros((65, 65), np.float32)
    single[32, 32] = 1
    found = []
    turned = (tuple((-y, x) for x, y in along) for along in _STEPS)
    for number, along in enumerate((*_STEPS, *turned)):
        angle = np.pi * number / _DIRECTIONS
        x, y = np.cos(angle), np.sin(angle)
        shares = np.array([y * y, -2 * x * y, x * x])
        steps = [_step(*ends) for ends in along]
        answer = np.tensordot(shares, _derivatives(single), 1)
        for step in steps:
            answer = cv2.filter2D(answer, -1, step)
        of_xx, of_xy, of_yy = (float(share) for share in shares / np.linalg.norm(answer))
        found.append(((of_xx, of_xy, of_yy), steps))
    return found


def _step(x: int, y: int) -> Floats:
    """Half of a place, and a quarter of each of those so far before and behind it."""
    kernel = np.zeros((2 * abs(y) + 1, 2 * abs(x) + 1), np.float32)
    kernel[abs(y), abs(x)] = 0.5
    kernel[abs(y) + y, abs(x) + x] = kernel[abs(y) - y, abs(x) - x] = 0.25
    return kernel

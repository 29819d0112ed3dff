"""How alike the fine textures of two images are where one lies on the other."""

from functools import cache

import numpy as np
import numpy.typing as npt

SEARCH_RADIUS = 2  # pixels around the place that the windows name
MIN_OVERLAP = 0.3  # share of the image
_SHIFTS = 2 * SEARCH_RADIUS + 1


def overlap_correlations(bands: npt.NDArray[np.int8], places: npt.NDArray) -> npt.NDArray[np.float64]:
    """Returns the largest normalised cross-correlation around each of `places`, 0 where too little overlaps.

    Args:
        bands: (n, side, side) fine textures.
        places: how one image may lie on another: see `twins`.
    """
    side, radius = bands.shape[1], SEARCH_RADIUS
    x, y = places["x"].astype(int), places["y"].astype(int)
    left, right = np.maximum(0, x) + radius, np.minimum(side, side + x) - radius
    top, bottom = np.maximum(0, y) + radius, np.minimum(side, side + y) - radius
    area = np.maximum(0, right - left) * np.maximum(0, bottom - top)
    borders = np.stack([left, right, top, bottom, x, y], axis=1)
    scores = np.zeros(len(places))
    # An image is turned once for all its places.
    order = np.lexsort((places["turn"], places["first"]))
    turned, known = bands[0], None
    for i in order[area[order] >= MIN_OVERLAP * side * side].tolist():
        first, second, turn = places[i].tolist()[:3]
        if (first, turn) != known:
            turned, known = turned_image(bands[first], turn).astype(np.float32, order="C"), (first, turn)
        a, b, c, d, dx, dy = borders[i].tolist()
        around = bands[second, c - radius : d + radius, a - radius : b + radius].astype(np.float32)
        scores[i] = _correlation(around, turned[c - dy : d - dy, a - dx : b - dx])
    return scores


def turned_image(image: npt.NDArray, turn: int) -> npt.NDArray:
    """Returns an image by `turn` % 4 quarter turns anticlockwise, from 4 on mirrored left and right then."""
    image = np.rot90(image, turn % 4)
    return image[:, ::-1] if turn >= 4 else image


def _correlation(around: npt.NDArray[np.float32], part: npt.NDArray[np.float32]) -> float:
    """The largest normalised cross-correlation of `part` with the windows of its size in `around`.

    OpenCV's `matchTemplate` gives the same through a Fourier transform, which so few shifts don't pay for:
    as lines one behind the other, with blanks up to the width of `around`, `part` is but multiplied.
    """
    (rows, columns), width, pixels = part.shape, around.shape[1], part.size
    frame = np.zeros((rows, width), np.float32)
    frame[:, :columns] = part
    line, behind = frame.ravel()[: (rows - 1) * width + columns], around.ravel()
    last = len(line) + _SHIFTS - 1
    products = np.array(
        [np.correlate(behind[start : start + last], line) for start in range(0, _SHIFTS * width, width)]
    )
    down, across = _windows(rows), _windows(columns).T
    sums, squares = down @ around @ across, down @ (around * around) @ across
    total, energy = line @ np.ones_like(line), line @ line
    shared = products - total / pixels * sums
    size = np.sqrt((energy - total**2 / pixels) * (squares - sums**2 / pixels))
    return float((shared / size).max()) if size.all() else 0.0


@cache
def _windows(length: int) -> npt.NDArray[np.float32]:
    """(shifts, length + shifts - 1): which places each window of `length` has."""
    return np.stack(
        [np.eye(length + _SHIFTS - 1, dtype=np.float32)[i : i + length].sum(0) for i in range(_SHIFTS)]
    )

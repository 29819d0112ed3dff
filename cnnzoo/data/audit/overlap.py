"""How alike the fine textures of two images are where one lies on the other."""

from functools import cache

import numpy as np
import numpy.typing as npt

SEARCH_RADIUS = 2  # pixels around the place that the windows name
MIN_OVERLAP = 0.3  # share of the image
_SHIFTS = 2 * SEARCH_RADIUS + 1
_FLAT = 1e-3  # variance, of whole numbers, that is but rounding


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
    # An image is turned once for all its places.
    order = np.lexsort((places["turn"], places["first"]))
    order = order[area[order] >= MIN_OVERLAP * side * side]
    sums = np.empty((len(order), 3 * _SHIFTS**2 + 2))
    turned, known = bands[0], None
    for row, i in enumerate(order.tolist()):
        first, second, turn = places[i].tolist()[:3]
        if (first, turn) != known:
            turned, known = turned_image(bands[first], turn).astype(np.float32, order="C"), (first, turn)
        a, b, c, d, dx, dy = borders[i].tolist()
        around = bands[second, c - radius : d + radius, a - radius : b + radius].astype(np.float32)
        sums[row] = _sums(around, turned[c - dy : d - dy, a - dx : b - dx])
    scores = np.zeros(len(places))
    scores[order] = _largest_correlation(sums, area[order, None])
    return scores


def turned_image(image: npt.NDArray, turn: int) -> npt.NDArray:
    """Returns an image by `turn` % 4 quarter turns anticlockwise, from 4 on mirrored left and right then."""
    image = np.rot90(image, turn % 4)
    return image[:, ::-1] if turn >= 4 else image


def _sums(around: npt.NDArray[np.float32], part: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sums of which correlations are made: for each window in `around` of the size of `part`, in a row.

    Of its products with `part`, of its pixels and of their squares; then of `part` and of its squares.
    """
    (rows, columns), width = part.shape, around.shape[1]
    # As lines one behind the other, `part` with blanks up to the width of `around`, one lies on the other.
    frame = np.zeros((rows, width), np.float32)
    frame[:, :columns] = part
    line, behind = frame.ravel()[: (rows - 1) * width + columns], around.ravel()
    last = len(line) + _SHIFTS - 1
    products = [
        np.correlate(behind[start : start + last], line) for start in range(0, _SHIFTS * width, width)
    ]
    down, across = _windows(rows), _windows(columns).T
    pixels, squares = down @ around @ across, down @ (around * around) @ across
    return np.concatenate([*products, pixels.ravel(), squares.ravel(), [line.sum(), line @ line]])


def _largest_correlation(
    sums: npt.NDArray[np.float64], pixels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The largest normalised cross-correlation of each row of `_sums`; 0 where one of the two is flat.

    OpenCV's `matchTemplate` gives the same by a Fourier transform, which so few shifts don't pay for.
    """
    products, windows, squares = np.split(sums[:, :-2], 3, axis=1)
    total, energy = sums[:, -2:-1], sums[:, -1:]
    shared = products - total / pixels * windows
    size = np.sqrt(np.maximum(0, (energy - total**2 / pixels) * (squares - windows**2 / pixels)))
    return np.divide(shared, size, out=np.zeros_like(shared), where=size > _FLAT * pixels).max(axis=1)


@cache
def _windows(length: int) -> npt.NDArray[np.float32]:
    """(shifts, length + shifts - 1): which places each window of `length` has."""
    return np.stack(
        [np.eye(length + _SHIFTS - 1, dtype=np.float32)[i : i + length].sum(0) for i in range(_SHIFTS)]
    )

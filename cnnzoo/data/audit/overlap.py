"""How alike the fine textures of two images are where one lies on the other.

Most places that windows name are coincidence, which a quarter of the rows shows cheaply: over 80,000 places
of METU's images the correlation of every fourth row differed from that of all rows by 0.03 (standard
deviation), at most 0.15. Only places that come near enough in these rows are compared on all.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

SEARCH_RADIUS = 2  # pixels around the place that the windows name
MIN_OVERLAP = 0.3  # share of the image
WORTH_COMPARING = 0.35  # correlation of the rows looked at first; twins have at least 0.6 in all rows
_ROW_STEP = 4
_AT_ONCE = 64  # places: what they need stays in the processor's cache
_SHIFTS = 2 * SEARCH_RADIUS + 1
_FLAT = 1e-3  # variance, of whole numbers, that is but rounding


def overlap_correlations(bands: npt.NDArray[np.int8], places: npt.NDArray) -> npt.NDArray[np.float64]:
    """Returns the largest normalised cross-correlation around each of `places`.

    It is 0 where too little overlaps, and that of every fourth row where that is under `WORTH_COMPARING`.

    Args:
        bands: (n, side, side) fine textures.
        places: how one image may lie on another: see `twins`.
    """
    side = bands.shape[1]
    borders = _borders(places, side)
    area = _area(borders)
    # An image is turned once for all its places, and what lies side by side in memory is read together.
    order = np.lexsort((places["turn"], places["first"]))
    order = order[area[order] >= MIN_OVERLAP * side * side]
    room, scores = _Room(side), np.zeros(len(places))
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        scores[some] = _rough_correlations(bands, places[some], borders[some], room)
    order = order[scores[order] >= WORTH_COMPARING]
    scores[order] = _correlations(bands, places[order], borders[order])
    return scores


def _borders(places: npt.NDArray, side: int) -> npt.NDArray[np.int64]:
    """(n, 6), pixels: left, right, top, bottom of what the first image covers of the second; its corner.

    As much is left out at each border as it may be moved by.
    """
    x, y, radius = places["x"].astype(int), places["y"].astype(int), SEARCH_RADIUS
    left, right = np.maximum(0, x) + radius, np.minimum(side, side + x) - radius
    top, bottom = np.maximum(0, y) + radius, np.minimum(side, side + y) - radius
    return np.stack([left, right, top, bottom, x, y], axis=1)


def _area(borders: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    left, right, top, bottom, *_ = borders.T
    return np.maximum(0, right - left) * np.maximum(0, bottom - top)


class _Room:
    """Memory that each step uses again: fresh memory would take longer to get than to fill."""

    def __init__(self, side: int) -> None:
        self.rows = np.arange(SEARCH_RADIUS, side - SEARCH_RADIUS, _ROW_STEP)
        self.columns = np.arange(side)
        shape = (_AT_ONCE, len(self.rows), side)
        self.pixels, self.laid = np.empty(shape, np.int64), np.empty(shape, np.int8)
        self.part, self.around = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.second = np.empty((_AT_ONCE, side, side), np.int8)


def _rough_correlations(
    bands: npt.NDArray[np.int8], places: npt.NDArray, borders: npt.NDArray[np.int64], room: _Room
) -> npt.NDArray[np.float32]:
    """The largest correlations as every fourth row gives them, the means of fine textures taken as zero."""
    count, side, radius = len(places), bands.shape[1], SEARCH_RADIUS
    rows, columns, pixels, laid = room.rows, room.columns, room.pixels[:count], room.laid[:count]
    left, right, top, bottom, x, y = borders.T[..., None]
    down, across = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    inside = down[:, :, None] & across[:, None]
    start, beside, below = _turned_steps(side)[places["turn"]].T[..., None]
    start = places["first"].astype(int)[:, None] * side**2 + start
    np.add((start + (rows - y) * below)[:, :, None], ((columns - x) * beside)[:, None], out=pixels)
    bands.reshape(-1).take(pixels, out=laid, mode="clip")  # what lies outside is blanked next
    np.multiply(laid, inside, out=room.part[:count], casting="unsafe")
    second = bands.take(places["second"], axis=0, out=room.second[:count], mode="clip")
    # As lines one behind the other: a shift to the side is a shift along the line.
    part = room.part[:count].reshape(count, -1)[:, radius:-radius]
    around = room.around[:count]
    lines = around.reshape(count, -1)
    largest = np.zeros(count, np.float32)
    for down_by in range(-radius, radius + 1):
        around[:] = second[:, radius + down_by : side - radius + down_by : _ROW_STEP]
        if not down_by:  # moved by two pixels, the window has much the same
            energy = np.einsum("pij,pij,pij->p", around, around, inside)
        for shift in range(2 * radius + 1):
            np.maximum(largest, np.vecdot(lines[:, shift : shift + part.shape[1]], part), out=largest)
    return np.asarray(largest / np.sqrt(np.maximum(energy * np.vecdot(part, part), _FLAT)), np.float32)


def _correlations(
    bands: npt.NDArray[np.int8], places: npt.NDArray, borders: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The largest correlations, of all rows."""
    radius = SEARCH_RADIUS
    sums = np.empty((len(places), 3 * _SHIFTS**2 + 2))
    turned, known = bands[0], None
    for row, (place, border) in enumerate(zip(places.tolist(), borders.tolist(), strict=True)):
        (first, second, turn), (a, b, c, d, dx, dy) = place[:3], border
        if (first, turn) != known:
            turned, known = turned_image(bands[first], turn).astype(np.float32, order="C"), (first, turn)
        around = bands[second, c - radius : d + radius, a - radius : b + radius].astype(np.float32)
        sums[row] = _sums(around, turned[c - dy : d - dy, a - dx : b - dx])
    return _largest_correlation(sums, _area(borders)[:, None])


@cache
def _turned_steps(side: int) -> npt.NDArray[np.int64]:
    """(8, 3): which pixel comes first under each turn, and how far the next are, beside and below."""
    pixels = np.arange(side * side).reshape(side, side)
    corners = np.stack([turned_image(pixels, turn)[:2, :2].ravel()[:3] for turn in range(8)])
    return corners - corners[:, :1] * [0, 1, 1]


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

"""Pairs of images of which one is the other rotated, zoomed, sheared, cropped or changed, as tools augment.

`twins` finds copies by quarter turns and shifts alone. Here key points have a scale and an orientation
(SIFT, Lowe 2004), so that they are found again under every similarity, and under its mirror image by
mirroring what describes them. Matches that agree on where one image lies on the other (Lowe 2004, section
7) name a pair. The map, by then of any shear, is fitted to the pixels (Evangelidis and Psarakis 2008), and
fine textures are correlated where one image lies on the other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.bars import track
from cnnzoo.data.audit.chance import raise_needed
from cnnzoo.data.audit.groups import components
from cnnzoo.data.audit.inverted_file import filled_index, nearest
from cnnzoo.data.audit.twins import ENOUGH_PIXELS, MIN_TWIN, MOST_TWIN, NOT_IDENTICAL, SIDE, Found, Twin
from cnnzoo.limits import in_threads

POINTS_SIDE = 100  # pixels: key points are looked for in as many as a square of this side has
KEY_POINTS = 40  # at most, in an image
MIN_ALIKE = 0.9  # cosine between two key points
MOST_MATCHES = 64  # of two images, the most alike: drawn digits would have hundreds
MIN_VOTES = 3  # matches that agree; unrelated images reach it about once an image
CANDIDATES = 8  # pairs with the most votes that are compared, for each image
ENOUGH_VOTES = 5  # for a map with shear
MIN_FITTED = 0.76  # correlation: a fitted map makes unlike pairs more alike; drawn tiles reach 0.755
MOST_ZOOM = 2.5
PLAIN = 0.02  # of a map, less than which counts as no rotation, zoom or shear: METU's crops have 0.01
MIN_OVERLAP = 0.25  # of the thumbnail, without what has been filled in
WORTH_FITTING = 0.2  # correlation of coarse textures before the map is fitted
FILLED = 7  # pixels of one gray level: the corners of a rotated image, a cut-out
IMAGES_AT_ONCE = 500
_BAND_MOST = 3.0  # deviations
_AT_ONCE = 1_000_000  # pairs of matches

_MATCH = np.dtype([("image", int), ("here", int), ("other", int), ("mirrored", bool), ("alike", np.float32)])
_CANDIDATE = np.dtype(
    [("first", int), ("second", int), ("mirrored", bool), ("votes", int), ("map", np.float64, (2, 3))]
)
_MIRROR = np.array([[-1.0, 0, SIDE - 1], [0, 1, 0], [0, 0, 1]])


def _basis() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Low frequencies of SIFT's 4 x 4 histograms of 8 directions, and the sign that a mirror gives each."""
    waves = [np.cos(np.pi * (np.arange(4) + 0.5) * u / 4) * (0.5 if u else 8**-0.5) for u in range(3)]
    circle = np.pi * np.arange(8) / 4
    rounds = [(np.full(8, 8**-0.5), 1)]
    rounds += [(wave(m * circle) / 2, sign) for m in (1, 2) for wave, sign in ((np.cos, 1), (np.sin, -1))]
    low = [(u, v, around, sign) for u in range(3) for v in range(3 - u) for around, sign in rounds]
    columns = [np.multiply.outer(np.outer(waves[u], waves[v]), around).ravel() for u, v, around, _ in low]
    signs = [sign * (-1) ** u for u, *_, sign in low]
    return np.asarray(np.stack(columns, 1), np.float32), np.asarray(signs, np.float32)


_BASIS, _MIRRORED = _basis()


class TransformedIndex:
    """What is kept of images to find transformed copies among them: 12 kB an image."""

    def __init__(self, count: int) -> None:
        self._thumbnails = np.zeros((count, SIDE, SIDE), np.uint8)
        self._pixels = np.full(count, SIDE * SIDE)  # of an image, those that its thumbnail shows
        self._sizes = np.ones((count, 2))  # width and height in which key points were looked for
        self._described: list[tuple[int, npt.NDArray, npt.NDArray]] = []

    def add(self, position: int, gray: npt.NDArray[np.uint8], thumbnail: npt.NDArray[np.uint8]) -> None:
        """Takes the gray image at `position` and its (SIDE, SIDE) thumbnail; threads may call this."""
        height, width = gray.shape
        self._thumbnails[position] = thumbnail
        self._pixels[position] = min(SIDE, height) * min(SIDE, width)
        # The aspect ratio is kept: a rotation stays one.
        scale = POINTS_SIDE / (height * width) ** 0.5
        size = max(16, round(width * scale)), max(16, round(height * scale))
        self._sizes[position] = size
        small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        self._described.append((position, *_described(np.asarray(small, np.uint8))))

    def find(
        self,
        known: Sequence[Twin] = (),
        queries: range | None = None,
        *,
        labels: npt.NDArray[np.int64] | None = None,
        progress: bool = True,
    ) -> Found:
        """Finds pairs that no chain of `known` ones connects and that are more alike than unrelated images.

        Args:
            known: pairs found before: they are not looked for again, but count where pairs form chains.
            queries: look only for copies of the images at these positions, the last ones; by default of all.
            labels: a class for each image: pairs that chain most of a class together are too many. By
                default all are of one class.
            progress: show bars on the terminal.
        """
        count = len(self._pixels)
        candidates = self._candidates(components(count, known), queries, progress=progress)
        if not len(candidates):
            return Found()
        chunks = [candidates[i : i + 50] for i in range(0, len(candidates), 50)]
        compared = in_threads(self._compared, chunks)
        bar = track(compared, len(chunks), "comparing transformed images", unit="batches", progress=progress)
        pairs: dict[tuple[int, int], tuple[float, Twin]] = {}
        for excess, twin in (each for chunk in bar for each in chunk):
            pair = (twin.first, twin.second)
            if pair not in pairs or excess > pairs[pair][0]:
                pairs[pair] = excess, twin
        return _counted(pairs, known, np.zeros(count, np.int64) if labels is None else labels)

    def _candidates(
        self, known: npt.NDArray[np.int32], queries: range | None, *, progress: bool
    ) -> npt.NDArray:
        """The pairs with the most votes of each image, plain and mirrored."""
        self._described.sort(key=lambda described: described[0])
        images = [image for image, *_ in self._described]
        if not any(len(points) for _, points, _ in self._described):
            return np.empty(0, _CANDIDATE)
        points = np.concatenate([points for _, points, _ in self._described])
        codes = np.concatenate([codes for *_, codes in self._described])
        owners = np.repeat(images, [len(points) for _, points, _ in self._described])
        index = filled_index(codes)
        parts = range(queries.start if queries else 0, len(known), IMAGES_AT_ONCE)

        def look_up(start: int) -> npt.NDArray:
            rows = np.arange(*np.searchsorted(owners, [start, start + IMAGES_AT_ONCE]))
            if not len(rows):
                return np.empty(0, _CANDIDATE)
            matches = np.concatenate([_matches(index, codes, owners, rows, known, m) for m in (False, True)])
            return np.array([*_agreed(matches, points, owners, self._sizes)], _CANDIDATE)

        done = in_threads(look_up, parts)
        bar = track(done, len(parts), "looking for transformed copies", unit="batches", progress=progress)
        return _most_votes(np.concatenate([*bar]))

    def _compared(self, candidates: npt.NDArray) -> list[tuple[float, Twin]]:
        """Each pair, and by how much of Fisher's z it is more alike than unlike images are."""
        found = []
        for first, second, mirrored, _, points_map in candidates.tolist():
            here, there = (_scaled(SIDE / self._sizes[image]) for image in (first, second))
            laid = there @ np.vstack([points_map, [0, 0, 1]]) @ np.linalg.inv(here)
            a, b = (self._thumbnails[image].astype(np.float32) for image in (first, second))
            score, seen, laid = _fitted(a[:, ::-1].copy() if mirrored else a, b, laid)
            if seen < MIN_OVERLAP:
                continue
            score = float(np.clip(score, -NOT_IDENTICAL, NOT_IDENTICAL))
            pixels = min(self._pixels[first], self._pixels[second])
            # Smaller parts look alike by chance, the more so once the map is fitted to them.
            by_chance = MIN_TWIN * max(1.0, ENOUGH_PIXELS / (seen * pixels)) ** 0.5
            excess = float(np.arctanh(score) - np.arctanh(min(MOST_TWIN, max(MIN_FITTED, by_chance))))
            found.append((excess, _twin(first, second, score, laid @ _MIRROR if mirrored else laid)))
        return found


def _counted(
    pairs: dict[tuple[int, int], tuple[float, Twin]], known: Sequence[Twin], labels: npt.NDArray[np.int64]
) -> Found:
    """The pairs that no unrelated images reach, and that chain no large part of a class."""
    before = [(twin.first, twin.second) for twin in known if twin.score < 1]
    excess = np.array([excess for excess, _ in pairs.values()])
    certain = [twin.score >= NOT_IDENTICAL for _, twin in pairs.values()]
    level = raise_needed(
        np.array([*pairs, *before], np.int64).reshape(-1, 2),
        np.append(excess, np.full(len(before), np.inf)),
        np.array(certain + [False] * len(before), bool),
        labels,
    )
    fewer = bool(((excess >= 0) & (excess < level)).any())
    return Found(
        twins=tuple(pairs[pair][1] for pair in sorted(pairs) if pairs[pair][0] >= level),
        tightened=float(np.tanh(np.arctanh(MIN_FITTED) + level)) if fewer else None,
    )


def _scaled(scales: npt.NDArray) -> npt.NDArray[np.float64]:
    """Scales pixels by their corners: their centres are at whole numbers."""
    (x, y), shift = scales, (scales - 1) / 2
    return np.array([[x, 0, shift[0]], [0, y, shift[1]], [0, 0, 1]])


def _described(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float16]]:
    """Place, log of the size and orientation of each key point; its histograms' low frequencies, length 1.

    Of histograms the roots are compared (Arandjelović and Zisserman 2012).
    """
    create: Any = vars(cv2)["SIFT_create"]  # OpenCV's own types lack it
    sift = create(nfeatures=KEY_POINTS, contrastThreshold=0.005, edgeThreshold=20)
    found, histograms = sift.detectAndCompute(image, None)
    if not found:
        return np.empty((0, 4), np.float32), np.empty((0, len(_MIRRORED)), np.float16)
    found, histograms = found[:KEY_POINTS], histograms[:KEY_POINTS]
    points = np.array([(*p.pt, np.log(p.size), np.deg2rad(p.angle)) for p in found], np.float32)
    codes = np.sqrt(histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1e-9)) @ _BASIS
    codes /= np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-9)
    return points, codes.astype(np.float16)


def _matches(
    index: Any, codes: npt.NDArray, owners: npt.NDArray, rows: npt.NDArray, known: npt.NDArray, mirrored: bool
) -> npt.NDArray:
    """The key points nearest to those in `rows`, of images that no known pairs connect with theirs."""
    queries = codes[rows].astype(np.float32)
    alike, near = nearest(index, queries * _MIRRORED if mirrored else queries)
    query, rank = np.nonzero((alike > MIN_ALIKE) & (near >= 0))
    here, other = rows[query], near[query, rank]
    keep = known[owners[here]] != known[owners[other]]
    matches = np.empty(int(keep.sum()), _MATCH)
    matches["image"], matches["here"], matches["other"] = owners[here][keep], here[keep], other[keep]
    matches["mirrored"], matches["alike"] = mirrored, alike[query, rank][keep]
    return matches


def _agreed(
    matches: npt.NDArray, points: npt.NDArray, owners: npt.NDArray, sizes: npt.NDArray
) -> Iterator[tuple[int, int, bool, int, npt.NDArray[np.float64]]]:
    """Pairs of images, of which matches agree on a map: `_CANDIDATE` each."""
    others = owners[matches["other"]]
    order = np.lexsort((-matches["alike"], matches["mirrored"], others, matches["image"]))
    matches, others = matches[order], others[order]
    starts, counts = _runs(matches["image"], others, matches["mirrored"])
    rank = np.arange(len(matches)) - np.repeat(starts, counts)
    keep = (np.repeat(counts, counts) >= MIN_VOTES) & (rank < MOST_MATCHES)
    matches, others = matches[keep], others[keep]
    starts, counts = _runs(matches["image"], others, matches["mirrored"])
    # The mirror image is of the first image of a pair, the one with the smaller position.
    back = matches["image"] > others
    a, b = np.where(back, (matches["other"], matches["here"]), (matches["here"], matches["other"]))
    first, second = points[a].astype(float), points[b].astype(float)
    mirrored = matches["mirrored"]
    first[mirrored, 0] = sizes[owners[a[mirrored]], 0] - 1 - first[mirrored, 0]
    first[mirrored, 3] = np.pi - first[mirrored, 3]
    ends = np.cumsum(counts**2)
    for part in np.split(np.arange(len(starts)), np.flatnonzero(np.diff(ends // _AT_ONCE)) + 1):
        for row, voters in _best_votes(first, second, a, b, starts[part], counts[part]):
            laid = _map(first[voters, :2], second[voters, :2])
            zoom = abs(np.linalg.det(laid[:, :2])) ** 0.5
            if 1 / MOST_ZOOM < zoom < MOST_ZOOM:
                yield int(owners[a[row]]), int(owners[b[row]]), bool(mirrored[row]), len(voters), laid


def _runs(*keys: npt.NDArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where runs of the same keys start, and their lengths."""
    if not len(keys[0]):
        return np.empty(0, int), np.empty(0, int)
    new = np.logical_or.reduce([np.diff(key.astype(int), prepend=-1) != 0 for key in keys])
    starts = np.flatnonzero(new)
    return starts, np.diff(starts, append=len(new))


def _best_votes(
    first: npt.NDArray, second: npt.NDArray, a: npt.NDArray, b: npt.NDArray,
    starts: npt.NDArray, counts: npt.NDArray,
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:  # fmt: skip
    """Of each run of matches one, and those that agree with the similarity that it implies.

    As complex numbers, a similarity is a product and a sum.
    """
    if not len(starts):
        return
    low = starts[0]
    rows = np.arange(low, starts[-1] + counts[-1])
    here, there = (points[rows, 0] + 1j * points[rows, 1] for points in (first, second))
    turn = np.exp(second[rows, 2] - first[rows, 2] + 1j * (second[rows, 3] - first[rows, 3]))
    n = np.repeat(counts, counts)
    q = np.repeat(np.arange(len(rows)), n)
    r = np.repeat(np.repeat(starts - low, counts), n) + np.arange(len(q)) - np.repeat(np.cumsum(n) - n, n)
    way, ratio = here[r] - here[q], turn[r] / turn[q]
    near = np.abs(there[q] + turn[q] * way - there[r]) < 4 + 0.2 * np.abs(way)
    agree = near & (np.abs(np.angle(ratio)) < 0.5) & (np.abs(np.log(np.abs(ratio))) < 0.4)
    q, r = q[agree], r[agree]
    # A key point votes once, whatever it is matched with.
    votes = np.minimum(_different(q, a[rows][r], len(rows)), _different(q, b[rows][r], len(rows)))
    for start, count in zip((starts - low).tolist(), counts.tolist(), strict=True):
        best = start + int(votes[start : start + count].argmax())
        if votes[best] >= MIN_VOTES:
            voters = r[np.searchsorted(q, best) : np.searchsorted(q, best + 1)]
            yield int(rows[best]), rows[voters[_firsts(a[rows][voters], b[rows][voters])]]


def _firsts(a: npt.NDArray, b: npt.NDArray) -> npt.NDArray[np.int64]:
    """The matches, the most alike first, without those of a key point that has had one."""
    once = np.sort(np.unique(a, return_index=True)[1])
    return np.asarray(once[np.sort(np.unique(b[once], return_index=True)[1])], np.int64)


def _different(q: npt.NDArray, values: npt.NDArray, count: int) -> npt.NDArray[np.int64]:
    """How many different values each of `count` numbers in `q` has."""
    size = int(values.max(initial=0)) + 1
    return np.bincount(np.unique(q * size + values) // size, minlength=count)


def _map(first: npt.NDArray, second: npt.NDArray) -> npt.NDArray[np.float64]:
    """The map (2, 3) of points that fits best: a similarity of few, with shear of more but the worst."""
    x, y = first @ [1, 1j], second @ [1, 1j]
    way = x - x.mean()
    turn = (way.conj() @ y) / max((way.conj() @ way).real, 1e-9)
    shift = y.mean() - turn * x.mean()
    similarity = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    if len(first) < ENOUGH_VOTES:
        return similarity
    ones = np.column_stack([first, np.ones(len(first))])
    off = np.zeros(len(first))
    for _ in range(3):
        good = off <= max(2.0, float(np.median(off)))
        laid = np.linalg.lstsq(ones[good], second[good], rcond=None)[0].T
        off = np.hypot(*(ones @ laid.T - second).T)
    stretch = np.linalg.svd(laid[:, :2], compute_uv=False)
    return laid if np.linalg.det(laid[:, :2]) > 0 and stretch[0] < 2 * stretch[1] else similarity


def _most_votes(candidates: npt.NDArray) -> npt.NDArray:
    """Each pair once, of those found from both sides, as far as it is among the best of either image."""
    order = np.lexsort(
        (-candidates["votes"], candidates["mirrored"], candidates["second"], candidates["first"])
    )
    candidates = candidates[order]
    candidates = candidates[_runs(candidates["first"], candidates["second"], candidates["mirrored"])[0]]
    keep = np.zeros(len(candidates), bool)
    for side in ("first", "second"):
        order = np.lexsort((-candidates["votes"], candidates[side]))
        starts, counts = _runs(candidates[side][order])
        keep[order[np.arange(len(order)) - np.repeat(starts, counts) < CANDIDATES]] = True
    return candidates[keep]


def _fitted(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], laid: npt.NDArray[np.float64]
) -> tuple[float, float, npt.NDArray[np.float64]]:
    """Correlation of fine textures, the share of the thumbnail they are compared in, and the fitted map."""
    enlarged = abs(np.linalg.det(laid[:2, :2])) > 1
    # The one that shows more is kept, the enlarged one shrunk onto it.
    fixed, moved = (first, second) if enlarged else (second, first)
    warp = (laid if enlarged else np.linalg.inv(laid))[:2].astype(np.float32)
    if _correlation(fixed, moved, warp, 2)[0] < WORTH_FITTING:
        return 0.0, 0.0, laid
    textures = [np.clip(_band(image, 1, 3), -_BAND_MOST, _BAND_MOST) for image in (fixed, moved)]
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-3)
    try:
        _, warp = cv2.findTransformECC(*textures, warp, cv2.MOTION_AFFINE, stop, None, 3)  # type: ignore[call-overload]
    except cv2.error:  # it found no way up
        return 0.0, 0.0, laid
    score, seen = _correlation(fixed, moved, warp, 1)
    square = np.vstack([warp, [0, 0, 1]]).astype(float)
    if abs(np.linalg.det(square)) < MOST_ZOOM**-2:
        return 0.0, 0.0, laid
    return score, seen, square if enlarged else np.linalg.inv(square)


def _correlation(
    fixed: npt.NDArray[np.float32], moved: npt.NDArray[np.float32], warp: npt.NDArray[np.float32], fine: float
) -> tuple[float, float]:
    """Of the textures where both images show something, and how much of a thumbnail that is."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(moved, warp, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(_shown(moved), warp, (SIDE, SIDE), flags=flags) > 0.99
    both = inside & (_shown(fixed) > 0)
    both = cv2.erode(both.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    seen = float(both.mean())
    if seen < MIN_OVERLAP:
        return 0.0, seen
    a, b = (_band(image, fine, 2 * fine)[both] for image in (np.asarray(laid, np.float32), fixed))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max((a @ a) ** 0.5 * (b @ b) ** 0.5, 1e-9)), seen


def _shown(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 where an image shows something, 0 where larger areas have one gray level: all frames look alike."""
    flat = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((FILLED, FILLED), np.uint8)) <= 1
    return np.asarray(1 - cv2.dilate(flat.astype(np.float32), np.ones((FILLED + 4, FILLED + 4))), np.float32)


def _band(image: npt.NDArray[np.float32], fine: float, coarse: float) -> npt.NDArray[np.float32]:
    """A band of an image over its local deviation, as the fine texture of `twins`."""
    band = cv2.GaussianBlur(image, (0, 0), fine) - cv2.GaussianBlur(image, (0, 0), coarse)
    deviation = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), 2 * coarse)) + 0.5
    return np.asarray(band / deviation, np.float32)


def _twin(first: int, second: int, score: float, laid: npt.NDArray[np.float64]) -> Twin:
    """Whose map is in shares of the sides; one that quarter turns and a shift tell is told by these."""
    shares = _scaled(np.array([1 / SIDE, 1 / SIDE]))
    shares[:2, 2] = 0.5 / SIDE
    laid = (shares @ laid @ np.linalg.inv(shares))[:2]
    for turn in range(8):
        turned = _turned(turn)
        if np.abs(laid[:, :2] - turned[:, :2]).max() < PLAIN:
            # Where the middle comes to lie, as it does for both.
            x, y = ((laid - turned) @ [0.5, 0.5, 1]).tolist()
            return Twin(first, second, score, turn, (x, y))
    (a, b, c), (d, e, f) = laid.tolist()
    return Twin(first, second, score, affine=(a, b, c, d, e, f))


def _turned(turn: int) -> npt.NDArray[np.float64]:
    """Where points of an image come to lie when it is `turned_image`, in shares of its sides."""
    laid = np.eye(3)
    for _ in range(turn % 4):
        laid = np.array([[0.0, 1, 0], [-1, 0, 1], [0, 0, 1]]) @ laid
    return (np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]) @ laid if turn >= 4 else laid)[:2]

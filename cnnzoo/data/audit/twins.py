"""Pairs of images that show the same piece of a surface, in time about linear in the number of images.

Two images are twins if one is the other turned by quarters, mirrored, shifted, lit differently or encoded
again. Each image gives key points and, around each, the low frequencies of its window; an inverted file
(Sivic and Zisserman 2003, by FAISS) finds windows that look alike under one of the eight turns. A pair of
windows says how one image would have to lie on the other, and there their fine textures are compared by
normalised cross-correlation: concrete looks alike everywhere, its grain does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.bars import track
from cnnzoo.data.audit.chance import raise_needed
from cnnzoo.data.audit.inverted_file import filled_index, nearest
from cnnzoo.data.audit.overlap import overlap_correlations
from cnnzoo.limits import in_threads

SIDE = 96  # pixels of the thumbnails that everything here works on
WINDOW = 16  # pixels from a key point to the border of its window
STEP = 4  # pixels between the samples of a window
KEY_POINTS = 24  # at most, in an image
FREQUENCIES = 7  # of a window: those (u, v) with u + v up to it

MIN_CONTRAST = 0.3  # gray levels; a flatter window says nothing
MIN_ALIKE = 0.97  # cosine between two windows
MIN_TWIN = 0.6  # correlation of the fine textures: of concrete, unlike pairs stay under 0.55, twins over 0.64
MOST_TWIN = 0.95  # asked of any pair, so that of the smallest images too a mirrored copy is found
NOT_IDENTICAL = 0.9999  # looks alone don't tell whether two files are the same
ENOUGH_PIXELS = 3500  # compared, of images smaller than a thumbnail: with fewer `MIN_TWIN` is too low
PLACES_PER_PAIR = 2
CENTRED = 0.15  # of a side: a crop of 70 % moves the middle by that
_LOOKED_UP = 25_000  # windows at a time
_BAND_SCALE = 40  # the fine texture is kept in int8, in steps of 1/40 of its local deviation
_OFFSETS = np.arange(-WINDOW, WINDOW + 1, STEP)


@dataclass(frozen=True)
class Twin:
    """Two images of one piece of surface.

    Attributes:
        first, second: positions of the images.
        score: correlation of their fine textures where they overlap, 1 for identical files.
        turn: quarter turns of the first, anticlockwise, and 4 more if it is mirrored left and right then.
        shift: where the first, so turned, lies on the second: (x, y) as shares of its sides.
        affine: the map of the first on the second, as `transformed` finds it: (x, y), as shares of the
            sides, comes to lie at (a x + b y + c, d x + e y + f). None where `turn` and `shift` tell it.
    """

    first: int
    second: int
    score: float
    turn: int = 0
    shift: tuple[float, float] = (0.0, 0.0)
    affine: tuple[float, float, float, float, float, float] | None = None

    @property
    def centred(self) -> bool:
        """Whether the middle of one lies near the middle of the other, as tools leave it that augment."""
        x, y = self.shift
        if self.affine is not None:
            a, b, c, d, e, f = self.affine
            x, y = (a + b) / 2 + c - 0.5, (d + e) / 2 + f - 0.5
        return max(abs(x), abs(y)) <= CENTRED


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        twins: pairs that count, each once with the smaller position first, sorted.
        tightened: the correlation from which on they count, where unrelated images of the set reach the
            usual threshold; None where it holds. Of the smallest images still more is asked.
        doubtful: for each image its closest pair, if any, that only the usual threshold would have counted.
    """

    twins: tuple[Twin, ...] = ()
    tightened: float | None = None
    doubtful: tuple[Twin, ...] = ()


class TwinIndex:
    """What is kept of images to find twins among them: 11 kB an image."""

    def __init__(self, count: int) -> None:
        self._bands = np.zeros((count, SIDE, SIDE), np.int8)
        self._pixels = np.full(count, SIDE * SIDE)  # of an image, those that its thumbnail shows
        self._windows: list[tuple[int, npt.NDArray, npt.NDArray]] = []

    def add(
        self, position: int, thumbnail: npt.NDArray[np.uint8], shape: tuple[int, ...] = (SIDE, SIDE)
    ) -> None:
        """Takes the (SIDE, SIDE) gray thumbnail of the image at `position`; threads may call this.

        `shape` is the height and width of the image: a thumbnail larger than it shows no more than it did.
        """
        self._pixels[position] = min(SIDE, shape[0]) * min(SIDE, shape[1])
        image = thumbnail.astype(np.float32)
        points = _key_points(image)
        self._bands[position] = _fine_texture(image)
        if len(points):
            self._windows.append((position, points, _spectra(image, points)))

    def find(
        self,
        queries: range | None = None,
        *,
        labels: npt.NDArray[np.int64] | None = None,
        progress: bool = True,
    ) -> Found:
        """Finds the twins that are more alike than unrelated images of the set.

        Args:
            queries: look only for twins of the images at these positions, the last ones; by default of all.
            labels: a class for each image: pairs that chain most of a class together are too many. By
                default all are of one class.
            progress: show bars on the terminal.
        """
        self._windows.sort(key=lambda window: window[0])
        if not self._windows or (queries is not None and self._windows[-1][0] < queries.start):
            return Found()
        places = self._places(queries, progress=progress)
        if not len(places):
            return Found()
        chunks = [places[i : i + 2000] for i in range(0, len(places), 2000)]
        compared = in_threads(partial(overlap_correlations, self._bands), chunks)
        scores = [*track(compared, len(chunks), "comparing textures", unit="batches", progress=progress)]
        score = np.clip(np.concatenate(scores), -NOT_IDENTICAL, NOT_IDENTICAL)
        least = self._least(places)
        excess = np.arctanh(score) - np.arctanh(least)
        pairs, excess, best = _best_places(places, excess)
        one_class = np.zeros(len(self._pixels), np.int64)
        certain = score[best] >= NOT_IDENTICAL
        level = raise_needed(pairs, excess, certain, one_class if labels is None else labels)

        def twins(rows: npt.NDArray) -> tuple[Twin, ...]:
            return tuple(_twin(places[i], float(score[i])) for i in best[rows])

        doubtful = _closest(pairs, np.flatnonzero((excess >= 0) & (excess < level)), excess)
        return Found(
            twins=twins(np.flatnonzero(excess >= level)),
            tightened=float(np.tanh(np.arctanh(least.min()) + level)) if len(doubtful) else None,
            doubtful=twins(doubtful),
        )

    def _least(self, places: npt.NDArray) -> npt.NDArray[np.float64]:
        """The correlation that no two unlike images reach: by chance it grows as what is compared shrinks."""
        pixels = np.minimum(self._pixels[places["first"]], self._pixels[places["second"]])
        seen = (1 - np.abs(places["x"] / SIDE)) * (1 - np.abs(places["y"] / SIDE)) * pixels
        least = np.minimum(MOST_TWIN, MIN_TWIN * np.sqrt(np.maximum(1.0, ENOUGH_PIXELS / seen)))
        return np.asarray(np.where(pixels == SIDE * SIDE, MIN_TWIN, least), np.float64)

    def _places(self, queries: range | None, *, progress: bool) -> npt.NDArray:
        """For each pair of images with alike windows the likeliest ways to lay one on the other."""
        owners = np.concatenate([np.full(len(points), i, np.int32) for i, points, _ in self._windows])
        points = np.concatenate([points for _, points, _ in self._windows])
        spectra = np.concatenate([spectra for *_, spectra in self._windows])
        first = 0 if queries is None else int(np.searchsorted(owners, queries.start))
        index = filled_index(spectra)

        def look_up(job: tuple[int, int]) -> npt.NDArray:
            turn, start = job
            alike, near = nearest(index, _turned_spectra(spectra[start : start + _LOOKED_UP], turn))
            query, rank = np.nonzero((alike > MIN_ALIKE) & (near >= 0))
            here, other = query + start, near[query, rank]
            keep = owners[here] != owners[other]
            here, other = here[keep], other[keep]
            shift = points[other] - _turned_points(points[here], turn)
            part = np.empty(len(here), _PLACE)
            part["first"], part["second"], part["turn"] = owners[here], owners[other], turn
            part["x"], part["y"], part["alike"] = shift[:, 0], shift[:, 1], alike[query, rank][keep]
            return _one_way(part)

        # A turn by three quarters is left out where all are looked up: a pair is found from its other side.
        turns = (0, 1, 2, 3, 4, 5, 6, 7) if first else (0, 1, 2, 4, 5, 6, 7)
        jobs = [(turn, start) for turn in turns for start in range(first, len(spectra), _LOOKED_UP)]
        done = in_threads(look_up, jobs)
        found = [*track(done, len(jobs), "looking for twins", unit="batches", progress=progress)]
        return _likeliest(np.concatenate(found))


_PLACE = np.dtype(
    [
        ("first", np.int32),
        ("second", np.int32),
        ("turn", np.int8),
        ("x", np.int8),
        ("y", np.int8),
        ("alike", np.float32),
    ]
)


def _key_points(image: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Where the difference of two Gaussians is locally largest (Lowe 2004): the same under every turn."""
    response = np.abs(cv2.GaussianBlur(image, (0, 0), 2) - cv2.GaussianBlur(image, (0, 0), 4))
    inner = slice(WINDOW, SIDE - WINDOW)
    highest = cv2.dilate(response, np.ones((7, 7), np.uint8))[inner, inner]
    response = response[inner, inner]
    y, x = np.nonzero((response == highest) & (response > MIN_CONTRAST))
    strongest = np.argsort(-response[y, x], kind="stable")[:KEY_POINTS]
    return (np.stack([x, y], 1)[strongest] + WINDOW).astype(np.int8)


def _fine_texture(image: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """The band between one and two pixels over its local deviation, so that a dark crack counts no more."""
    band = cv2.GaussianBlur(image, (0, 0), 1) - cv2.GaussianBlur(image, (0, 0), 2)
    deviation = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), 4)) + 0.5
    return np.clip(np.rint(_BAND_SCALE * band / deviation), -127, 127).astype(np.int8)


def _frequencies() -> list[tuple[int, int]]:
    pairs = [(u, v) for u in range(FREQUENCIES + 1) for v in range(FREQUENCIES + 1) if u + v <= FREQUENCIES]
    return pairs[1:]  # not the mean, so that brightness doesn't count


def _cosines() -> npt.NDArray[np.float32]:
    n = len(_OFFSETS)
    waves = np.cos(np.pi * (np.arange(n) + 0.5) * np.arange(FREQUENCIES + 1)[:, None] / n)
    waves[0] /= np.sqrt(2)
    rows = [np.outer(waves[v], waves[u]).ravel() for u, v in _frequencies()]
    return np.asarray(np.stack(rows, 1), np.float32)


_COSINES = _cosines()


def _spectra(image: npt.NDArray[np.float32], points: npt.NDArray[np.int8]) -> npt.NDArray[np.float16]:
    """The discrete cosine transform of each window, of length 1 so that contrast doesn't count."""
    smooth = cv2.GaussianBlur(image, (0, 0), 2.5)
    rows = points[:, 1, None, None] + _OFFSETS[:, None]
    columns = points[:, 0, None, None] + _OFFSETS[None, :]
    spectra = smooth[rows, columns].reshape(len(points), -1) @ _COSINES
    return (spectra / np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), 1e-6)).astype(np.float16)


def _turned_points(points: npt.NDArray, turn: int) -> npt.NDArray[np.int16]:
    """Where (x, y) comes to lie when its image is `turned_image`."""
    x, y = points[:, 0].astype(np.int16), points[:, 1].astype(np.int16)
    for _ in range(turn % 4):
        x, y = y, np.int16(SIDE - 1) - x
    return np.stack([np.int16(SIDE - 1) - x if turn >= 4 else x, y], 1)


def _turned_spectra(spectra: npt.NDArray, turn: int) -> npt.NDArray[np.float32]:
    """The spectra of the windows turned: a mirror changes signs, a quarter turn swaps axes as well."""
    frequencies = _frequencies()
    u, v = np.array(frequencies).T
    swapped = np.array([frequencies.index((b, a)) for a, b in frequencies])
    spectra = spectra.astype(np.float32)
    for _ in range(turn % 4):
        spectra = spectra[:, swapped] * (-1.0) ** v
    return np.asarray(spectra * (-1.0) ** u if turn >= 4 else spectra, np.float32)


def _one_way(places: npt.NDArray) -> npt.NDArray:
    """Turns places round where the first image has the larger position, so that a pair is named one way."""
    back = places["first"] > places["second"]
    turned = places.copy()
    turned["first"][back], turned["second"][back] = places["second"][back], places["first"][back]
    for turn in np.unique(places["turn"][back]):
        rows = np.nonzero(back & (places["turn"] == turn))[0]
        inverse = _inverse(int(turn))
        # x' = R x + s, so x = R⁻¹ x' - R⁻¹ s: the linear part of the turn alone is what the shift gets.
        shift = np.stack([places["x"][rows], places["y"][rows]], 1)
        origin = _turned_points(np.zeros((1, 2), np.int16), inverse)
        shift = origin - _turned_points(shift, inverse)
        turned["turn"][rows], turned["x"][rows], turned["y"][rows] = inverse, shift[:, 0], shift[:, 1]
    return turned


def _inverse(turn: int) -> int:
    """A mirrored turn undoes itself; a plain one is undone by the rest of the full turn."""
    return turn if turn >= 4 else -turn % 4


def _likeliest(places: npt.NDArray) -> npt.NDArray:
    """The `PLACES_PER_PAIR` most alike different places of each pair."""
    order = np.lexsort((-places["alike"], places["second"], places["first"]))
    places = places[order]
    new = np.ones(len(places), bool)
    new[1:] = (places["first"][1:] != places["first"][:-1]) | (places["second"][1:] != places["second"][:-1])
    starts = np.maximum.accumulate(np.where(new, np.arange(len(places)), 0))
    return places[np.arange(len(places)) - starts < PLACES_PER_PAIR]


def _best_places(
    places: npt.NDArray, excess: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Each pair of images once, sorted; its largest excess, and where in `places` that is."""
    order = np.lexsort((-excess, places["second"], places["first"]))
    pairs = np.stack([places["first"][order], places["second"][order]], 1).astype(np.int64)
    new = np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1))
    return pairs[new], excess[order][new], order[new]


def _closest(
    pairs: npt.NDArray[np.int64], rows: npt.NDArray, excess: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Those of `rows` that are the closest pair of one of their two images."""
    closest: dict[int, int] = {}
    for row in rows[np.argsort(-excess[rows], kind="stable")].tolist():
        for image in pairs[row].tolist():
            closest.setdefault(image, row)
    return np.array(sorted(set(closest.values())), np.int64)


def _twin(place: npt.NDArray, score: float) -> Twin:
    shift = (float(place["x"]) / SIDE, float(place["y"]) / SIDE)
    return Twin(int(place["first"]), int(place["second"]), score, int(place["turn"]), shift)


def same_file(contents: Sequence[str]) -> list[Twin]:
    """Pairs of positions with the same content hash, each with the first that has it."""
    first: dict[str, int] = {}
    twins = []
    for position, content in enumerate(contents):
        if content in first:
            twins.append(Twin(first[content], position, 1.0))
        first.setdefault(content, position)
    return twins

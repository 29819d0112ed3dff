"""From a photograph of a surface to a map of its cracks, by a classifier of tiles."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from cnnzoo.bars import track
from cnnzoo.data.class_names import positive_class
from cnnzoo.data.images import read_image
from cnnzoo.data.pipeline import is_count
from cnnzoo.deploy.classifier import Classifier, checked
from cnnzoo.deploy.exports.runtimes import READABLE, Exported, load_exported
from cnnzoo.deploy.looking import AnswerLooker, Joined, Looker, Seen, batches_of, looks_at
from cnnzoo.deploy.traces import Crack, extents, long_enough, traced
from cnnzoo.errors import InputError, kind_of, printable
from cnnzoo.evaluation.adapting import adapted, sound_reference
from cnnzoo.evaluation.lines import REACH, WIDTHS, dark_lines, surroundings
from cnnzoo.limits import in_threads

FEWEST = 16  # pixels, of a tile and of a photograph
LARGEST_SIDE = 65_500  # pixels, that a JPEG can have

# Chosen on drawn surfaces, whose cracks are known (`experiments.benchmarks.parts.mapping`).
CLEAR = 4.4  # a line this clear at a place that the model is undecided about is a crack,
FOLLOWED = 0.7  # and goes on while it is this share as clear
SHORTEST = 30  # pixels of the model's input: shorter ones are specks
GAP = 4  # pixels of the model's input: a crack that is lost for as long goes on
DARK = 0.35  # of the difference between a crack's darkest place and the surface: from there on it is crack
WIDEST = 6  # pixels of the model's input: half of the width of the widest cracks

_FINENESS = 0.7  # of the resolution at which the model sees: there lines are looked for
_PIECE = 1024  # pixels there in which they are looked for together
_LOOKS = 64  # along the longer side of a photograph, at most, where the tile is chosen
_STEP = 2**0.5  # from one tile that is tried to the next

_Part = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class CrackMap:
    """Where in a photograph a classifier sees cracks.

    Attributes:
        photograph: (height, width, 3) RGB uint8.
        heat: (height, width) uint8: how clear a crack is at each place, 128 or more from the threshold on.
        cracks: (height, width): True where there is one.
        tile: side of what one look of the model covered, pixels of the photograph.
        tried: the tiles that were tried, with the standard deviation of what the model saw at the places of
            the photograph; the tile is that with the highest.
        cracked: share of tiles of the class that is looked for.
        gap: pixels of the photograph that a crack may be lost for and go on.
    """

    photograph: npt.NDArray[np.uint8]
    heat: npt.NDArray[np.uint8]
    cracks: npt.NDArray[np.bool_]
    tile: int
    tried: dict[int, float]
    cracked: float
    gap: int

    def traced(self) -> list[Crack]:
        """Returns each crack with its length, extent, width and outline, the longest first."""
        return traced(self.cracks, self.gap)


def crack_map(
    classifier: Classifier | str | Path,
    photograph: str | Path | npt.NDArray[np.uint8],
    *,
    tile: int | None = None,
    overlap: float = 0.5,
    threshold: float | None = None,
) -> CrackMap:
    """Maps the cracks in a photograph of any size.

    The classifier looks at overlapping tiles of it. In those that it takes for cracked, its class activation
    map tells where, and the cracks are the dark lines there that stand out from the surface around them.
    Nothing in this has learnt from masks.

    Args:
        classifier: what `load_model` returns, or the .keras file to load; its positive class is what is
            looked for, or that of two classes whose usual name says it, such as crack. Of an .onnx or .tflite
            file the tiles alone tell where.
        photograph: file, or RGB, (height, width, 3) uint8.
        tile: side of what one look covers, pixels of the photograph. By default several are tried, and that
            is taken at which the model tells the places of the photograph apart most.
        overlap: share of a tile that the next one covers too, from 0 to below 1.
        threshold: probability from which on a tile counts as cracked; by default the classifier's.

    Raises:
        InputError: an argument can't be used, or the file is no image.
    """
    return CrackMapper(classifier, tile=tile, overlap=overlap, threshold=threshold).map(photograph)


class CrackMapper:
    """`crack_map` for many photographs by one classifier.

    Attributes:
        classifier: that looks.
        positive: class that is looked for.
        threshold: probability from which on a tile counts as cracked.
    """

    def __init__(
        self,
        classifier: Classifier | str | Path,
        *,
        tile: int | None = None,
        overlap: float = 0.5,
        threshold: float | None = None,
        progress: bool = False,
    ) -> None:
        """Takes what `crack_map` does; `progress` shows a bar on the terminal for each photograph."""
        self.classifier = _loaded(classifier)
        if tile is not None and not (is_count(tile) and tile >= FEWEST):
            raise InputError(
                f"{{tile}} {tile}: it must be a whole number of pixels, at least {FEWEST}", tile="tile"
            )
        if not 0 <= overlap < 1:
            raise InputError(f"{{overlap}} {overlap}: it must be from 0 to below 1", overlap="overlap")
        if threshold is not None and not 0 < threshold < 1:
            raise InputError(f"{{threshold}} {threshold}: it must lie between 0 and 1", threshold="threshold")
        names, decision = self.classifier.class_names, self.classifier.decision
        self.positive = decision.positive or positive_class(names)
        if not self.positive:
            raise InputError(
                f"the model doesn't say which of its classes ({', '.join(map(printable, names[:9]))}) to "
                "look for: train it with --positive CLASS, or save it with Decision(positive=CLASS)"
            )
        class_id = names.index(self.positive)
        self._looker: Looker | AnswerLooker = (
            AnswerLooker(self.classifier.ask, self.classifier.size, class_id)
            if isinstance(self.classifier, Exported)
            else Looker(self.classifier.model, class_id, decision.temperature)
        )
        self._tile, self._overlap, self._progress = tile, overlap, progress
        own = 0.5 if decision.threshold is None else decision.threshold
        self.threshold = own if threshold is None else threshold

    def adapt(self, photographs: Sequence[str | Path]) -> None:
        """Fits `threshold` to the surface that all the photographs show; no label is used.

        See `cnnzoo.evaluation.adapting`. Files that are no images are passed over.

        Raises:
            InputError: the classifier doesn't say how sound tiles score.
        """
        decision, names = self.classifier.decision, self.classifier.class_names
        sound_reference(decision, names)  # before all photographs are looked at
        scores = [np.empty(0, np.float32)]
        for number, path in enumerate(photographs, start=1):
            try:
                pixels = _pixels(path)
            except InputError:
                continue
            title = f"looking at the surface, photograph {number:,} of {len(photographs):,}"
            scores.append(self._seen(pixels, title)[0].tiles)
        cracked = expit(np.concatenate(scores))
        order = 1 if names[1] == self.positive else -1
        rows = np.stack([1 - cracked, cracked][::order], axis=1)
        fitted = adapted(decision, rows, names).threshold
        self.threshold = self.threshold if fitted is None else round(fitted, 6)

    @property
    def _least(self) -> float:
        """Log-odds of a tile from which on it counts."""
        return float(logit(self.threshold))

    def map(
        self,
        photograph: str | Path | npt.NDArray[np.uint8],
        *,
        title: str = "looking",
        told: Callable[[float], None] | None = None,
    ) -> CrackMap:
        """Maps one photograph, as `crack_map` does.

        Args:
            photograph: as there.
            title: of the bar.
            told: called with the share of all looks that are done, up to 1.
        """
        pixels = _pixels(photograph)
        seen, tried = self._seen(pixels, title, told)
        heat = self._heat(pixels, seen)
        scale = self._looker.size / seen.tile
        shortest, gap = SHORTEST / scale, round(GAP / scale)
        cracks = _narrowed(pixels, _followed(heat, shortest), scale)
        cracks &= long_enough(cracks, gap, shortest)
        return CrackMap(
            pixels, heat, cracks, seen.tile, tried, float((seen.tiles >= self._least).mean()), gap
        )

    def _seen(
        self, pixels: npt.NDArray[np.uint8], title: str, told: Callable[[float], None] | None = None
    ) -> tuple[Seen, dict[int, float]]:
        """What was seen with the best of the tiles, and how much each told places apart."""
        sides = self._sides(pixels) if self._tile is None else [min(self._tile, *pixels.shape[:2])]
        batches = [(side, batch) for side in sides for batch in batches_of(pixels.shape, side, self._overlap)]
        joined = {side: Joined(pixels.shape, side, self._looker.size) for side in sides}
        with closing(looks_at(self._looker, pixels, batches)) as looks:
            both = track(
                zip(batches, looks, strict=True),
                len(batches),
                title,
                progress=self._progress,
                unit="batches",
            )
            for done, ((side, batch), found) in enumerate(both, start=1):
                joined[side].add(batch, *found)
                if told is not None:
                    told(done / len(batches))
        each = {side: parts.seen(self._least) for side, parts in joined.items()}
        tried = {side: float(found.places.std()) for side, found in each.items()}
        return each[max(tried, key=lambda side: tried[side])], tried

    def _sides(self, pixels: npt.NDArray[np.uint8]) -> list[int]:
        """The tiles to try: those that the model learnt from, larger and smaller ones."""
        usual = (self.classifier.image_pixels or (self._looker.size,))[0]
        shorter, longer = min(pixels.shape[:2]), max(pixels.shape[:2])
        sides = [round(usual * _STEP**power) for power in range(-4, 9)]
        return [side for side in sides if max(FEWEST, longer / _LOOKS) <= side <= shorter] or [shorter]

    def _heat(self, pixels: npt.NDArray[np.uint8], seen: Seen) -> npt.NDArray[np.uint8]:
        """How clear a crack is at each place: 0 outside the tiles that are taken for cracked."""
        # More pixels than the photograph has would tell nothing more.
        gray = _shrunk(pixels, min(1.0, _FINENESS * self._looker.size / seen.tile))
        heat, cracked = np.zeros(gray.shape, np.uint8), seen.cracked.astype(np.uint8)

        def look(piece: _Part) -> None:
            box = _box(_part(cracked, gray.shape, piece, cv2.INTER_NEAREST), piece)
            if box is None:
                return
            # One more on each side, lest the border be mixed with nothing when it is enlarged.
            inner = _widened(box, 1, gray.shape)[0]
            outer, within = _widened(inner, REACH, gray.shape, grid=max(WIDTHS))
            places = _part(seen.places, gray.shape, inner, cv2.INTER_LINEAR)
            clear = dark_lines(gray[outer])[within] * np.sqrt(2 * places)
            heat[inner] = np.rint(255 * clear / (clear + CLEAR))

        deque(in_threads(look, _pieces(gray.shape, _PIECE)), maxlen=0)
        size = pixels.shape[1::-1]
        heat = np.asarray(cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        heat *= _nearest(cracked, size)
        return heat


def _loaded(classifier: Classifier | str | Path) -> Classifier | Exported:
    if isinstance(classifier, str | Path) and Path(classifier).suffix in READABLE:
        return load_exported(classifier)
    return checked(classifier, 1, "crack_map")


def _pixels(photograph: str | Path | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if isinstance(photograph, str | Path):
        photograph = read_image(photograph)
    elif not isinstance(photograph, np.ndarray):
        raise InputError(f"crack_map takes a file or an array, not {kind_of(photograph)}")
    if photograph.ndim != 3 or photograph.shape[2] != 3 or photograph.dtype != np.uint8:
        raise InputError(
            f"crack_map takes (height, width, 3) uint8, not {photograph.shape} {photograph.dtype}"
        )
    if min(photograph.shape[:2]) < FEWEST:
        raise InputError(
            f"{photograph.shape[1]} x {photograph.shape[0]} pixels; a photograph has {FEWEST} or more"
        )
    if max(photograph.shape[:2]) > LARGEST_SIDE:
        raise InputError(f"a side of more than {LARGEST_SIDE:,} pixels: cut it into several photographs")
    return np.ascontiguousarray(photograph)  # else each part of it would be copied


def _shrunk(pixels: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.uint8]:
    """A photograph in gray, smaller by `scale`, which is at most 1."""
    gray = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    if scale == 1:
        return gray
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


def _part(cells: npt.NDArray, shape: tuple[int, ...], part: _Part, how: int) -> npt.NDArray[np.float32]:
    """A part of a photograph of this shape, of a map of cells that covers it."""
    places, near = [], []
    for piece, number, side in zip(part, cells.shape, shape, strict=True):
        at = (np.arange(piece.start, piece.stop) + 0.5) * (number / side) - 0.5
        near.append(slice(max(0, int(at[0]) - 1), int(at[-1]) + 3))  # OpenCV takes no more than 32,767 cells
        places.append((at - near[-1].start).astype(np.float32))
    x, y = np.meshgrid(places[1], places[0])
    return cv2.remap(cells[near[0], near[1]], x, y, how, borderMode=cv2.BORDER_REPLICATE)


def _pieces(shape: tuple[int, ...], piece: int) -> Iterator[_Part]:
    """Yields parts of a photograph that are looked at one by one, of this many pixels a side."""
    for top, left in ((y, x) for y in range(0, shape[0], piece) for x in range(0, shape[1], piece)):
        yield np.s_[top : min(top + piece, shape[0]), left : min(left + piece, shape[1])]


def _box(found: npt.NDArray, part: _Part) -> _Part | None:
    """The smallest part of this part that holds all that was found in it, or None."""
    each = [np.flatnonzero(found.any(axis=axis)) for axis in (1, 0)]
    if not each[0].size:
        return None
    rows, columns = (
        slice(side.start + int(at[0]), side.start + int(at[-1]) + 1)
        for side, at in zip(part, each, strict=True)
    )
    return rows, columns


def _widened(part: _Part, reach: int, shape: tuple[int, ...], grid: int = 1) -> tuple[_Part, _Part]:
    """A part with so many pixels around it, as far as there are any, and where in that it lies itself.

    It begins at a multiple of `grid`: at a resolution lower by that its pixels are those of all other parts.
    """
    wide = [
        slice(max(0, side.start - reach) // grid * grid, min(side.stop + reach, length))
        for side, length in zip(part, shape, strict=True)
    ]
    within = [
        slice(side.start - outer.start, side.stop - outer.start)
        for side, outer in zip(part, wide, strict=True)
    ]
    return (wide[0], wide[1]), (within[0], within[1])


def _narrowed(
    pixels: npt.NDArray[np.uint8], cracks: npt.NDArray[np.bool_], scale: float
) -> npt.NDArray[np.bool_]:
    """What is dark of the cracks: the filters that found them are as wide as the widest of all.

    Of what is seen from far away at a lower resolution, four times that of the model, with all widths in it.
    """
    fine = min(1.0, 4 * scale)
    one = fine / scale  # pixels there of one of the model's input
    gray = _shrunk(pixels, fine)
    found = np.zeros(gray.shape, np.uint8)
    clear = _nearest(cracks.view(np.uint8), gray.shape[::-1])

    def look(piece: _Part) -> None:
        inner = _box(clear[piece], piece)
        if inner is None:
            return
        outer, within = _widened(inner, int(np.ceil(8 * WIDEST * one)), gray.shape)
        found[inner] = _dark_of(gray[outer], clear[outer] > 0, one)[within]

    deque(in_threads(look, _pieces(gray.shape, _PIECE)), maxlen=0)
    return cracks & (_nearest(found, pixels.shape[1::-1]) > 0)


def _nearest(picture: npt.NDArray[np.uint8], size: Sequence[int]) -> npt.NDArray[np.uint8]:
    """A picture of this (width, height), of the nearest pixels."""
    if picture.shape[::-1] == tuple(size):
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _dark_of(gray: npt.NDArray[np.uint8], cracks: npt.NDArray[np.bool_], one: float) -> npt.NDArray[np.bool_]:
    """What is dark of cracks; a pixel of the model's input is `one` of these."""
    wide = max(3, round(WIDEST * one))
    picture = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), max(0.8, 0.5 * one))
    sound = (~cracks).astype(np.float32)
    surface = surroundings(picture * sound, 3 * wide)
    surface /= np.maximum(surroundings(sound, 3 * wide), 1e-3)
    depth = np.where(cracks, surface - picture, 0)
    deepest = cv2.dilate(depth, np.ones((2 * wide + 1, 2 * wide + 1), np.uint8))
    return np.asarray(cracks & (depth >= DARK * deepest), np.bool_)


def _followed(heat: npt.NDArray[np.uint8], shortest: float) -> npt.NDArray[np.bool_]:
    """Cracks: what is joined to a clear place by nearly clear ones, and no speck (Canny 1986, hysteresis)."""
    clear, followed = (int(np.ceil(255 * share / (share + 1))) for share in (1.0, FOLLOWED))
    count, labels, stats, _ = cv2.connectedComponentsWithStats((heat >= followed).view(np.uint8))
    kept = np.zeros(count, bool)
    kept[np.unique(labels[heat >= clear])] = True
    kept &= extents(stats) >= shortest
    kept[0] = False
    return kept[labels]

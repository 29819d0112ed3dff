"""What a model sees in tiles of a photograph, and where in them: the places of its last feature map.

The end of the model is asked about each place alone, which for global average pooling and a dense layer is
the class activation map of B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016,
https://arxiv.org/abs/1512.04150.

Tiles are looked at one by one, not as parts of one feature map of the whole photograph: zeros around each
tile are part of what a network with padding has learnt, and without them it gives other scores.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import cv2
import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops
from scipy.special import expit

from cnnzoo.data.images import resize_to
from cnnzoo.deploy.verdicts import Ask, asked
from cnnzoo.errors import InputError
from cnnzoo.evaluation.adapting import log_odds
from cnnzoo.evaluation.calibration import with_temperature
from cnnzoo.evaluation.explain import split_at_last_map
from cnnzoo.evaluation.scores import class_probabilities
from cnnzoo.evaluation.several_views import one_view
from cnnzoo.limits import in_threads, usable_cores
from cnnzoo.models.flops import count_flops

Floats = npt.NDArray[np.float32]

# For them a map of one place is as good as one of many.
_ENDS = (
    *(layers.InputLayer, layers.BatchNormalization, layers.LayerNormalization, layers.Activation),
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Concatenate, layers.Dropout),
    *(layers.Dense, layers.Conv2D, layers.ReLU, layers.Identity),
)

Batch = list[tuple[int, int]]  # (y, x) of the upper left corners of tiles

_BATCH = 32  # tiles at a time
_SOFT = 5.0  # what log-odds of single places are divided by; chosen with CLEAR in photograph.py
_CELL = 8  # pixels of the model's input: what its places are drawn on
_AROUND = 16  # pixels of the model's input: the evidence for a crack lies on both sides of it

# Batches next to each other keep the cores busier than all cores at one, where one takes milliseconds. One of
# a larger model keeps all cores busy, and takes much memory.
_AT_ONCE = 3
_SMALL = 250_000_000  # multiply-adds for one tile


def batches_of(shape: Sequence[int], tile: int, overlap: float) -> list[Batch]:
    """Returns the tiles that cover a photograph, in batches; the last ones end where it ends.

    Args:
        shape: (height, width, …) of the photograph.
        tile: side of a tile, pixels.
        overlap: share of a tile that the next one covers too.
    """
    step = max(1, round(tile * (1 - overlap)))
    rows, columns = ([*range(0, length - tile, step), length - tile] for length in shape[:2])
    corners = [(y, x) for y in rows for x in columns]
    return [corners[first : first + _BATCH] for first in range(0, len(corners), _BATCH)]


def looks_at(
    looker: "Looker | AnswerLooker", pixels: npt.NDArray[np.uint8], batches: Iterable[tuple[int, Batch]]
) -> Generator[tuple[Floats, Floats]]:
    """Yields what is seen in each batch of tiles, as `Looker.look` gives it.

    The next tiles are resized meanwhile, those next to each other together, which is faster where they
    overlap: each begins at a whole pixel of the row, and so differs a little from the tile resized alone.

    Args:
        looker: that looks.
        pixels: (height, width, 3).
        batches: sides of tiles, pixels, and where they lie, as `batches_of` gives it.
    """

    def resized(batch: tuple[int, Batch]) -> npt.NDArray[np.uint8]:
        tile, corners = batch
        tiles = [
            each
            for top, row in groupby(corners, key=lambda corner: corner[0])
            for each in _row_of_tiles(pixels[top : top + tile], [left for _, left in row], looker.size)
        ]
        return np.stack(tiles)

    with closing(in_threads(resized, batches, ahead=2)) as tiles:
        yield from in_threads(looker.look, tiles, looker.at_once, looker.at_once)


def _row_of_tiles(
    strip: npt.NDArray[np.uint8], lefts: Sequence[int], size: int
) -> list[npt.NDArray[np.uint8]]:
    """The tiles as high as a strip that begin at these columns of it, resized."""
    tile = len(strip)
    strip = strip[:, lefts[0] : lefts[-1] + tile]
    width = round(strip.shape[1] * size / tile)
    strip = resize_to(strip, size, width)
    starts = [min(round((left - lefts[0]) * size / tile), width - size) for left in lefts]
    return [strip[:, start : start + size] for start in starts]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model saw with one size of tiles; maps are of cells, which cover the photograph.

    Attributes:
        tile: side of a tile, pixels of the photograph.
        places: probability of a crack at the place.
        cracked: whether a tile that covers it is taken for cracked.
        tiles: log-odds of each.
    """

    tile: int
    places: Floats
    cracked: npt.NDArray[np.bool_]
    tiles: Floats


class Joined:
    """What is seen in tiles of one size, joined so that no border of a tile shows."""

    def __init__(self, shape: Sequence[int], tile: int, size: int) -> None:
        """Takes (height, width, …) of the photograph and the sides of a tile and of the model's input."""
        self._tile, self._cells = tile, size / tile / _CELL  # a pixel of the photograph
        cells = round(shape[0] * self._cells), round(shape[1] * self._cells)
        self._surest = np.full(cells, -np.inf, np.float32)
        self._total, self._weight = np.zeros(cells, np.float32), np.zeros(cells, np.float32)
        self._scores: list[Floats] = []

    def add(self, batch: Batch, found: Floats, places: Floats) -> None:
        """Takes what `Looker.look` says of a batch."""
        self._scores.append(found)
        for corner, score, evidence in zip(batch, found, places, strict=True):
            # Borders are rounded, not sizes: else a cell between two tiles might be of neither.
            part = tuple(
                slice(round(at * self._cells), round((at + self._tile) * self._cells)) for at in corner
            )
            surest = self._surest[part]
            np.maximum(surest, score, out=surest)
            weights = _weights(*surest.shape)
            self._total[part] += weights * cv2.resize(evidence, weights.shape[::-1])
            self._weight[part] += weights

    def seen(self, least: float) -> Seen:
        """What was seen, where tiles count as cracked from these log-odds on."""
        probabilities = expit(self._total / self._weight / _SOFT)
        places = cv2.GaussianBlur(probabilities, (0, 0), _AROUND / _CELL)
        return Seen(self._tile, places, self._surest >= least, np.concatenate(self._scores))


@cache
def _weights(rows: int, columns: int) -> Floats:
    """How much each cell of a tile counts where tiles overlap: most in the middle, lest a border show."""
    ramps = [1 - np.abs(np.linspace(-1, 1, side + 2)[1:-1]) for side in (rows, columns)]
    return np.asarray(np.outer(*ramps), np.float32)


class AnswerLooker:
    """Looks at tiles through a model that gives its answers alone, such as an exported one."""

    at_once = 1  # an interpreter of LiteRT is not made for several threads
    has_places = False

    def __init__(self, ask: Ask, size: int, class_id: int) -> None:
        """Takes what answers for the model, calibrated, its side in pixels, and the class to look for."""
        self.size, self._ask, self._class_id = size, ask, class_id

    def look(self, tiles: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """As `Looker.look`, with one place a tile."""
        found = _log_odds(asked(self._ask, tiles), self._class_id)
        return found, found[:, None, None]


class Looker:
    """Looks at tiles through a model.

    Attributes:
        size: side of the model's input, pixels.
        has_places: whether it can be said where in a tile the model sees what it decides.
        at_once: calls of `look` that may be made at once, in threads.
    """

    def __init__(self, model: keras.Model, class_id: int, temperature: float = 1.0) -> None:
        """Takes a model apart, as `load_model` gives it; `class_id` is the class to look for."""
        model = one_view(model)  # tiles overlap, so that each place is looked at four times anyway
        self._model, self._class_id, self._temperature = model, class_id, temperature
        self.size = int(model.input_shape[1])
        self.at_once = _AT_ONCE if _may_look_at_once(model) else 1
        try:
            front = split_at_last_map(model)[0]
            end = _of_any_size(keras.Model(front.output, model.output))
        except InputError:  # no feature map, or none that all goes through
            end = None
        self.has_places = end is not None
        if end is not None:
            # One pass gives both: the tile's own answer is that of the whole model.
            maps = front.output
            alone = end(ops.reshape(maps, (-1, 1, 1, maps.shape[-1])))
            places = ops.reshape(alone, (-1, *maps.shape[1:3], alone.shape[-1]))
            self._both = keras.Model(model.inputs[0], [model.output, places])

    def look(self, tiles: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Returns log-odds of the class that is looked for: of each tile, calibrated, and of its places.

        Args:
            tiles: (n, size, size, 3) RGB.

        Returns:
            (n,), and (n, rows, columns), as if a tile were everywhere like the place: one place a tile where
            the model has no places.
        """
        if not self.has_places:
            outputs = self._model.predict_on_batch(tiles)
            alone = _log_odds(outputs, self._class_id)[:, None, None]
            return _log_odds(outputs, self._class_id, self._temperature), alone
        outputs, alone = self._both.predict_on_batch(tiles)
        places = _log_odds(alone.reshape(-1, alone.shape[-1]), self._class_id).reshape(alone.shape[:3])
        return _log_odds(outputs, self._class_id, self._temperature), places


def _may_look_at_once(model: keras.Model) -> bool:
    # JAX in Keras keeps the state of a call in the model.
    if keras.backend.backend() != "tensorflow" or usable_cores() == 1:
        return False
    try:
        return count_flops(model) < _SMALL
    except ValueError:  # nobody knows how much it computes
        return False


def _log_odds(outputs: npt.ArrayLike, class_id: int, temperature: float = 1.0) -> Floats:
    probabilities = class_probabilities(np.asarray(ops.convert_to_numpy(outputs), np.float32))
    return np.asarray(log_odds(with_temperature(probabilities, temperature)[:, class_id]), np.float32)


def _of_any_size(end: keras.Model) -> keras.Model | None:
    """The same layers for a map of any size, or None where they need one of the size that they know."""

    def usable(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, _ENDS):
            raise _SizeMatters
        return layer  # with its weights

    try:
        inputs = keras.Input((None, None, end.input_shape[-1]))
        return keras.models.clone_model(end, inputs, clone_function=usable)
    except (_SizeMatters, ValueError):
        return None


class _SizeMatters(Exception):
    """A layer that one place is not enough for."""

"""What a model sees in tiles of a photograph, and where in them: the places of its last feature map.

The end of the model is asked about each place alone, which for global average pooling and a dense layer is
the class activation map of B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016,
https://arxiv.org/abs/1512.04150.

Tiles are looked at one by one, not as parts of one feature map of the whole photograph: zeros around each
tile are part of what a network with padding has learnt, and without them it gives other scores.
"""

from collections.abc import Generator, Sequence

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from cnnzoo.data.images import resize_image
from cnnzoo.deploy.verdicts import Ask, asked
from cnnzoo.errors import InputError
from cnnzoo.evaluation.adapting import log_odds
from cnnzoo.evaluation.calibration import with_temperature
from cnnzoo.evaluation.explain import split_at_last_map
from cnnzoo.evaluation.scores import class_probabilities
from cnnzoo.evaluation.several_views import one_view
from cnnzoo.limits import in_threads

Floats = npt.NDArray[np.float32]

# For them a map of one place is as good as one of many.
_ENDS = (
    *(layers.InputLayer, layers.BatchNormalization, layers.LayerNormalization, layers.Activation),
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Concatenate, layers.Dropout),
    *(layers.Dense, layers.Conv2D, layers.ReLU, layers.Identity),
)

Batches = list[list[tuple[int, int]]]  # of (y, x) of the upper left corners of tiles

_BATCH = 32  # tiles at a time


def batches_of(shape: Sequence[int], tile: int, overlap: float) -> Batches:
    """Returns the tiles that cover a photograph; the last ones end where it ends.

    Args:
        shape: (height, width, …) of the photograph.
        tile: side of a tile, pixels.
        overlap: share of a tile that the next one covers too.
    """
    step = max(1, round(tile * (1 - overlap)))
    rows, columns = ([*range(0, length - tile, step), length - tile] for length in shape[:2])
    corners = [(y, x) for y in rows for x in columns]
    return [corners[first : first + _BATCH] for first in range(0, len(corners), _BATCH)]


def tiles_of(
    pixels: npt.NDArray[np.uint8], batches: Batches, tile: int, size: int
) -> Generator[npt.NDArray[np.uint8]]:
    """Yields the tiles of each batch, resized for a model: the next ones while it looks at these.

    Args:
        pixels: (height, width, 3).
        batches: of tiles, as `batches_of` gives them.
        tile, size: sides of a tile and of the model's input, pixels.
    """

    def resized(corners: Sequence[tuple[int, int]]) -> npt.NDArray[np.uint8]:
        return np.stack([resize_image(pixels[y : y + tile, x : x + tile], size) for y, x in corners])

    return in_threads(resized, batches, ahead=2)


class AnswerLooker:
    """Looks at tiles through a model that gives its answers alone, such as an exported one."""

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
    """

    def __init__(self, model: keras.Model, class_id: int, temperature: float = 1.0) -> None:
        """Takes a model apart, as `load_model` gives it; `class_id` is the class to look for."""
        model = one_view(model)  # tiles overlap, so that each place is looked at four times anyway
        self._model, self._class_id, self._temperature = model, class_id, temperature
        self.size = int(model.input_shape[1])
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

"""The normalisation of a keras.applications backbone, found by feeding its `preprocess_input`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers


@dataclass(frozen=True)
class Normalisation:
    """Output channel i is input channel `order[i]` times `scale[i]` plus `offset[i]`."""

    order: tuple[int, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @property
    def does_nothing(self) -> bool:
        """Whether images come out as they went in."""
        return self == Normalisation((0, 1, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))

    def __call__(self, images: KerasTensor) -> KerasTensor:
        """Applies itself to symbolic RGB images in [0, 255]."""
        if self.does_nothing:
            return images
        if self.order != (0, 1, 2):
            images = keras.ops.take(images, list(self.order), axis=-1)
        return _rescaling(list(self.scale), list(self.offset))(images)


@cache
def find_normalisation(preprocess_input: Callable[..., Any]) -> Normalisation:
    """Finds out what a `preprocess_input` does with RGB in [0, 255].

    Raises:
        ValueError: it is not a scale and an offset of each channel, in some order.
    """
    pixels = np.vstack([np.zeros(3), 255 * np.eye(3), np.random.default_rng(0).uniform(0, 255, (16, 3))])
    images = pixels.reshape(1, -1, 1, 3)
    found = np.asarray(preprocess_input(images.copy(), data_format="channels_last"), np.float64).reshape(
        -1, 3
    )
    offset = found[0]
    gain = (found[1:4] - offset) / 255
    order = np.abs(gain).argmax(axis=0)
    scale = gain[order, np.arange(3)]
    if not np.allclose(pixels[:, order] * scale + offset, found, atol=1e-6):
        raise ValueError(f"{preprocess_input.__module__}.preprocess_input mixes channels or is not linear")
    # What comes out of float arithmetic is 1.0000000000000002 where 1 is meant.
    return Normalisation(
        *(tuple(values) for values in (order.tolist(), scale.round(14).tolist(), offset.round(12).tolist()))
    )


def normalisation_for(
    preprocess_input: Callable[..., Any], backbone: keras.Model
) -> Callable[[KerasTensor], KerasTensor]:
    """Returns what to put between images in [0, 255] and a backbone.

    For RGB that is what `preprocess_input` does. Other channels have no statistics of their own: they share
    the mean scale and offset, or are brought to [-1, 1] where the network would have normalised RGB alone.
    """
    normalisation = find_normalisation(preprocess_input)
    if backbone.input_shape[-1] == 3:
        return normalisation
    if not normalisation.does_nothing:
        return _rescaling(float(np.mean(normalisation.scale)), float(np.mean(normalisation.offset)))
    inside = (layers.Rescaling, layers.Normalization)
    if any(isinstance(layer, inside) for layer in backbone.layers):
        return normalisation
    return _rescaling(1 / 127.5, -1.0)


def _rescaling(scale: float | list[float], offset: float | list[float]) -> layers.Layer:
    return layers.Rescaling(scale, offset=offset, dtype="float32", name="rescaling")

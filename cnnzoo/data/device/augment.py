"""Augmentation of a batch on the device: what `cnnzoo.data.augment` draws and does with OpenCV, in keras.ops.

The pictures are those of OpenCV up to its rounding of coordinates and weights; `tests/data/test_on_device.py`
says by how much. Values stay whole levels between two steps, as they do there.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from cnnzoo.data.augment import LEAST_BLUR, Augmentation, Draws, noise_table

Tensor = Any


def to_device(draws: Draws, augmentation: Augmentation) -> dict[str, Tensor]:
    """Copies what is drawn of n images to the device, with the table of noise where they need it."""
    values: dict[str, Any] = {}
    if augmentation.moves:
        values["maps"] = draws.maps.astype(np.float32)
    if augmentation.blur > LEAST_BLUR:
        values["kernels"] = _kernels(draws.blurs, augmentation.blur)
    if augmentation.gamma:
        values["powers"] = draws.powers.astype(np.float32)
    if augmentation.relights:
        values["gains"], values["shifts"] = draws.gains.astype(np.float32), draws.shifts.astype(np.float32)
    if augmentation.noise:
        values["noises"], values["offsets"] = draws.noises.astype(np.float32), draws.offsets.astype(np.int32)
    tensors = {name: ops.convert_to_tensor(value) for name, value in values.items()}
    return {**tensors, "table": _noise_table()} if augmentation.noise else tensors


def of_images(draws: dict[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The draws of some of the images."""
    return {
        name: value if name == "table" else ops.take(value, chosen, axis=0) for name, value in draws.items()
    }


def augment(images: Tensor, augmentation: Augmentation, draws: dict[str, Tensor]) -> Tensor:
    """Returns a batch, (n, size, size, 3) uint8, changed as drawn: moved, blurred, relit, then noisy."""
    if augmentation.moves:
        images = _warp(images, draws["maps"], smooth=augmentation.interpolates)
    levels = ops.cast(images, "float32")
    if "kernels" in draws:
        levels = _blurred(levels, draws["kernels"])
    if "powers" in draws:
        levels = 255 * (levels / 255) ** draws["powers"][:, None, None, None]
    if "gains" in draws:
        gains, shifts = draws["gains"][:, None, None, :], draws["shifts"][:, None, None, None]
        levels = _whole(127.5 + (levels - 127.5) * gains + shifts)
    if "noises" in draws:
        levels = _noisy(levels, draws)
    return ops.cast(levels, "uint8")


def _warp(images: Tensor, maps: Tensor, *, smooth: bool) -> Tensor:
    """Applies one map to each image; bilinear, or the nearest pixel.

    Not by `keras.ops.image.affine_transform`, which interpolates between channels too and computes the
    coordinates as a matrix product: on a GPU in TF32, where a coordinate of 160 is off by a tenth of a pixel.
    """
    size = images.shape[1]
    along = ops.arange(size, dtype="float32")
    across, down = along[None, None, :], along[None, :, None]
    maps = maps[..., None, None]
    x = maps[:, 0, 0] * across + maps[:, 0, 1] * down + maps[:, 0, 2]
    y = maps[:, 1, 0] * across + maps[:, 1, 1] * down + maps[:, 1, 2]
    if not smooth:
        return _pixels(images, ops.round(x), ops.round(y))
    images = ops.cast(images, "float32")
    left, top = ops.floor(x), ops.floor(y)
    right, below = (x - left)[..., None], (y - top)[..., None]
    upper = _pixels(images, left, top) * (1 - right) + _pixels(images, left + 1, top) * right
    lower = _pixels(images, left, top + 1) * (1 - right) + _pixels(images, left + 1, top + 1) * right
    return _whole(upper * (1 - below) + lower * below)


def _pixels(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The pixel of each image at each place, (n, size, size) whole numbers; borders are mirrored."""
    size, channels = images.shape[1], images.shape[-1]
    places = _mirrored(ops.cast(y, "int32"), size) * size + _mirrored(ops.cast(x, "int32"), size)
    rows = ops.reshape(images, (-1, size * size, channels))
    found = ops.take_along_axis(rows, ops.reshape(places, (-1, size * size, 1)), axis=1)
    return ops.reshape(found, (-1, size, size, channels))


def _mirrored(index: Tensor, size: int) -> Tensor:
    """… 1 0 | 0 1 2 … size-1 | size-1 …: OpenCV's BORDER_REFLECT."""
    index = index % (2 * size)
    return ops.minimum(index, 2 * size - 1 - index)


def _blurred(levels: Tensor, kernels: Tensor) -> Tensor:
    """Filters each image by its own kernel, (n, taps), down and across."""
    reach = kernels.shape[1] // 2
    for axis in (1, 2):
        size = levels.shape[axis]
        blurred = ops.zeros_like(levels)
        for tap in range(kernels.shape[1]):
            shifted = ops.take(levels, _mirrored(np.arange(size) + tap - reach, size), axis=axis)
            blurred += shifted * kernels[:, tap, None, None, None]
        levels = blurred
    return _whole(levels)


def _kernels(deviations: npt.NDArray[np.float64], widest: float) -> npt.NDArray[np.float32]:
    """Gaussians, (n, taps), each as wide as OpenCV's: 6 deviations and one pixel, rounded, made odd."""
    reach = np.rint(6 * np.append(deviations, widest) + 1) // 2
    steps = np.arange(-reach[-1], reach[-1] + 1)
    blurs = deviations > LEAST_BLUR
    weights = np.exp(-0.5 * (steps / np.where(blurs, deviations, 1)[:, None]) ** 2)
    weights[np.abs(steps) > np.where(blurs, reach[:-1], 0)[:, None]] = 0
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _noisy(levels: Tensor, draws: dict[str, Tensor]) -> Tensor:
    table, shape = draws["table"], levels.shape
    places = draws["offsets"][:, None] + ops.arange(int(np.prod(shape[1:])), dtype="int32")
    noise = ops.reshape(ops.take(table, places % table.shape[0]), (-1, *shape[1:]))
    return _whole(levels + noise * (draws["noises"] / 32)[:, None, None, None])


def _whole(levels: Tensor) -> Tensor:
    return ops.clip(ops.round(levels), 0, 255)


@lru_cache(maxsize=1)
def _noise_table() -> Tensor:
    return ops.convert_to_tensor(noise_table().astype(np.float32))

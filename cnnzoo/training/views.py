"""What frozen layers give, computed once: the rest of a model trains on that instead of on the images.

From epoch to epoch nothing of a frozen part changes but the augmentation of what goes in. So a few augmented
views of each image go through it, and what comes out is kept in float16.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from cnnzoo.backend import trace_prediction
from cnnzoo.data.pipeline import Datasets, ImageSet, batches_of, epoch_order
from cnnzoo.errors import InputError
from cnnzoo.files import allocate, cache_dir
from cnnzoo.gpu import room_on_device
from cnnzoo.limits import free_memory
from cnnzoo.models.folding import frozen_and_trained
from cnnzoo.models.transfer import set_trainable
from cnnzoo.training.config import Phase, TrainConfig

if TYPE_CHECKING:
    import tensorflow as tf

CHUNK = 64  # maps that go through further frozen layers at a time

Maps = npt.NDArray[np.float16]
Done = Callable[[int, int], None]  # gets how many images have gone through, and of how many


@dataclass(frozen=True, eq=False)
class Activations:
    """What the frozen layers of a model gave.

    Attributes:
        rest: the other layers of the model, which take it.
        views: how many views were asked for.
        train: (views, n, ...), the views of the training images; one where nothing is augmented.
        validation: (1, m, ...), of the validation images as they are.
    """

    rest: keras.Model
    views: int
    train: Maps
    validation: Maps

    def behind_frozen(self, done: Done) -> "Activations":
        """Those that what trains now takes: further layers may be frozen since."""
        parts = frozen_and_trained(self.rest)
        if parts is None:
            return self
        return _through(
            parts, self.views, _Inputs.of_maps(self.train), _Inputs.of_maps(self.validation), done
        )


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What goes through frozen layers: batches of each of some views, of `count` images each."""

    views: Sequence[Iterable[Any]]
    count: int
    dtype: str = "uint8"

    @staticmethod
    def of_maps(maps: Maps) -> "_Inputs":
        """Maps, of each view, in order."""
        starts = range(0, maps.shape[1], CHUNK)
        return _Inputs([[view[i : i + CHUNK] for i in starts] for view in maps], maps.shape[1], "float16")


def of_images(
    model: keras.Model, data: Datasets, config: TrainConfig, number: int, done: Done
) -> Activations:
    """Sends the images through what this phase, and those after it with as many views, leave frozen.

    Raises:
        InputError: nothing is.
    """
    phase = config.phases[number]
    alike = list(takewhile(lambda other: other.views == phase.views, config.phases[number:]))
    _free_most(model, alike)
    parts = frozen_and_trained(model)
    if parts is None:
        raise InputError(
            f"views={phase.views}: of {model.name}, trainable={phase.trainable!r} leaves no layers frozen; "
            "choose views=0"
        )
    views = range(phase.views if config.augmentation.active else 1)
    train = [data.train.view(epoch=e, seed=config.seed, augmentation=config.augmentation) for e in views]
    validation = [data.validation.dataset()]
    return _through(
        parts,
        phase.views,
        _Inputs([map(_first, view) for view in train], len(data.train)),
        _Inputs([map(_first, view) for view in validation], len(data.validation)),
        done,
    )


def _first(batch: tuple[Any, Any]) -> Any:
    return batch[0]


def _free_most(model: keras.Model, phases: Sequence[Phase]) -> None:
    """Sets trainable what the phase does that trains the most: the others train some of that."""

    def size(phase: Phase) -> int:
        set_trainable(model, phase.trainable)
        return len(model.trainable_weights)

    set_trainable(model, max(phases, key=size).trainable)


def _through(
    parts: tuple[keras.Model, keras.Model], views: int, train: _Inputs, validation: _Inputs, done: Done
) -> Activations:
    frozen, rest = parts
    trace_prediction(frozen, train.dtype)
    sides = (train, validation)
    total = sum(len(side.views) * side.count for side in sides)
    kept = [_array((len(side.views), side.count, *frozen.output_shape[1:])) for side in sides]
    gone = 0
    for side, arrays in zip(sides, kept, strict=True):
        for view, array in zip(side.views, arrays, strict=True):
            for here, maps in _predicted(frozen, view):
                array[here] = maps
                done(gone + here.stop, total)
            gone += side.count
    return Activations(rest, views, *kept)


def _array(shape: tuple[int, ...]) -> Maps:
    """Returns an array to fill, in RAM if it takes at most half of what is free, else in a file of the cache.

    The file has no name: it is gone with the process, however that ends.

    Raises:
        InputError: the disk has no place for it either.
    """
    size = math.prod(shape) * np.dtype(np.float16).itemsize
    if size <= free_memory() // 2:
        return np.empty(shape, np.float16)
    folder = cache_dir()
    with TemporaryFile(dir=folder) as file:
        allocate(file, size, folder)
        return np.memmap(file, np.float16, "r+", shape=shape)


def _predicted(frozen: keras.Model, batches: Iterable[Any]) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    stop = 0
    for batch in batches:
        start, stop = stop, stop + len(batch)
        yield slice(start, stop), np.asarray(frozen.predict_on_batch(batch))


def in_order(maps: Maps, images: ImageSet) -> "tf.data.Dataset | keras.utils.PyDataset":
    """Batches of the first view of every image once, in order, as `ImageSet.dataset` gives the images."""
    if room_on_device(maps[:1].nbytes):
        return _on_device(maps[:1], images, range(images.steps), lambda _: np.arange(len(images)))

    def batch(step: int) -> tuple[Maps, npt.NDArray[np.int32]]:
        here = images.places(step)
        return np.ascontiguousarray(maps[0, here]), images.labels[here]

    return batches_of(maps[0], range(images.steps), batch)


def shuffled(
    maps: Maps, images: ImageSet, *, epochs: int, seed: int, first_epoch: int, first_batch: int
) -> "tf.data.Dataset | keras.utils.PyDataset":
    """Batches in the order of `ImageSet.training_dataset`, with the next view in each epoch."""
    steps = images.steps_of(epochs, first_epoch, first_batch)
    if room_on_device(maps.nbytes):

        def order_of(epoch: int) -> npt.NDArray[np.intp]:
            return epoch_order(len(images), seed, epoch) + epoch % len(maps) * len(images)

        return _on_device(maps, images, steps, order_of)

    def batch(step: int) -> tuple[Maps, npt.NDArray[np.int32]]:
        epoch = int(step) // images.steps
        chosen = epoch_order(len(images), seed, epoch)[images.places(step)]
        return maps[epoch % len(maps)][chosen], images.labels[chosen]

    return batches_of(maps[0], steps, batch)


def _on_device(
    maps: Maps, images: ImageSet, steps: range, order_of: Callable[[int], npt.NDArray[np.intp]]
) -> keras.utils.PyDataset:
    """Batches of maps that are on the device, one view behind the other."""
    from cnnzoo.data.device.batches import Batches

    one_behind_the_other = maps.reshape(-1, *maps.shape[2:])
    labels = np.tile(images.labels, len(maps))
    return Batches(
        keras.ops.convert_to_tensor(one_behind_the_other),
        keras.ops.convert_to_tensor(labels),
        images.batch_size,
        steps,
        lambda epoch: (order_of(epoch), None),
        count=len(images),
    )

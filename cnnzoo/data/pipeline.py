"""The one way from a folder of images to batches that every model shares: by tf.data, or on the GPU."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnnzoo.data.augment import Augmentation, augment, draw
from cnnzoo.data.images import load_images
from cnnzoo.data.manifest import ImageRecord, Manifest, build_manifest
from cnnzoo.data.resized import resized_images
from cnnzoo.data.splits import DEFAULT_FRACTIONS, Split, split_manifest
from cnnzoo.errors import InputError
from cnnzoo.gpu import room_on_device
from cnnzoo.limits import free_memory, memory_is_shared, usable_cores

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_ORDER_STREAM = 0  # see the streams of augment


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one side of a split, decoded and resized once.

    Attributes:
        images: (n, size, size, 3) uint8, in RAM or memory-mapped.
        labels: (n,) int32 class ids.
        paths: path of each image below the data folder.
        batch_size: images a step; the last batch of an epoch may be smaller.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    paths: tuple[str, ...]
    batch_size: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        return -(-len(self) // self.batch_size)

    @cached_property
    def on_device(self) -> bool:
        """Whether the images stay on the GPU, which then makes the batches; decided at first use."""
        return room_on_device(self.images.nbytes)

    @cached_property
    def resident(self) -> tuple[Any, Any]:
        """Images and labels on the device."""
        from keras import ops

        return ops.convert_to_tensor(self.images), ops.convert_to_tensor(self.labels)

    def dataset(self, *, labels: bool = True) -> "tf.data.Dataset | keras.utils.PyDataset":
        """Every image once, in order, as it is: for validation, test and, without labels, prediction."""
        if self.on_device:
            return self._batches_on_device(range(self.steps), self._in_order, with_labels=labels)
        batches = batches_of(self.images, range(self.steps), self._batch_in_order)
        return batches if labels else batches.map(lambda images, _: (images,))

    def training_dataset(
        self,
        *,
        epochs: int,
        seed: int,
        augmentation: Augmentation = Augmentation(),
        first_epoch: int = 0,
        first_batch: int = 0,
    ) -> "tf.data.Dataset | keras.utils.PyDataset":
        """Batches of `epochs` epochs, one after the other, shuffled and augmented anew in each.

        A batch is a pure function of (seed, epoch, batch): starting at (`first_epoch`, `first_batch`) gives
        exactly the batches that a run stopped there has not seen.
        """
        shape = (len(self), self.images.shape[1], seed, augmentation)
        steps = self.steps_of(epochs, first_epoch, first_batch)
        if self.on_device:
            return self._batches_on_device(steps, partial(_epoch_plan, *shape), augmentation=augmentation)

        def batch(step: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
            order, draws = _epoch_plan(*shape, int(step) // self.steps)
            chosen = order[self.places(step)]
            images = self.images[chosen]
            if draws is not None:
                images = augment(images, augmentation, draws[chosen])
            return images, self.labels[chosen]

        return batches_of(self.images, steps, batch)

    def view(
        self, *, epoch: int, seed: int, augmentation: Augmentation
    ) -> "tf.data.Dataset | keras.utils.PyDataset":
        """Every image once, in order, augmented as `training_dataset` does in that epoch."""
        _, draws = _epoch_plan(len(self), self.images.shape[1], seed, augmentation, epoch)
        if self.on_device:
            plan = np.arange(len(self)), draws
            return self._batches_on_device(range(self.steps), lambda _: plan, augmentation=augmentation)

        def batch(step: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
            images, labels = self._batch_in_order(step)
            if draws is not None:
                images = augment(images, augmentation, draws[self.places(step)])
            return images, labels

        return batches_of(self.images, range(self.steps), batch)

    def steps_of(self, epochs: int, first_epoch: int, first_batch: int) -> range:
        """The steps of some epochs from a batch of the first one on, counted over all epochs."""
        return range(first_epoch * self.steps + first_batch, (first_epoch + epochs) * self.steps)

    def places(self, step: int) -> slice:
        """Where a step's batch lies in the order of its epoch."""
        start = int(step) % self.steps * self.batch_size
        return slice(start, start + self.batch_size)

    def part(self, here: slice) -> "ImageSet":
        """Some of the images."""
        return ImageSet(self.images[here], self.labels[here], self.paths[here], self.batch_size)

    def repeated(self, times: int) -> "ImageSet":
        """Every image `times` times, each time augmented anew: longer epochs of few images."""
        return ImageSet(
            np.concatenate([self.images] * times),
            np.tile(self.labels, times),
            self.paths * times,
            self.batch_size,
        )

    def _batches_on_device(self, steps: range, plan: Any, **how: Any) -> "keras.utils.PyDataset":
        from cnnzoo.data.device.batches import Batches

        return Batches(*self.resident, self.batch_size, steps, plan, count=len(self), **how)

    def _in_order(self, epoch: int) -> tuple[npt.NDArray[np.intp], None]:
        return np.arange(len(self)), None

    def _batch_in_order(self, step: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        here = self.places(step)
        return np.ascontiguousarray(self.images[here]), self.labels[here]


@lru_cache(maxsize=4)
def _epoch_plan(count: int, size: int, seed: int, augmentation: Augmentation, epoch: int) -> tuple[Any, Any]:
    order = epoch_order(count, seed, epoch)
    if not augmentation.active:
        return order, None
    return order, draw(augmentation, count=count, size=size, seed=seed, epoch=epoch)


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.intp]:
    """The order in which an epoch takes `count` images."""
    return np.random.default_rng([seed, epoch, _ORDER_STREAM]).permutation(count)


def batches_of(like: npt.NDArray, steps: range, batch: Any) -> "tf.data.Dataset":
    """The batches, inputs and labels, that a function gives for each of `steps`; inputs are as `like`."""
    import tensorflow as tf

    def load(step: Any) -> Any:
        x, y = tf.numpy_function(batch, [step], (like.dtype, tf.int32), stateful=False)
        return tf.ensure_shape(x, (None, *like.shape[1:])), tf.ensure_shape(y, (None,))

    dataset = tf.data.Dataset.range(steps.start, steps.stop)
    options = tf.data.Options()
    # A dataset that tunes itself is often not told of its end: who drops it waits until it looks at the clock
    # again, which it does 5, 10, 20, 41 and 82 s after its start, and every minute from then on.
    options.autotune.enabled = False
    batches = dataset.map(load, num_parallel_calls=usable_cores(), deterministic=True).prefetch(2)
    return batches.with_options(options)


@dataclass(frozen=True, eq=False)
class Datasets:
    """The three sides of one split, and what they were made from."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    manifest: Manifest
    split: Split
    storage: str
    decode_seconds: float


def is_count(value: object) -> bool:
    """Whether a value is a whole number, at least 1."""
    return isinstance(value, int | np.integer) and bool(value >= 1)


def load_datasets(
    folder: str | Path | Manifest,
    *,
    image_size: int,
    batch_size: int = 32,
    seed: int = 0,
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS,
    groups: Sequence[int] | None = None,
    split: Split | None = None,
    limit: int | None = None,
    skip_bad: bool = False,
    progress: bool = True,
) -> Datasets:
    """Reads a folder per class into training, validation and test images.

    Args:
        folder: what `build_manifest` reads, or a manifest, which has its own `limit` and `skip_bad`.
        image_size: side in pixels that every image is resized to; the aspect ratio is not kept.
        batch_size: images a step.
        seed: of the split; that of the order is `TrainConfig.seed`.
        fractions: shares of training, validation and test images.
        groups: a number per image of the manifest; each group stays on one side. `audit_manifest` finds them;
            by default only byte-identical files are kept together.
        split: made before; then `seed`, `fractions` and `groups` have no say.
        limit: images per class, at most.
        skip_bad: leave unreadable files out instead of stopping at them.
        progress: show a bar on the terminal.

    Raises:
        InputError: the folder, a file in it or an argument can't be used; the message says what to do.
    """
    if not (is_count(image_size) and is_count(batch_size)):
        raise InputError(
            f"image_size ({image_size}) and batch_size ({batch_size}) must be whole numbers from 1"
        )
    if isinstance(folder, Manifest):
        manifest = folder
    else:
        manifest = build_manifest(Path(folder), limit=limit, skip_bad=skip_bad, progress=progress)
    if split is None:
        split = split_manifest(manifest, groups=groups, fractions=fractions, seed=seed)
    start = perf_counter()
    # In the order of the split, so that each side is a plain slice of one array.
    order = [*split.train, *split.validation, *split.test]
    records = [manifest.images[i] for i in order]
    images, storage = _decode(manifest, records, image_size, progress=progress)
    everything = _image_set(images, records, batch_size)
    ends = np.cumsum([0, len(split.train), len(split.validation), len(split.test)])
    train, validation, test = (everything.part(slice(a, b)) for a, b in pairwise(ends))
    return Datasets(
        train=train,
        validation=validation,
        test=test,
        class_names=manifest.class_names,
        manifest=manifest,
        split=split,
        storage=storage,
        decode_seconds=perf_counter() - start,
    )


def load_image_set(manifest: Manifest, *, image_size: int, batch_size: int = 32) -> ImageSet:
    """Reads every image of `manifest` for evaluation, in its order."""
    images, _ = _decode(manifest, manifest.images, image_size, progress=True)
    return _image_set(images, manifest.images, batch_size)


def _image_set(images: npt.NDArray[np.uint8], records: Sequence[ImageRecord], batch_size: int) -> ImageSet:
    labels = np.array([record.label for record in records], dtype=np.int32)
    return ImageSet(images, labels, tuple(record.path for record in records), batch_size)


def _decode(
    manifest: Manifest, records: Sequence[ImageRecord], size: int, *, progress: bool
) -> tuple[npt.NDArray[np.uint8], str]:
    """Returns the images at `size`, in RAM if they take at most half of what is free, else from a file.

    Processes that share the memory read one file, each of them all that it needs.
    """
    needed = math.prod((len(records), size, size, 3))
    paths = [manifest.root / record.path for record in records]
    digests = [record.sha256 for record in records]
    if not memory_is_shared() and needed <= free_memory() // 2:
        return load_images(paths, size, digests=digests, progress=progress), f"{needed / 1e6:,.0f} MB in RAM"
    images, file = resized_images(paths, digests, size, progress=progress)
    why = "shared by the runs" if memory_is_shared() else "too large for RAM"
    return images, f"{needed / 1e6:,.0f} MB in {file}: {why}"

"""Batches cut on the device from images that stay there: a step of training waits for no host."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cnnzoo.data.augment import Augmentation, Draws
from cnnzoo.data.device.augment import Tensor, augment, of_images, to_device

Plan = tuple[npt.NDArray[np.int64], Draws | None]  # the order of an epoch's images and what happens to them


class Batches(keras.utils.PyDataset):
    """Batches of what is on the device, as `keras.Model.fit`, `evaluate` and `predict` take them.

    Args:
        inputs: images or what a network made of them, on the device, as are `labels`.
        batch_size: inputs a step; the last batch of an epoch may be smaller.
        count: inputs in an epoch.
        steps: the batches wanted, counted over all epochs.
        plan: gives the order of an epoch's inputs and what happens to them.
        augmentation: of training images.
        with_labels: whether they come with the inputs.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        batch_size: int,
        steps: range,
        plan: Callable[[int], Plan],
        *,
        count: int,
        augmentation: Augmentation = Augmentation(),
        with_labels: bool = True,
    ) -> None:
        super().__init__()
        self.resident, self.batch_size, self.steps, self.plan = (inputs, labels), batch_size, steps, plan
        self.count, self.augmentation, self.with_labels = count, augmentation, with_labels
        self.epoch = -1
        self.planned: tuple[Tensor, dict[str, Tensor]] = (None, {})

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        epoch, position = divmod(self.steps[index], -(-self.count // self.batch_size))
        if epoch != self.epoch:
            self.epoch, self.planned = epoch, self._to_device(*self.plan(epoch))
        start = position * self.batch_size
        batch = _cut()(
            *self.resident,
            *self.planned,
            np.int32(start),
            count=min(self.batch_size, self.count - start),
            augmentation=self.augmentation,
        )
        return batch if self.with_labels else batch[:1]

    def _to_device(
        self, order: npt.NDArray[np.int64], draws: Draws | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        on_device = {} if draws is None else to_device(draws, self.augmentation)
        return ops.convert_to_tensor(order.astype(np.int32)), on_device


def _batch(
    images: Tensor,
    labels: Tensor,
    order: Tensor,
    draws: dict[str, Tensor],
    start: Any,
    *,
    count: int,
    augmentation: Augmentation,
) -> tuple[Tensor, Tensor]:
    """The `count` images from `start` on in the order of the epoch, and their labels."""
    chosen = ops.slice(order, (start,), (count,))
    batch = ops.take(images, chosen, axis=0)
    if draws:
        batch = augment(batch, augmentation, of_images(draws, chosen))
    return batch, ops.take(labels, chosen, axis=0)


@lru_cache(maxsize=1)
def _cut() -> Callable[..., tuple[Tensor, Tensor]]:
    """`_batch`, compiled where the backend is JAX: once for each shape and augmentation."""
    if keras.backend.backend() != "jax":
        return _batch
    import jax

    return jax.jit(_batch, static_argnames=("count", "augmentation"))

"""Batches cut on the device from images that stay there: a step of training waits for no host."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cnnzoo.data.augment import Augmentation, Draws
from cnnzoo.data.device.augment import Tensor, augment, of_images, to_device

if TYPE_CHECKING:
    from cnnzoo.data.pipeline import ImageSet

Plan = tuple[npt.NDArray[np.int64], Draws | None]  # the order of an epoch's images and what happens to them


class Batches(keras.utils.PyDataset):
    """Batches of an `ImageSet` as `keras.Model.fit`, `evaluate` and `predict` take them.

    Args:
        images: on the device already.
        steps: the batches wanted, counted over all epochs.
        plan: gives each epoch's.
        augmentation: of training images.
        labels: whether they come with the images.
    """

    def __init__(
        self,
        images: "ImageSet",
        steps: range,
        plan: Callable[[int], Plan],
        *,
        augmentation: Augmentation = Augmentation(),
        labels: bool = True,
    ) -> None:
        super().__init__()
        self.images, self.steps, self.plan = images, steps, plan
        self.augmentation, self.labels = augmentation, labels
        self.epoch = -1
        self.planned: tuple[Tensor, dict[str, Tensor]] = (None, {})

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        epoch, position = divmod(self.steps[index], self.images.steps)
        if epoch != self.epoch:
            self.epoch, self.planned = epoch, self._to_device(*self.plan(epoch))
        order, draws = self.planned
        start = position * self.images.batch_size
        batch = _cut()(
            *self.images.resident,
            order,
            draws,
            np.int32(start),
            count=min(self.images.batch_size, len(self.images) - start),
            augmentation=self.augmentation,
        )
        return batch if self.labels else batch[:1]

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

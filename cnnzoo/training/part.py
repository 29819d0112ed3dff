"""The part of a model that a phase trains, and what it is fed with: images, or what frozen layers gave."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import keras

from cnnzoo.data.pipeline import Datasets
from cnnzoo.errors import InputError
from cnnzoo.models.folding import frozen_and_trained, joined
from cnnzoo.models.transfer import set_trainable
from cnnzoo.training import views
from cnnzoo.training.config import Phase, TrainConfig
from cnnzoo.training.devices import shared_out, sharing
from cnnzoo.training.progress import Progress
from cnnzoo.training.recorder import REPORT_SECONDS, Watch

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass
class Part:
    """What trains, phase after phase.

    Attributes:
        number: the phase that it is prepared for.
        model: what Keras trains, which has the very layers of `watch.whole` where those train; layers before
            them are an equal copy that computes faster, or left out with `views`.
        epochs: that were before it.
        kept: what frozen layers gave, for this phase and the next ones with as many views.
        given: what of that, or of what further layers made of it, goes into `model`; None where images do.
        frozen_seconds: what computing that took in this process.
    """

    watch: Watch
    data: Datasets
    config: TrainConfig
    number: int = 0
    epochs: int = 0
    model: keras.Model = field(init=False)
    kept: views.Activations | None = None
    given: views.Activations | None = None
    frozen_seconds: float = 0.0

    @property
    def phase(self) -> Phase:
        return self.config.phases[self.number]

    def prepare(self, number: int, epochs: int) -> None:
        """Sets trainable what a phase trains, after so many epochs, and gets ready what goes into that.

        Raises:
            InputError: the phase has views of frozen layers, and freezes none or is for several devices.
        """
        self.number, self.epochs, whole = number, epochs, self.watch.whole
        if self.phase.views:
            if sharing() > 1:
                raise InputError(
                    f"views={self.phase.views}: what frozen layers give is kept on one device alone; choose "
                    "views=0, or let one be seen (CUDA_VISIBLE_DEVICES=0)"
                )
            self._compute_frozen()
            return
        self.kept = self.given = None
        set_trainable(whole, self.phase.trainable)
        parts = frozen_and_trained(whole)
        self.model = joined(*parts) if parts else whole

    def _compute_frozen(self) -> None:
        started = self.reported = perf_counter()
        if self.kept is None or self.kept.views != self.phase.views:
            self.kept = None  # its memory, before more is taken
            self.kept = views.of_images(self.watch.whole, self.data, self.config, self.number, self._tell)
        set_trainable(self.watch.whole, self.phase.trainable)
        self.given = self.kept.behind_frozen(self._tell)
        self.model = self.given.rest
        self.frozen_seconds += perf_counter() - started

    def training(
        self, *, epochs: int, first_epoch: int, first_batch: int
    ) -> "tf.data.Dataset | keras.utils.PyDataset":
        """The batches of some epochs, from one on."""
        images, seed = self.data.train, self.config.seed
        place = {"epochs": epochs, "seed": seed, "first_epoch": first_epoch, "first_batch": first_batch}
        if self.given is not None:
            return views.shuffled(self.given.train, images, **place)
        return shared_out(images.training_dataset(augmentation=self.config.augmentation, **place))

    def validation(self) -> "tf.data.Dataset | keras.utils.PyDataset":
        """The validation images once, in order."""
        if self.given is not None:
            return views.in_order(self.given.validation, self.data.validation)
        return shared_out(self.data.validation.dataset(), self.data.validation)

    def _tell(self, done: int, total: int) -> None:
        now = perf_counter()
        if self.watch.report is None or now - self.reported < REPORT_SECONDS:
            return
        self.reported = now
        phases = self.config.phases
        self.watch.report(
            Progress(
                phase=self.number,
                phases=len(phases),
                epoch=self.epochs,
                epochs=self.epochs + sum(phase.epochs for phase in phases[self.number :]),
                step=done,
                steps=total,
                frozen=True,
            )
        )

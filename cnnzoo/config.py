"""How a model is trained, and what an epoch gave, as dataclasses that need no framework."""

from dataclasses import dataclass
from typing import Literal, get_args

from cnnzoo.data.augment import Augmentation
from cnnzoo.errors import InputError

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class Phase:
    """Part of a training with one optimiser, one learning rate and one set of trainable layers.

    Attributes:
        epochs: passes over the training images, at most.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: constant over the phase, or where "cosine" gets to after its first steps.
        trainable: what of the model trains: "all", "head", a layer, a stage, or a share of the backbone's
            layers, counted from its end; see `cnnzoo.transfer.set_trainable`.
        patience: stop after that many epochs without a lower validation loss; None never stops early.
        schedule: "constant"; or "cosine", which rises over the first twentieth of the steps and then falls
            to 0 along half a cosine (Loshchilov & Hutter 2016), so that stopping early cuts it short.
        weight_decay: of AdamW (Loshchilov & Hutter 2017), a share of each weight times the learning rate.
    """

    epochs: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    trainable: str | float = "all"
    patience: int | None = None
    schedule: Schedule = "constant"
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; it must be at least 1")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if self.learning_rate <= 0:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience is {self.patience}; it must be at least 1, or None")
        if self.schedule not in get_args(Schedule):
            raise InputError(f"unknown schedule {self.schedule!r}; known: {', '.join(get_args(Schedule))}")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay is {self.weight_decay}; it must be at least 0")
        if self.weight_decay and self.optimizer != "adamw":
            raise InputError(f"weight_decay is adamw's; {self.optimizer} has none: choose optimizer='adamw'")


@dataclass(frozen=True)
class TrainConfig:
    """Phases in order, what happens to training images, and the seed of their order and augmentation."""

    phases: tuple[Phase, ...]
    augmentation: Augmentation = Augmentation()
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise InputError("a TrainConfig needs at least one Phase")


@dataclass(frozen=True)
class Epoch:
    """One epoch; `seconds` is training alone, apart from tracing the graph in a phase's first batch."""

    phase: int
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    validation_seconds: float
    tracing_seconds: float = 0.0


@dataclass(frozen=True)
class Progress:
    """How far a training has come; phases and epochs count from 0 over the whole of it, as in `Epoch`.

    Attributes:
        phase: the one that runs, of `phases`.
        epoch: the one that runs, of the `epochs` planned; a phase that stops early makes them fewer.
        step: batches done in this epoch, of `steps`.
        images_per_second: in this epoch, while it runs without the batch that traces the graph; None before
            there are any.
        seconds_left: of training and validation, if no phase stops early; None while nothing is known.
        loss: over this epoch's batches so far; None before the first.
        best_val_accuracy: the highest so far; None before the first epoch's end.
        result: the epoch, once it has ended.
    """

    phase: int
    phases: int
    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float | None = None
    seconds_left: float | None = None
    loss: float | None = None
    best_val_accuracy: float | None = None
    result: Epoch | None = None

    @property
    def share(self) -> float:
        """The share of all planned batches that are done."""
        return (self.epoch + self.step / self.steps) / self.epochs

    @property
    def phase_title(self) -> str:
        """`phase 1/2 `, empty where there is one phase alone."""
        return f"phase {self.phase + 1}/{self.phases} " if self.phases > 1 else ""

    @property
    def numbers(self) -> list[str]:
        """Its speed and its loss, in words, where they are known."""
        speed = "" if self.images_per_second is None else f"{self.images_per_second:,.0f} images/s"
        loss = "" if self.loss is None else f"loss {self.loss:.4f}"
        return [part for part in (speed, loss) if part]

    def line(self) -> str:
        """The epoch that has ended, on a line.

        Raises:
            ValueError: none has.
        """
        if self.result is None:
            raise ValueError(f"epoch {self.epoch + 1} has not ended")
        done = self.result
        return (
            f"{self.phase_title}epoch {done.epoch + 1}: loss {done.loss:.4f}, accuracy {done.accuracy:.4f}, "
            f"validation loss {done.val_loss:.4f}, accuracy {done.val_accuracy:.4f}, "
            f"{self.images_per_second or 0:,.0f} images/s"
        )

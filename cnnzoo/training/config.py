"""How a model is trained, and what an epoch gave, as dataclasses that need no framework."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from cnnzoo.data.augment import Augmentation
from cnnzoo.errors import InputError

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")

Schedule = Literal["constant", "cosine"]
Keep = Literal["best", "last"]


@dataclass(frozen=True)
class Phase:
    """Part of a training with one optimiser, one learning rate and one set of trainable layers.

    Attributes:
        epochs: passes over the training images, at most.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: constant over the phase, or where "cosine" gets to after its first steps.
        trainable: what of the model trains: "all", "head", a layer, a stage, or a share of the backbone's
            layers, counted from its end; see `cnnzoo.models.transfer.set_trainable`.
        patience: stop after that many epochs without a lower validation loss; None never stops early.
        schedule: "constant"; or "cosine", which rises over the first twentieth of the steps and then falls
            to 0 along half a cosine (Loshchilov & Hutter 2016), so that stopping early cuts it short.
        weight_decay: of AdamW (Loshchilov & Hutter 2017), a share of each weight times the learning rate.
        views: how many augmented views of each training image to send through the frozen layers, once: the
            rest trains on what they gave, epoch after epoch in turn. 0 computes them in every epoch, with
            other draws each time. The first `views` epochs are the same either way but for rounding to
            float16. On one device alone.
        keep: the weights that the phase ends with: "best", of the epoch with the lowest validation loss; or
            "last", where the validation images don't show what the model is for.
    """

    epochs: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    trainable: str | float = "all"
    patience: int | None = None
    schedule: Schedule = "constant"
    weight_decay: float = 0.0
    views: int = 0
    keep: Keep = "best"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; it must be at least 1")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be a number above 0")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience is {self.patience}; it must be at least 1, or None")
        if self.schedule not in get_args(Schedule):
            raise InputError(f"unknown schedule {self.schedule!r}; known: {', '.join(get_args(Schedule))}")
        if self.keep not in get_args(Keep):
            raise InputError(f"unknown keep {self.keep!r}; known: {', '.join(get_args(Keep))}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay is {self.weight_decay}; it must be at least 0")
        if self.views < 0:
            raise InputError(f"views is {self.views}; it must be at least 0")
        if self.views and self.trainable == "all":
            raise InputError(
                "views are of frozen layers, of which trainable='all' leaves none; choose views=0"
            )
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

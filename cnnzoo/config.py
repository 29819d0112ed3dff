"""How a model is trained, and what an epoch gave, as dataclasses that need no framework."""

from dataclasses import dataclass

from cnnzoo.data.augment import Augmentation
from cnnzoo.errors import InputError

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")


@dataclass(frozen=True)
class Phase:
    """Part of a training with one optimiser, one learning rate and one set of trainable layers.

    Attributes:
        epochs: passes over the training images, at most.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: constant over the phase.
        trainable: "all", "head" (the backbone is frozen), or the name of the first backbone layer to train.
        patience: stop after that many epochs without a lower validation loss; None never stops early.
    """

    epochs: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    trainable: str = "all"
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}; it must be at least 1")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        if self.learning_rate <= 0:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience is {self.patience}; it must be at least 1, or None")


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
    """One epoch; `seconds` is training alone, `validation_seconds` the rest of it."""

    phase: int
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    validation_seconds: float

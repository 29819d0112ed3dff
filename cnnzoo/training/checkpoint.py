"""A training's whole state in a file, from which it goes on as if nobody had stopped it.

Keras' own `BackupAndRestore` keeps weights, epoch and batch: what drops at random, the order of the images
within an epoch, early stopping and the best weights start anew with it, and the result is another one.
"""

import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import keras
import msgspec
import numpy as np
import numpy.typing as npt

from cnnzoo.data.pipeline import Datasets
from cnnzoo.errors import InputError, printable
from cnnzoo.files import replaced_whole
from cnnzoo.training.config import Epoch, TrainConfig

MOST_SECONDS = 120.0  # of work that a kill may cost, where an epoch is longer
FIRST_SECONDS = 1.0  # before the first, whose cost is not known yet
COST = 0.01  # share of the time that saving may take, where epochs are short
_ABOUT = "about"  # the member that says where the training was

_DAMAGED = OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile

Arrays = list[npt.NDArray[Any]]
Part = TypeVar("Part")


@dataclass(frozen=True)
class Position:
    """Where a training is.

    Attributes:
        phase: number of the one that runs.
        earlier: the epochs of the phases before it.
        epochs: its own that have ended.
        batch: batches done of the epoch that has not; `seconds` and `tracing_seconds` are what they took.
        before: accuracy and loss on the validation images before the first batch.
    """

    phase: int
    earlier: tuple[Epoch, ...]
    epochs: tuple[Epoch, ...]
    before: dict[str, float]
    batch: int = 0
    seconds: float = 0.0
    tracing_seconds: float = 0.0

    def __str__(self) -> str:
        epochs = len(self.earlier) + len(self.epochs)
        return f"after batch {self.batch} of epoch {epochs + 1}" if self.batch else f"after epoch {epochs}"


@dataclass(frozen=True, eq=False)
class State:
    """All that a training depends on besides its configuration and its images.

    `metrics` are those of the epoch that has not ended, `best` the weights that the phase would
    keep if it ended; None where these are the model's own.
    """

    position: Position
    variables: Arrays
    optimizer: Arrays
    metrics: Arrays
    best: Arrays | None


@dataclass(frozen=True)
class _About:
    key: str
    position: Position


class Checkpoint:
    """A file with the state of one training, replaced every so often while it goes."""

    def __init__(self, path: Path, key: str) -> None:
        if path.suffix != ".npz":
            raise InputError(f"{printable(path)}: the file of a checkpoint ends in .npz")
        self.path, self.key = path, key
        self.began = self.saved_at = perf_counter()
        self.spent, self.last = 0.0, FIRST_SECONDS * COST

    def due(self, *, within_epoch: bool) -> bool:
        """Whether the state should be saved now."""
        now = perf_counter()
        if within_epoch or now - self.saved_at >= MOST_SECONDS:
            return now - self.saved_at >= MOST_SECONDS
        return self.spent + self.last <= COST * (now - self.began)

    def save(self, state: State) -> None:
        """Replaces the file; one that can't be written is no reason to end the training."""
        start = perf_counter()
        parts = {"variables": state.variables, "optimizer": state.optimizer, "metrics": state.metrics}
        if state.best is not None:
            parts["best"] = state.best
        members: dict[str, Any] = {
            f"{name}/{i}": array for name, part in parts.items() for i, array in enumerate(part)
        }
        members[_ABOUT] = np.array(json.dumps(asdict(_About(self.key, state.position))))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replaced_whole(self.path) as unfinished:
                np.savez(unfinished, allow_pickle=False, **members)
        except OSError as error:
            warnings.warn(
                f"{printable(self.path)}: {error.strerror}; stopped now, the training would start anew",
                stacklevel=2,
            )
        self.saved_at = perf_counter()
        self.last = self.saved_at - start
        self.spent += self.last

    def position(self) -> Position | None:
        """Returns where the training is that `load` would go on with."""
        return self._read(lambda position, file: position)

    def load(self) -> State | None:
        """Returns the state; None where there is none, or that of another training, or a damaged one."""
        return self._read(_state)

    def _read(self, part: Callable[[Position, Any], Part]) -> Part | None:
        try:
            with self.path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                about = msgspec.json.decode(str(file[_ABOUT]), type=_About)
                return part(about.position, file) if about.key == self.key else None
        except _DAMAGED:
            return None


def _state(position: Position, file: Any) -> State:
    return State(
        position=position,
        variables=_part(file, "variables") or [],
        optimizer=_part(file, "optimizer") or [],
        metrics=_part(file, "metrics") or [],
        best=_part(file, "best"),
    )


def _part(file: Any, name: str) -> Arrays | None:
    count = sum(member.startswith(f"{name}/") for member in file.files)
    return [file[f"{name}/{i}"] for i in range(count)] or None


def key_of(model: keras.Model, data: Datasets, config: TrainConfig) -> str:
    """Returns a hash of what makes two trainings the same one, but for the weights that they start from."""
    parts = {
        "config": asdict(config),
        "images": data.manifest.fingerprint,
        "split": asdict(data.split),
        "count": len(data.train),
        "size": data.train.images.shape[1:],
        "batch_size": data.train.batch_size,
        "on_device": data.train.on_device,
        "variables": [list(variable.shape) for variable in model.variables],
        "types": [str(variable.dtype) for variable in model.variables],
        "keras": [keras.__version__, keras.backend.backend(), keras.config.dtype_policy().name],
    }
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def values_of(variables: Sequence[Any]) -> Arrays:
    """Copies variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def put_back(variables: Sequence[Any], values: Arrays) -> None:
    """Gives variables the values that `values_of` copied."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)

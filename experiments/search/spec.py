"""What a search and each of its trials are asked to do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from experiments.recipes.recipe import Recipe
from experiments.runs.sides import DataRequest


@dataclass(frozen=True)
class SearchRequest:
    """What a user asks for.

    Attributes:
        model: registered name.
        data: the images, and the folder for the results.
        tuner: "bayesian", "hyperband" or "random".
        trials: at most.
        epochs: of a trial, at most.
        seed: of the search and of every training.
        minutes: after which a trial is ended and counts as failed.
        weights: pairs MODEL=FILE.
        ray: HOST:PORT of a Ray cluster that runs the trials; None runs them here.
    """

    model: str
    data: DataRequest
    tuner: str = "bayesian"
    trials: int = 20
    epochs: int = 10
    seed: int = 0
    minutes: float = 60
    weights: tuple[str, ...] = ()
    ray: str | None = None


@dataclass(frozen=True)
class Search:
    """What all trials of a search share; `weights` is a file, or "" for random ones, by image size.

    `inputs` has the SHA-256 of each file that trials read besides images.
    """

    model: str
    epochs: int
    pretrained: bool
    seed: int
    weights: Mapping[int, str]
    manifest: Path
    sides: Path
    out: Path
    minutes: float
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialSpec:
    """What a trial needs to know; a JSON file between `tune` and `search.trial`.

    `weights_file` is empty for random weights, `log_dir` is for TensorBoard. `sides` is a file with the
    indices of training and validation images in the manifest; it names no test image. `inputs` are those of
    the search.
    """

    recipe: Recipe
    seed: int
    weights_file: str
    manifest: str
    sides: str
    log_dir: str
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> list[str]:
        """The files that it reads, apart from the images, whose hashes are in the manifest."""
        return [self.manifest, self.sides, *([self.weights_file] if self.weights_file else [])]

    @property
    def manifests(self) -> list[str]:
        """The file that lists its images."""
        return [self.manifest]

    def moved(self, files: Mapping[str, str], out: Path) -> "TrialSpec":
        """The same trial with copies of what it reads, found in `files`, and another folder for results."""
        return replace(
            self,
            manifest=files[self.manifest],
            sides=files[self.sides],
            weights_file=self.weights_file and files[self.weights_file],
            log_dir=str(out / "logs" / Path(self.log_dir).name),
            inputs={},
        )

    @property
    def checkpoint(self) -> Path:
        """The file with the state of its training, until it has ended."""
        return Path(f"{self.log_dir}.state.npz")

    @staticmethod
    def load(path: Path) -> "TrialSpec":
        """Reads what the search wrote."""
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), TrialSpec)

"""What one run is asked to do, and on which data, in values that fit a JSON file."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from cnnzoo.data.audit.summary import AuditFacts
from cnnzoo.data.class_names import SIDES as SIDES
from cnnzoo.data.folders import BadFile
from cnnzoo.data.sources.drawn import SURFACES_VERSION
from cnnzoo.errors import InputError, printable
from cnnzoo.evaluation import VIEWS_VERSION
from cnnzoo.files import file_stem, sha256_of
from experiments.recipes.recipe import Recipe
from experiments.runs import left

MOST_OF_A_NAME = 80  # characters of a folder's name, in those of runs and files


@dataclass(frozen=True)
class SplitFacts:
    """How the images were split: `kind` is "grouped", "given groups", "random", or "given" by the folders,
    whose shares `fractions` are then; or "left out", where all images of the surface `left_out` are tested.

    `groups` is a hash of the groups, `leaked` the number of test images with a twin in training, `train_size`
    the number of training images that was asked for, None for all of the `train_images` that there are.
    `fold` counts from 1 to `folds`, where each image is tested by one of so many runs; both are 0 elsewhere.
    """

    kind: str = ""
    fractions: tuple[float, ...] = ()
    seed: int = 0
    groups: str = ""
    leaked: int = 0
    train_size: int | None = None
    train_images: int = 0
    left_out: str = ""
    fold: int = 0
    folds: int = 0

    @property
    def named(self) -> str:
        """As people call it."""
        if self.folds:
            return f"{self.folds} folds, {self.kind}"
        return f"{printable(self.left_out)} left out of training" if self.left_out else f"{self.kind} split"

    def as_dict(self) -> dict[str, Any]:
        """What tells this split from others; records of before there were the last fields have the same."""
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value}

    @property
    def of_all_folds(self) -> "SplitFacts":
        """What the folds share."""
        return replace(self, fold=0, leaked=0, train_images=0) if self.folds else self


_LATER = ("left_out", "fold", "folds")


@dataclass(frozen=True)
class OtherFacts:
    """A data set that no run trains on: images by class, groups, and twins of images of the data."""

    root: str = ""
    fingerprint: str = ""
    images: dict[str, int] = field(default_factory=dict)
    groups: int = 0
    twins: int = 0


@dataclass(frozen=True)
class DataFacts:
    """What a run was trained and tested on.

    `images` counts by side of the split, then class. `limit` is the number of images a class that was asked
    for, `positive` the positive class, empty where none is named, `others` the other data sets by name.
    """

    name: str = ""
    root: str = ""
    fingerprint: str = ""
    class_names: tuple[str, ...] = ()
    bad: tuple[BadFile, ...] = ()
    limit: int | None = None
    positive: str = ""
    others: dict[str, OtherFacts] = field(default_factory=dict)
    audit: AuditFacts | None = None
    images: dict[str, dict[str, int]] = field(default_factory=dict)
    split: SplitFacts = SplitFacts()

    def count(self, side: str) -> int:
        """The number of images in `train`, `validation` or `test`."""
        return sum(self.images.get(side, {}).values())


@dataclass(frozen=True)
class Other:
    """A data set that no run trains on: its name, its manifest's file and a group for each image."""

    name: str
    manifest: str
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Round:
    """A round of a comparison within a budget (`search.halving`).

    `minutes` is the budget, `number` counts from 0; `last` is the one that tests. `run` is the identity that
    the run would have without a budget, which its later rounds share.
    """

    minutes: float
    number: int
    last: bool
    run: str


@dataclass(frozen=True)
class RunSpec:
    """What one run needs to know; a JSON file between `compare` and `runs.train`.

    `weights_file` is empty for random weights, `weights` is how the record names them. `split` is a file with
    the indices of each side and the group of every image of the manifest. `inputs` has the SHA-256 of each
    file that it reads besides images. `at_once` is how many runs share the machine, which is no part of its
    identity, and neither are the `seconds` after which it is ended. `round` is None without a budget.
    """

    recipe: Recipe
    seed: int
    epochs: int | None
    weights: str
    weights_file: str
    manifest: str
    split: str
    others: tuple[Other, ...]
    recall: float | None
    precision: float | None
    robustness: bool
    out: str
    command: str
    demonstration: bool
    data: DataFacts
    inputs: dict[str, str] = field(default_factory=dict)
    at_once: int = 1
    round: Round | None = None
    seconds: float | None = None

    @property
    def reads(self) -> list[str]:
        """The files that it reads, apart from the images, whose hashes are in the manifest."""
        files = [*self.manifests, self.split]
        return [*files, self.weights_file] if self.weights_file else files

    @property
    def manifests(self) -> list[str]:
        """The files that list its images."""
        return [self.manifest, *(other.manifest for other in self.others)]

    def moved(self, files: Mapping[str, str], out: Path) -> "RunSpec":
        """The same run with copies of what it reads, found in `files`, and another folder for results."""
        moved = replace(
            self,
            manifest=files[self.manifest],
            split=files[self.split],
            others=tuple(replace(other, manifest=files[other.manifest]) for other in self.others),
            weights_file=self.weights_file and files[self.weights_file],
            out=str(out),
        )
        return replace(moved, inputs=hashes_of(moved.reads))

    def resolved_recipe(self) -> Recipe:
        """The recipe as this run trains it: epochs capped, with a schedule for random weights."""
        recipe = self.recipe.capped(self.epochs)
        return recipe if self.weights_file or not recipe.pretrained else recipe.from_random_weights()

    @property
    def run_name(self) -> str:
        """What people call this run."""
        return usual_name(self.recipe.name, self.seed, self.data)

    @property
    def stem(self) -> str:
        """What every file that this run writes is called: another run has another one."""
        return left.stem(self.run_name, self.identity)

    @property
    def files(self) -> list[str]:
        """The files that this run leaves for good, below `out`."""
        return left.files_of(self.run_name, self.identity, self.data.others)

    @property
    def checkpoint(self) -> Path:
        """The file with the state of its training, until it has a record."""
        return Path(self.out, "logs", f"{self.stem}.state.npz")

    @cached_property
    def identity(self) -> str:
        """A hash of all that decides a run's outcome; two runs that share it need not both be made."""
        parts: dict[str, Any] = {
            "recipe": self.resolved_recipe().as_dict(),
            "name": self.recipe.name,
            "seed": self.seed,
            "weights": self.weights,
            "data": self.data.fingerprint,
            "split": self.data.split.as_dict(),
            "others": {name: other.fingerprint for name, other in self.data.others.items()},
            "positive": self.data.positive,
            "recall": self.recall,
            "robustness": self.robustness and _corruptions(),
        }
        if self.recall is not None or self.precision is not None:
            # Thresholds of before were chosen without a promise, and had no precision to ask for.
            parts["promise"] = self.precision
        if self.recipe.drawn:
            parts["drawn"] = SURFACES_VERSION
        if self.recipe.several_views:
            parts["views"] = VIEWS_VERSION
        if self.round:
            parts["round"] = asdict(self.round)
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @staticmethod
    def load(path: Path) -> "RunSpec":
        """Reads what `compare` wrote."""
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), RunSpec)


def with_hashes(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Notes what is in the files that the runs read, each file once."""
    listed = list(specs)
    hashes = hashes_of({file for spec in listed for file in spec.reads})
    return [replace(spec, inputs={file: hashes[file] for file in spec.reads}) for spec in listed]


def hashes_of(files: Iterable[str]) -> dict[str, str]:
    """Returns the SHA-256 of each file, for `check_unchanged`."""
    return {file: sha256_of(file) for file in files}


def check_unchanged(files: Mapping[str, str]) -> None:
    """Checks that files still have the SHA-256 that stands beside each.

    Raises:
        InputError: one has another, or can't be read.
    """
    for file, before in files.items():
        try:
            changed = sha256_of(file) != before
        except OSError:
            changed = True
        if changed:
            raise InputError(f"{printable(file)}: changed or gone since the command began; give it again")


def _corruptions() -> dict[str, Any]:
    """What a network is tested under: kinds, strengths, and the size of image that they are meant for."""
    from cnnzoo.data.corruptions import CANVAS, CORRUPTIONS

    return {"canvas": CANVAS, **{kind: corruption.strengths for kind, corruption in CORRUPTIONS.items()}}


def usual_name(recipe: str, seed: int, data: DataFacts) -> str:
    """Returns `recipe-seedN`, with what `part_of` says of the data."""
    return f"{recipe}{part_of(data)}-seed{seed}"


def part_of(data: DataFacts) -> str:
    """`-50` where so many training images were asked for, `-without-brickwork` where that is left out.

    `-fold2` where that is the one that is tested.
    """
    without = f"-without-{file_stem(data.split.left_out)[:MOST_OF_A_NAME]}" if data.split.left_out else ""
    fold = f"-fold{data.split.fold}" if data.split.fold else ""
    return without + fold + (f"-{data.split.train_size}" if data.split.train_size else "")

"""One run, one line: what was run, on what, and what came out of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cnnzoo.errors import InputError, one_line
from cnnzoo.files import append_line
from cnnzoo.training.config import Epoch
from experiments.cli.process import to_type
from experiments.runs import left
from experiments.runs.spec import DataFacts, RunSpec, usual_name
from experiments.style.text import few_listed

RUNS_FILE = "runs.jsonl"
VERSION = 1  # of the records that are written, and the newest that is read


@dataclass(frozen=True)
class RunResult:
    """What a finished run measured; accuracies are shares, times seconds unless the name says otherwise.

    `auroc`, `average_precision` and `operating_point` speak of the positive class that `RunRecord.data`
    names. Calibration errors are of the test images, with the temperature fitted on validation and without.
    `operating_point` has the threshold chosen on validation for a wanted recall and what it gives on test.
    `others` has accuracy, AUROC and so on for each other data set, `robustness` the test accuracy at five
    strengths of each corruption, and at none ("none"). `tracing_seconds`, of building TensorFlow's graph in
    the first batch of each phase, are part of `train_seconds` in records of earlier versions, which lack it
    and `val_loss_before`.
    """

    total_params: int
    trainable_params: int
    val_accuracy_before: float
    val_accuracy: float
    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    test_loss: float
    test_images: int
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    history: list[Epoch]
    best_epoch: int
    train_seconds: float
    first_epoch_seconds: float
    seconds_per_epoch: float
    images_per_second: float
    start_seconds: float
    decode_seconds: float
    validation_seconds: float
    test_seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    model_bytes: int
    ms_per_image_1: float
    ms_per_image_32: float
    tracing_seconds: float | None = None
    val_loss_before: float | None = None
    auroc: float | None = None
    average_precision: float | None = None
    temperature: float = 1.0
    calibration_error: float | None = None
    calibration_error_raw: float | None = None
    operating_point: dict[str, float] | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    robustness: dict[str, list[float]] = field(default_factory=dict)

    def never_predicted(self, class_names: Sequence[str]) -> list[str]:
        """The classes that have test images, and that were the most probable one of no image."""
        lines = zip(class_names, self.confusion, strict=False)
        return [
            name
            for i, (name, actual) in enumerate(lines)
            if sum(actual) and not any(line[i] for line in self.confusion)
        ]


@dataclass(frozen=True)
class RunRecord:
    """A run of one recipe with one seed.

    `status` is "ok" or "failed: REASON"; `result` is None for a failure. `weights` says what the model
    started from: "random", "imagenet" or the name and hash of a file. `config` is the TrainConfig as a dict
    and the input size; `environment` has versions, device, machine and git commit. `name` begins the names of
    its files, and `files` says what was in them, by path below the output folder; records of earlier versions
    lack both. `version` counts the changes after which an older program would misread a record.
    """

    identity: str
    recipe: str
    model: str
    seed: int
    status: str
    weights: str
    started: str
    command: str
    demonstration: bool
    config: dict[str, Any]
    data: DataFacts
    environment: dict[str, Any]
    result: RunResult | None = None
    name: str = ""
    files: dict[str, left.FileFacts] = field(default_factory=dict)
    version: int = VERSION

    @property
    def run_name(self) -> str:
        """What people call this run, and what the names of its files begin with."""
        return self.name or usual_name(self.recipe, self.seed, self.data)

    @property
    def model_file(self) -> str:
        """Where its model is, below the output folder; earlier versions left the identity out of the name."""
        file = left.model_file(self.run_name, self.identity)
        return file if self.files else f"models/{self.run_name}.keras"

    @property
    def augmented_file(self) -> str:
        """Where training images as the network saw them are; in earlier versions one file for all seeds."""
        file = left.augmented_file(self.run_name, self.identity)
        return file if self.files else f"figures/augmented-{self.recipe}.jpg"

    def predictions_file(self, other: str = "") -> str:
        """Name of the file with the verdicts on its test images, or on another data set."""
        return left.predictions_file(self.run_name, self.identity, other)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def never_predicted(self) -> list[str]:
        """The classes that it names for no test image, though there are some of them."""
        return self.result.never_predicted(self.data.class_names) if self.result else []

    @property
    def accuracy_line(self) -> str:
        """`test accuracy 0.9962`, and what a reader must know of it."""
        if self.result is None:
            return ""
        never = f", never predicts {few_listed(self.never_predicted)}" if self.never_predicted else ""
        return f"test accuracy {self.result.test_accuracy:.4f}{never}"


def record_for(
    spec: RunSpec,
    *,
    status: str,
    started: str,
    environment: dict[str, Any] | None = None,
    result: RunResult | None = None,
    files: dict[str, left.FileFacts] | None = None,
) -> RunRecord:
    """Puts a run's outcome beside what was asked for."""
    recipe = spec.resolved_recipe()
    return RunRecord(
        identity=spec.identity,
        recipe=recipe.name,
        model=recipe.model,
        seed=spec.seed,
        status=status,
        weights=spec.weights,
        started=started,
        command=spec.command,
        demonstration=spec.demonstration,
        config=recipe.as_dict(),
        data=spec.data,
        name=spec.run_name,
        environment=environment or {},
        result=result,
        files=files or {},
    )


def to_json(record: RunRecord) -> str:
    """Returns `record` as one line of JSON."""
    return json.dumps(asdict(record))


def from_json(line: str) -> RunRecord:
    """Reads what `to_json` wrote; fields that a later version added are ignored.

    Raises:
        ValueError: it is no JSON.
        msgspec.ValidationError: it is no record, or one that only a later version can read.
    """
    values = json.loads(line)
    version = values.get("version", 1) if isinstance(values, dict) else 0
    if isinstance(version, int) and version > VERSION:
        raise msgspec.ValidationError(f"a record of version {version}, which a newer cnnzoo wrote")
    return msgspec.convert(values, RunRecord)


def append_record(folder: Path, record: RunRecord) -> None:
    """Adds `record` to the folder's runs and has it on disk before it returns."""
    append_line(folder / RUNS_FILE, to_json(record))


def read_records(folder: Path, unread: Callable[[str], None] = lambda text: None) -> list[RunRecord]:
    """Returns every record in the order written; a line that a kill tore is passed over.

    Args:
        folder: that `compare` wrote.
        unread: gets a sentence for each whole line that can't be read, as one of a newer version.

    Raises:
        InputError: the folder holds no runs.
    """
    path = folder / RUNS_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; run {to_type('compare')} --out {folder} first")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        try:
            records.append(from_json(line))
        except msgspec.ValidationError as error:
            unread(f"{path}, line {number}: passed over: {one_line(error)}")
        except ValueError:
            continue
    return records


def latest_records(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Keeps the last record of each identity: a retried failure is replaced by what came of it."""
    return list({record.identity: record for record in records}.values())

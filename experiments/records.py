"""One run, one line: what was run, on what, and what came out of it."""

import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cnnzoo.errors import InputError
from cnnzoo.training.config import Epoch
from experiments.commands import to_type

RUNS_FILE = "runs.jsonl"


@dataclass(frozen=True)
class RunResult:
    """What a finished run measured; accuracies are shares, times seconds unless the name says otherwise.

    `auroc`, `average_precision` and `operating_point` speak of the positive class that `RunRecord.data`
    names. Calibration errors are of the test images, with the temperature fitted on validation and without.
    `operating_point` has the threshold chosen on validation for a wanted recall and what it gives on test.
    `others` has accuracy, AUROC and so on for each other data set, `robustness` the test accuracy at five
    strengths of each corruption, and at none ("none"). `tracing_seconds`, of building TensorFlow's graph in
    the first batch of each phase, are part of `train_seconds` in records of earlier versions, which lack it.
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
    auroc: float | None = None
    average_precision: float | None = None
    temperature: float = 1.0
    calibration_error: float | None = None
    calibration_error_raw: float | None = None
    operating_point: dict[str, float] | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    robustness: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run of one recipe with one seed.

    `status` is "ok" or "failed: REASON"; `result` is None for a failure. `weights` says what the model
    started from: "random", "imagenet" or the name and hash of a file. `data` has name, root, fingerprint,
    class_names, images (split, then class, then count), bad (path and reason of each file left out), limit
    and split, the positive class, what the audit found, and the other data sets. `config` is the TrainConfig
    as a dict and the input size; `environment` has versions, device, machine and git commit. `name` is the
    stem of its files; records of earlier versions lack it.
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
    data: dict[str, Any]
    environment: dict[str, Any]
    result: RunResult | None = None
    name: str = ""

    @property
    def run_name(self) -> str:
        """The stem of every file that this run writes."""
        return self.name or run_name(self.recipe, self.seed, self.data)

    def predictions_file(self, other: str = "") -> str:
        """Name of the file with the verdicts on its test images, or on another data set."""
        return predictions_file(self.run_name, self.identity, other)

    @property
    def ok(self) -> bool:
        return self.status == "ok"


def run_name(recipe: str, seed: int, data: dict[str, Any]) -> str:
    """Returns `recipe-seedN`, with the number of training images where they were asked to be few."""
    size = data.get("split", {}).get("train_size")
    return f"{recipe}-{size}-seed{seed}" if size else f"{recipe}-seed{seed}"


def predictions_file(name: str, identity: str, other: str = "") -> str:
    """Returns a file name with the run's identity in it, so that no other run replaces the file."""
    return f"{name}-{identity[:8]}{'-' if other else ''}{file_stem(other)}.csv"


def mistakes_file(name: str, identity: str) -> str:
    """Returns where a run leaves the pictures of its worst mistakes, below the output folder."""
    return f"mistakes/{name}-{identity[:8]}.json"


def file_stem(name: str) -> str:
    """Returns `name` with what a file name shouldn't hold replaced."""
    return re.sub(r"[^\w.+-]", "_", name)


def to_json(record: RunRecord) -> str:
    """Returns `record` as one line of JSON."""
    return json.dumps(asdict(record))


def from_json(line: str) -> RunRecord:
    """Reads what `to_json` wrote; fields that a later version added are ignored."""
    values = _known(RunRecord, json.loads(line))
    if values.get("result") is not None:
        result = _known(RunResult, values["result"])
        result["history"] = [Epoch(**_known(Epoch, epoch)) for epoch in result["history"]]
        values["result"] = RunResult(**result)
    return RunRecord(**values)


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    names = {known.name for known in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def append_record(folder: Path, record: RunRecord) -> None:
    """Adds `record` to the folder's runs and has it on disk before it returns."""
    append_line(folder / RUNS_FILE, to_json(record))


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a kill leaves the older one or the whole new one, never a part."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file of records and has it on disk before it returns."""
    with path.open("a+b") as file:
        # A run killed while it wrote leaves a torn line: end it, so that it costs one record and not two.
        if file.tell() and _last_byte(file) != b"\n":
            file.write(b"\n")
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_byte(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def read_records(folder: Path) -> list[RunRecord]:
    """Returns every record in the order written; a torn line is passed over.

    Raises:
        InputError: the folder holds no runs.
    """
    path = folder / RUNS_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; run {to_type('compare')} --out {folder} first")
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            records.append(from_json(line))
        except (ValueError, TypeError):
            continue
    return records


def latest_records(records: list[RunRecord]) -> list[RunRecord]:
    """Keeps the last record of each identity: a retried failure is replaced by what came of it."""
    return list({record.identity: record for record in records}.values())

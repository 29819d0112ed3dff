"""One trial, one line: the values that were drawn, the recipe they make, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cnnzoo.data.table import write_table
from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.files import append_line
from experiments.cli.say import say
from experiments.recipes.recipe import Recipe
from experiments.runs.records import LARGEST, Amount, Count, Share, lines_of

TRIALS_FILE = "trials.jsonl"

Value = (
    bool
    | None
    | Annotated[int, Meta(ge=-int(LARGEST), le=int(LARGEST))]
    | Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
    | Annotated[str, Meta(max_length=200)]
)


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial measured, on validation images alone; times are seconds."""

    val_loss: Amount
    val_accuracy: Share
    epochs: Count
    best_epoch: Count
    train_seconds: Amount
    total_params: Count
    trainable_params: Count
    peak_memory_mb: Amount


@dataclass(frozen=True)
class TrialRecord:
    """A trial of a search.

    `number` counts from 1 in the order of starting; `status` is "ok" or "failed: REASON", with `result` None;
    `values` are what keras-tuner drew, `recipe` what they make; `worker` says which process ran it; `seconds`
    are those of its process, start and decoding included.
    """

    trial: str
    number: Annotated[int, Meta(ge=1, le=int(LARGEST))]
    status: str
    worker: str
    started: str
    seconds: Amount
    values: Mapping[str, Value]
    recipe: dict[str, Any]
    environment: dict[str, Any]
    result: TrialResult | None = None

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def loss(self) -> float:
        """Validation loss, by which trials are ranked; infinite for a failure."""
        return self.result.val_loss if self.result else float("inf")


def append_trial(out: Path, record: TrialRecord) -> None:
    """Adds a record to the folder's trials and has it on disk before it returns."""
    append_line(out / TRIALS_FILE, json.dumps(asdict(record)))


def read_trials(out: Path) -> list[TrialRecord]:
    """Returns the last record of each trial, by their numbers; a line that is none is passed over.

    Raises:
        InputError: what has the name of the file is none.
    """
    path = out / TRIALS_FILE
    if path.exists() and not path.is_file():
        raise InputError(f"{printable(path)}: no file; move it away, or choose another folder")
    latest = {}
    for line in lines_of(path) if path.is_file() else []:
        try:
            record = _from_json(line)
        except msgspec.ValidationError as error:
            say(f"{path}: a line is passed over: {one_line(error)}", warning=True)
            continue
        except (ValueError, RecursionError):  # torn by a kill, or damaged
            continue
        latest[record.trial] = record
    return sorted(latest.values(), key=lambda record: record.number)


def _from_json(line: bytes) -> TrialRecord:
    values = json.loads(line)
    json.dumps(values, ensure_ascii=False).encode()  # fails for half a character, which nothing can show
    record = msgspec.convert(values, TrialRecord)
    if record.ok:
        if record.result is None:
            raise msgspec.ValidationError("it finished without a result")
        msgspec.convert(record.recipe, Recipe)  # the best one is saved as a file
    return record


def ranked(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Best first: by validation loss, which still tells trials apart when accuracy is near 1."""
    return sorted(records, key=lambda record: (record.loss, record.number))


def varied(records: Sequence[TrialRecord]) -> list[str]:
    """Names of the values that differ between trials, in the order of the space."""
    names = dict.fromkeys(name for record in records for name in record.values)
    return [name for name in names if len({str(record.values.get(name)) for record in records}) > 1]


def write_trials(path: Path, records: Sequence[TrialRecord]) -> None:
    """Writes a row per trial, best first, with every value, as raw numbers."""
    names = list(dict.fromkeys(name for record in records for name in record.values))
    measured = [field.name for field in fields(TrialResult)]
    lines = []
    for record in ranked(records):
        result = asdict(record.result) if record.result else {}
        numbers = [result.get(name, "") for name in measured]
        values = [record.values.get(name, "") for name in names]
        lines.append([record.number, record.status, *numbers, record.seconds, record.worker, *values])
    write_table(path, ["trial", "status", *measured, "seconds", "worker", *names], lines)

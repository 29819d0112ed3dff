"""One run, one line: what was run, on what, and what came out of it."""

import json
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.files import append_line
from cnnzoo.training.config import Epoch
from experiments.cli.process import to_type
from experiments.runs import left
from experiments.runs.spec import DataFacts, Round, RunSpec, usual_name
from experiments.style.text import few_listed

RUNS_FILE = "runs.jsonl"
VERSION = 1  # of the records that are written, and the newest that is read

MOST_BYTES = 16_000_000  # of a line; a record takes some ten thousand
LARGEST = 1e15
ENDED_EARLY = "ended early: "

# What a number may be: a file that was edited or damaged must not reach the report.
Count = Annotated[int, Meta(ge=0, le=int(LARGEST))]
Amount = Annotated[float, Meta(ge=0, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]

# What the report asks of an operating point.
POINT = {"threshold", "test_recall", "test_precision"}


@dataclass(frozen=True)
class _Phase:
    epochs: Count
    optimizer: str = ""
    learning_rate: Amount = 0.0
    schedule: str = ""


@dataclass(frozen=True)
class _Training:
    phases: tuple[_Phase, ...] = ()
    augmentation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Config:
    """What the report asks of `RunRecord.config`."""

    config: _Training = _Training()
    pretrained: bool = False


@dataclass(frozen=True)
class _Adapted:
    """What the report asks of `_Other.adapted`."""

    accuracy: Share | None = None
    recall: dict[str, Share] = field(default_factory=dict)


@dataclass(frozen=True)
class _Other:
    """What the report asks of each of `RunResult.others`."""

    accuracy: Share | None = None
    auroc: Share | None = None
    recall: dict[str, Share] = field(default_factory=dict)
    adapted: _Adapted | None = None
    unlike: Share | None = None


@dataclass(frozen=True)
class RunResult:
    """What a finished run measured; accuracies are shares, times seconds unless the name says otherwise.

    `auroc`, `average_precision` and `operating_point` speak of the positive class that `RunRecord.data`
    names. Calibration errors are of the test images, with the temperature fitted on validation and without.
    `operating_point` has the threshold chosen on validation for a wanted recall or precision, whether it is
    promised, which earlier versions did not, and what it gives on test.
    `unlike` is the share of the test images that are unlike the training images.
    `sound` is the median log-odds of the positive class among validation images of the other class. `others`
    has accuracy, AUROC and so on for each other data set, "adapted" with a threshold fitted to its images, if
    the run could be adapted; `robustness` the test accuracy at five strengths of each corruption, and at none
    ("none"). `tracing_seconds`, of building TensorFlow's graph in
    the first batch of each phase, are part of `train_seconds` in records of earlier versions, which lack it
    and `val_loss_before`. `frozen_seconds`, of computing frozen layers once, are part of `train_seconds`.
    `start_seconds` are of importing TensorFlow; decoding goes on beside it. `second_batch_seconds` is what a
    run takes from the start of its process to the end of its second training batch, `phase_start_seconds` the
    same from the start of each phase that this process trained; earlier versions lack both.
    """

    total_params: Count
    trainable_params: Count
    val_accuracy_before: Share
    val_accuracy: Share
    test_accuracy: Share
    test_accuracy_low: Share
    test_accuracy_high: Share
    test_loss: Amount
    test_images: Annotated[int, Meta(ge=1, le=int(LARGEST))]
    per_class: dict[str, dict[str, float]]
    confusion: list[list[Count]]
    history: Annotated[list[Epoch], Meta(min_length=1, max_length=1_000_000)]
    best_epoch: Count
    train_seconds: Amount
    first_epoch_seconds: Amount
    seconds_per_epoch: Amount
    images_per_second: Amount
    start_seconds: Amount
    decode_seconds: Amount
    validation_seconds: Amount
    test_seconds: Amount
    cpu_seconds: Amount
    peak_memory_mb: Amount
    model_bytes: Count
    ms_per_image_1: Amount
    ms_per_image_32: Amount
    tracing_seconds: Amount | None = None
    second_batch_seconds: Amount | None = None
    phase_start_seconds: list[Amount] = field(default_factory=list)
    val_loss_before: Amount | None = None
    frozen_seconds: Amount = 0.0
    auroc: Share | None = None
    average_precision: Share | None = None
    temperature: Annotated[float, Meta(gt=0, le=LARGEST)] = 1.0
    sound: Annotated[float, Meta(ge=-17, le=17)] | None = None
    calibration_error: Amount | None = None
    calibration_error_raw: Amount | None = None
    operating_point: dict[str, float] | None = None
    unlike: Share | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    robustness: dict[str, Annotated[list[Share], Meta(min_length=1)]] = field(default_factory=dict)

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

    `status` is "ok", "failed: REASON" or, within a budget, "ended early: REASON"; only "ok" has a `result`.
    `weights` says what the model started from: "random", "imagenet" or the name and hash of a file. `config`
    is the TrainConfig as a dict and the input size; `environment` has versions, device, machine and git
    commit. `name` begins the names of its files, and `files` says what was in them, by path below the output
    folder; records of earlier versions lack both. `history` has the epochs of a run without a result.
    `at_once` is how many runs shared the machine, `seconds` what the process took in all, `round` is None
    without a budget. `version` counts the changes after which an older program would misread a record.
    """

    identity: str
    recipe: str
    model: str
    seed: Count
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
    history: list[Epoch] = field(default_factory=list)
    files: dict[str, left.FileFacts] = field(default_factory=dict)
    at_once: Annotated[int, Meta(ge=1, le=int(LARGEST))] = 1
    seconds: Amount = 0.0
    round: Round | None = None
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
    def ended_early(self) -> bool:
        """Whether it lost in a round of a budget, and is no failure."""
        return self.status.startswith(ENDED_EARLY)

    @property
    def never_predicted(self) -> list[str]:
        """The classes that it names for no test image, though there are some of them."""
        return self.result.never_predicted(self.data.class_names) if self.result else []

    @property
    def accuracy_line(self) -> str:
        """`test accuracy 0.9962`, and what a reader must know of it; without a result, why."""
        if self.result is None:
            return printable(self.status.removeprefix(ENDED_EARLY))
        never = f", never predicts {few_listed(self.never_predicted)}" if self.never_predicted else ""
        return f"test accuracy {self.result.test_accuracy:.4f}{never}"


def record_for(
    spec: RunSpec,
    *,
    status: str,
    started: str,
    environment: dict[str, Any] | None = None,
    result: RunResult | None = None,
    history: Sequence[Epoch] = (),
    files: dict[str, left.FileFacts] | None = None,
    seconds: float = 0.0,
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
        history=list(history),
        files=files or {},
        at_once=spec.at_once,
        seconds=seconds,
        round=spec.round,
    )


def to_json(record: RunRecord) -> str:
    """Returns `record` as one line of JSON."""
    return json.dumps(asdict(record))


def from_json(line: str | bytes) -> RunRecord:
    """Reads what `to_json` wrote; fields that a later version added are ignored.

    Raises:
        msgspec.ValidationError: it is no record, or one that only a later version can read.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise msgspec.ValidationError("no whole line of JSON, perhaps cut off by a kill") from None
    version = values.get("version", 1) if isinstance(values, dict) else 0
    if isinstance(version, int) and version > VERSION:
        raise msgspec.ValidationError(f"a record of version {version}, which a newer cnnzoo wrote")
    try:
        record = msgspec.convert(values, RunRecord)
    # Half a character, or braces without end, where none belongs.
    except (UnicodeEncodeError, RecursionError):
        raise msgspec.ValidationError("it holds text where none belongs") from None
    for wrong in filter(None, _contradictions(record)):
        raise msgspec.ValidationError(wrong)
    return record


def _contradictions(record: RunRecord) -> Iterator[str]:
    """What contradicts something else in a record, or can't be shown; each is empty where all is well."""
    names, result = record.data.class_names, record.result
    for text in (record.identity, record.recipe, record.run_name, record.data.fingerprint):
        yield "" if re.fullmatch(r"[\w.+-]{0,200}", text) else f"{text[:50]!r} can't be in the name of a file"
    yield "" if all(map(left.is_below, record.files)) else "it names files outside its folder"
    yield "" if len(set(names)) == len(names) else "two classes have one name"
    yield "" if record.data.positive in ("", *names) else "its positive class is none of its classes"
    yield "it finished without a result" if record.ok and result is None else ""
    yield "" if _fits(record.data.images, dict[str, dict[str, Count]]) else "it counts its images wrongly"
    yield "" if _fits(record.config, _Config) else "its config is none"
    if result:
        square = [len(line) for line in result.confusion] == [len(names)] * len(names)
        yield "" if square and names else f"its confusion matrix is not of {len(names)} classes"
        point = result.operating_point
        known = point is None or (record.data.positive and set(point) >= POINT)
        yield "" if known else "its operating point lacks something"
        yield "" if _fits(result.others, dict[str, _Other]) else "its numbers on other data sets are none"
        yield "" if not result.robustness or "none" in result.robustness else "its robustness lacks something"


def _fits(values: Any, kind: Any) -> bool:
    """Says whether values have what the report asks of them, as far as they are there."""
    try:
        msgspec.convert(values, kind)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
        return False
    return True


def append_record(folder: Path, record: RunRecord) -> None:
    """Adds `record` to the folder's runs and has it on disk before it returns."""
    append_line(folder / RUNS_FILE, to_json(record))


def read_records(folder: Path, unread: Callable[[str], None] = lambda text: None) -> list[RunRecord]:
    """Returns every record in the order written; a line that is none, as a kill may leave it, is passed over.

    Args:
        folder: that `compare` wrote.
        unread: gets a sentence for each line that is passed over.

    Raises:
        InputError: the folder holds no runs.
    """
    path = folder / RUNS_FILE
    if not path.exists():
        raise InputError(f"{path}: no such file; run {to_type('compare')} --out {folder} first")
    if not path.is_file():  # reading a pipe would wait for ever
        raise InputError(f"{path}: no file; move it away, or choose another folder")
    records = []
    try:
        for number, line in enumerate(lines_of(path), 1):
            try:
                if line.strip():
                    records.append(from_json(line))
            except msgspec.ValidationError as error:
                unread(f"{path}, line {number}: passed over: {one_line(error)}")
    except OSError as error:  # reading names no file, as opening does
        raise InputError(f"{path}: {error.strerror}") from None
    return records


def lines_of(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file; of one that is far longer than a record, a piece that is none."""
    with path.open("rb") as file:
        while line := file.readline(MOST_BYTES):
            rest = line
            while len(rest) == MOST_BYTES and not rest.endswith(b"\n"):
                rest = file.readline(MOST_BYTES)
            yield line if rest is line else b"too long"


def latest_records(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Keeps the last record of each run: it replaces a failure that was retried, and an earlier round."""
    return list({_run_of(record): record for record in records}.values())


def _run_of(record: RunRecord) -> Hashable:
    return (record.round.run, record.round.minutes) if record.round else record.identity


def settled(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Returns the last record of each identity that need not be made again."""
    last = {record.identity: record for record in records}
    return {identity: record for identity, record in last.items() if record.ok or record.ended_early}


def kept_epoch(history: Sequence[Epoch], config: Mapping[str, Any]) -> Epoch:
    """The epoch whose weights a training by a recipe, as `Recipe.as_dict` has it, ends with.

    It is that of the lowest validation loss of the last phase, or its last one where the phase keeps that.
    """
    phase = history[-1].phase
    if keeps_last(config, phase):
        return history[-1]
    return min((epoch for epoch in history if epoch.phase == phase), key=lambda epoch: epoch.val_loss)


def keeps_last(config: Mapping[str, Any], phase: int = -1) -> bool:
    """Whether a phase of a recipe's training, as `Recipe.as_dict` has it, keeps its last epoch."""
    try:
        return bool(config["config"]["phases"][phase].get("keep") == "last")
    except (KeyError, IndexError, TypeError, AttributeError):  # made before there was a choice, or damaged
        return False


def ended_early(history: Sequence[Epoch], config: Mapping[str, Any]) -> str:
    """Returns the status of a run of a recipe that a budget ends untested."""
    accuracy = kept_epoch(history, config).val_accuracy
    return f"{ENDED_EARLY}validation accuracy {accuracy:.4f} after {epochs_text(len(history))}"


def epochs_text(count: float) -> str:
    """`1 epoch`, `2.5 epochs`."""
    return f"{count:g} epoch{'s' * (count != 1)}"

"""Records → rows: one row for all seeds of a recipe on the same data, with the same settings and weights."""

import csv
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.predictions import Predictions, read_predictions
from experiments.recipes import RECIPES
from experiments.records import RunRecord, RunResult, file_stem
from experiments.text import interval_of, plain

FIRST_COLUMNS = ("recipe", "model", "status", "seeds", "test_accuracy", "test_accuracy_low",
                 "test_accuracy_high", "train_seconds", "total_params", "trainable_params")  # fmt: skip
PROBABILITY_SCORES = (
    "auroc",
    "average_precision",
    "temperature",
    "calibration_error",
    "calibration_error_raw",
)
TRUSTED_ACCURACY = 0.95  # of the audit's classifier: cnnzoo.data.audit
OPERATING = ("threshold", "test_recall", "test_precision")
CORRUPTIONS = ("none", "blur", "noise", "exposure", "jpeg", "rotation", "scale")
# Machines are noisy: what another program did during one seed should not show.
TIMES = {"train_seconds", "first_epoch_seconds", "seconds_per_epoch", "images_per_second", "start_seconds",
         "decode_seconds", "tracing_seconds", "validation_seconds", "test_seconds", "cpu_seconds",
         "ms_per_image_1", "ms_per_image_32"}  # fmt: skip
OPTIMIZER_NAMES = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}
SIDES = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Row:
    """All runs that differ in their seed alone, the latest of each; `name` is unique among the rows.

    `folder` is what `compare` wrote; without it, or without its predictions, intervals are Wilson's.
    """

    name: str
    records: tuple[RunRecord, ...]
    folder: Path | None = None

    @property
    def anchor(self) -> str:
        """The name as part of a file's name, or of an address in the page."""
        return file_stem(self.name)

    @property
    def first(self) -> RunRecord:
        """The record that speaks for what all share: recipe, data, settings, weights."""
        return self.records[0]

    @cached_property
    def finished(self) -> tuple[RunRecord, ...]:
        """The runs that have a result."""
        return tuple(record for record in self.records if record.ok and record.result)

    @cached_property
    def results(self) -> tuple[RunResult, ...]:
        """The results of the finished runs."""
        return tuple(record.result for record in self.finished if record.result)

    @property
    def status(self) -> str:
        """`ok`, `failed: REASON` or `1 of 3 failed: REASON`; different reasons are joined."""
        failed = [record for record in self.records if not record.ok]
        if not failed:
            return "ok"
        reasons = dict.fromkeys(plain(record.status.removeprefix("failed: ")) for record in failed)
        share = "" if len(failed) == len(self.records) else f"{len(failed)} of {len(self.records)} "
        return f"{share}failed: {'; '.join(reasons)}"

    def average(self, field: str) -> float | None:
        """The mean over the finished seeds of a number of `RunResult`, of a time the median; or None."""
        values = [value for result in self.results if (value := getattr(result, field)) is not None]
        return median(values) if field in TIMES and values else _mean(values)

    def deviation(self, field: str) -> float | None:
        """The standard deviation over the finished seeds; None for fewer than two."""
        values = [getattr(result, field) for result in self.results]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def class_mean(self, class_name: str, score: str) -> float | None:
        """The mean over the finished seeds of a class's `precision`, `recall`, `f1` or `support`."""
        scores = [result.per_class.get(class_name, {}).get(score) for result in self.results]
        return _mean([value for value in scores if value is not None])

    @cached_property
    def predictions(self) -> tuple[Predictions, ...]:
        """The verdicts of each finished seed on the same test images; empty where a file is missing."""
        return self.read()

    def read(self, other: str = "") -> tuple[Predictions, ...]:
        """The verdicts of each finished seed, on its test images or another data set; empty without files."""
        if self.folder is None:
            return ()
        found = [read_predictions(self.folder, record, other) for record in self.finished]
        whole = tuple(each for each in found if each is not None)
        same = len({each.paths for each in whole}) == 1
        return whole if same and len(whole) == len(self.finished) else ()

    def other_recall(self, name: str, class_name: str) -> float | None:
        """The mean over the finished seeds of a class's recall on another data set."""
        found = [result.others.get(name, {}).get("recall", {}).get(class_name) for result in self.results]
        return _mean([value for value in found if value is not None])

    def other_interval(self, name: str) -> tuple[float, float] | None:
        """The 95 % interval of the accuracy on another data set; None without predictions."""
        return _other_interval(self, name)

    @property
    def test_set(self) -> Hashable:
        """What rows tested on the same images share; only for a row that has predictions."""
        return str(self.first.data.get("fingerprint")), self.predictions[0].paths

    @cached_property
    def tested(self) -> tuple[npt.NDArray[np.float64], tuple[str, ...]] | None:
        """(seeds, images) 1 where the run was right, and each image's group; None without predictions."""
        if not self.predictions:
            return None
        return np.stack([each.right for each in self.predictions]), self.predictions[0].groups

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean accuracy: by groups and seeds where the predictions are at hand."""
        from cnnzoo.evaluation.statistics import accuracy_interval, wilson_interval

        accuracy = self.average("test_accuracy")
        if accuracy is None:
            return None
        if self.tested is not None:
            return accuracy_interval(*self.tested)
        images = self.results[0].test_images
        return wilson_interval(round(accuracy * images), images)

    def other(self, name: str, score: str) -> float | None:
        """The mean over the finished seeds of `accuracy`, `auroc` … on another data set."""
        values = [result.others.get(name, {}).get(score) for result in self.results]
        return _mean([value for value in values if value is not None])

    @property
    def test_groups(self) -> int | None:
        """The number of groups that the test images come from."""
        return len(set(self.tested[1])) if self.tested else None

    @property
    def other_names(self) -> list[str]:
        return list(self.first.data.get("others", {}))

    def robustness(self, kind: str) -> float | None:
        """The mean test accuracy over the strengths of a corruption and the finished seeds."""
        return _mean([fmean(r.robustness[kind]) for r in self.results if kind in r.robustness])

    def operating(self, field: str) -> float | None:
        """The mean over the finished seeds of a number of the operating point."""
        points = [result.operating_point for result in self.results if result.operating_point]
        return _mean([point[field] for point in points])

    def images(self, side: str) -> int:
        """The number of images in `train`, `validation` or `test`."""
        return sum(self.first.data.get("images", {}).get(side, {}).values())

    @property
    def class_names(self) -> list[str]:
        return list(self.first.data.get("class_names", []))

    @property
    def epochs(self) -> float | None:
        """Epochs trained, the mean over the seeds."""
        return _mean([len(result.history) for result in self.results])

    def environment(self, key: str) -> str:
        """The values of `key` over all runs, joined where they differ."""
        values = [str(r.environment[key]) for r in self.records if r.environment.get(key) not in (None, "")]
        return ", ".join(dict.fromkeys(values))


@lru_cache(maxsize=256)  # the CSV asks for it, and the page twice
def _other_interval(row: Row, name: str) -> tuple[float, float] | None:
    from cnnzoo.evaluation.statistics import accuracy_interval

    found = row.read(name)
    return accuracy_interval(np.stack([each.right for each in found]), found[0].groups) if found else None


def _mean(values: Sequence[float]) -> float | None:
    """The mean; equal values come back as they are, so that whole numbers stay whole."""
    if not values:
        return None
    return values[0] if len(set(values)) == 1 else fmean(values)


def make_rows(
    records: Sequence[RunRecord], recipes: Sequence[str] | None = None, folder: Path | None = None
) -> list[Row]:
    """Groups records into rows, in the order of `recipes`, then in the order that they were written in."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(_group(record), []).append(record)
    order = {recipe: i for i, recipe in enumerate(dict.fromkeys(recipes or ()))}
    rows: list[Row] = []
    taken: set[str] = set()  # names as parts of file names
    for group in sorted(groups.values(), key=lambda group: order.get(group[0].recipe, len(order))):
        name = _row_name(group[0], taken)
        taken.add(file_stem(name))
        # Of one seed the latest: another --recall or --robustness is no other seed.
        seeds = {record.seed: record for record in group}
        rows.append(Row(name, tuple(seeds[seed] for seed in sorted(seeds)), folder))
    return rows


def _row_name(record: RunRecord, taken: set[str]) -> str:
    """The recipe, with the number of training images where they were asked to be few; unique."""
    size = record.data.get("split", {}).get("train_size")
    name = f"{record.recipe}-{size}" if size else record.recipe
    return unique_name(name, taken)


def unique_name(name: str, taken: set[str]) -> str:
    """Returns `name`, or it with a number, so that as part of a file's name it is none of `taken`."""
    names = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return next(name for name in names if file_stem(name) not in taken)


def _group(record: RunRecord) -> str:
    shared = [
        record.recipe,
        record.data.get("fingerprint"),
        record.data.get("split"),
        {name: other.get("fingerprint") for name, other in record.data.get("others", {}).items()},
        record.data.get("positive"),
        record.config,
        record.weights,
    ]
    return json.dumps(shared, sort_keys=True)


def csv_row(row: Row, class_names: Sequence[str], other_names: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the row's raw numbers by column; None where there is no number."""
    low, high = row.interval or (None, None)
    values = {
        "recipe": row.first.recipe,
        "model": row.first.model,
        "status": row.status,
        "seeds": ",".join(str(record.seed) for record in row.records),
        "test_accuracy": row.average("test_accuracy"),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
    }
    values |= {name: row.average(name) for name in ("train_seconds", "total_params", "trainable_params")}
    values["test_accuracy_sd"] = row.deviation("test_accuracy")
    values["validation_accuracy"] = row.average("val_accuracy")
    values["accuracy_before_training"] = row.average("val_accuracy_before")
    for score in ("recall", "precision", "f1"):
        values |= {f"{score}_{name}": row.class_mean(name, score) for name in class_names}
    values |= {name: row.average(name) for name in PROBABILITY_SCORES}
    for name in other_names:
        values |= {f"also_{name}_{score}": row.other(name, score) for score in ("accuracy", "auroc")}
        low, high = row.other_interval(name) or (None, None)
        values |= {f"also_{name}_accuracy_low": low, f"also_{name}_accuracy_high": high}
    values |= {f"robustness_{kind}": row.robustness(kind) for kind in CORRUPTIONS}
    values |= {f"at_threshold_{name}": row.operating(name) for name in OPERATING}
    for name in ("tracing_seconds", "images_per_second", "seconds_per_epoch", "first_epoch_seconds"):
        values[name] = row.average(name)
    values |= {"epochs": row.epochs, "weights": row.first.weights}
    values |= {name: row.average(name) for name in ("model_bytes", "ms_per_image_1", "ms_per_image_32")}
    values |= {"train_images": row.images("train"), "test_images": row.images("test")}
    values |= {"split": row.first.data.get("split", {}).get("kind"), "test_groups": row.test_groups}
    return values | {"device": row.environment("device"), "backend": row.environment("backend")}


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Writes comparison.csv: raw numbers, an empty cell where there is none."""
    class_names = all_classes(rows)
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        lines = [csv_row(row, class_names, all_others(rows)) for row in rows]
        writer = csv.DictWriter(file, fieldnames=list(lines[0]) if lines else FIRST_COLUMNS)
        writer.writeheader()
        writer.writerows(lines)


def data_sets(rows: Sequence[Row]) -> list[Row]:
    """A row for each data set and kind of split: the one with the most training images, run last."""
    by_size = sorted(rows, key=lambda row: (row.images("train"), row.first.started))
    return list({(row.first.data.get("fingerprint"), split_kind(row)): row for row in by_size}.values())


def traced(rows: Sequence[Row]) -> bool:
    """Whether any row has the time of tracing apart; those of earlier versions have it in the training."""
    return any(row.average("tracing_seconds") is not None for row in rows)


def all_others(rows: Sequence[Row]) -> list[str]:
    """The names of the other data sets of all rows, each once."""
    return list(dict.fromkeys(name for row in rows for name in row.other_names))


def all_classes(rows: Sequence[Row]) -> list[str]:
    """The class names of all rows, each once."""
    return list(dict.fromkeys(name for row in rows for name in row.class_names))


def row_notes(row: Row, rows: Sequence[Row]) -> list[str]:
    """What a reader must know before comparing this row with the others."""
    notes = []
    most = max((other.images("train") for other in rows if _same_source(row, other)), default=0)
    limit = row.first.data.get("limit")
    if row.images("train") < 0.99 * most:
        option = f" (--limit {limit})" if limit else ""
        notes.append(f"trained on {row.images('train'):,} of {most:,} images{option}")
    elif any(not _same_source(row, other) for other in rows):
        name = plain(str(row.first.data.get("name", "")))
        notes.append(f"trained on {row.images('train'):,} images of {name}")
    kinds = {split_kind(other) for other in rows}
    if len(kinds) > 1:
        notes.append(f"{split_kind(row)} split")
    leaked = row.first.data.get("split", {}).get("leaked")
    if leaked:
        notes.append(f"{leaked:,} test images show what a training image shows")
    if schedule := _random_weights_schedule(row):
        notes.append(schedule)
    usual = _usual_epochs(row)
    if usual and planned_epochs(row) != usual and not schedule:
        notes.append(f"{planned_epochs(row)} epochs at most, its recipe has {usual}")
    wanted = row.operating("wanted_recall")
    if wanted is not None:
        notes.append(
            f"at the threshold for a recall of {wanted:g}: recall {row.operating('test_recall'):.4f}, "
            f"precision {row.operating('test_precision'):.4f}"
        )
    twins = [other for other in rows if other.first.recipe == row.first.recipe and other is not row]
    if not usual and any(planned_epochs(other) != planned_epochs(row) for other in twins):
        notes.append(f"at most {planned_epochs(row)} epochs")
    if row.status != "ok":
        notes.append(row.status)
    return notes


def _random_weights_schedule(row: Row) -> str:
    """How a network was trained that its recipe starts from pretrained weights; empty where it did."""
    phases = row.first.config.get("config", {}).get("phases", [])
    if row.first.weights != "random" or not row.first.config.get("pretrained") or len(phases) != 1:
        return ""
    (phase,) = phases
    schedule = phase.get("schedule", "constant")  # not in records of the first versions
    return (
        f"from random weights in place of pretrained ones: all layers, {phase['epochs']} epochs of "
        f"{OPTIMIZER_NAMES[phase['optimizer']]} at {phase['learning_rate']:g} ({schedule})"
    )


def _same_source(row: Row, other: Row) -> bool:
    return row.first.data.get("name") == other.first.data.get("name")


def split_kind(row: Row) -> str:
    """`grouped`, `given groups` or `random`."""
    return str(row.first.data.get("split", {}).get("kind", ""))


def _usual_epochs(row: Row) -> str:
    """The epochs of the recipe that the row is named by, as in `10 + 10`; empty where it is none of ours."""
    recipe = RECIPES.get(row.first.recipe)
    return " + ".join(str(phase.epochs) for phase in recipe.config.phases) if recipe else ""


def planned_epochs(row: Row) -> str:
    """The epochs of each phase, as in `10 + 10`."""
    phases = row.first.config.get("config", {}).get("phases", [])
    return " + ".join(str(phase["epochs"]) for phase in phases)


def interval_text(row: Row) -> str:
    """The interval of the test accuracy as `0.9883 to 0.9958`; empty where there is none."""
    return interval_of(row.interval)

"""Records → rows: one row for all seeds of a recipe on the same data, with the same settings and weights."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.records import RunRecord, RunResult

DEMONSTRATION = (
    "A demonstration on few images and epochs: the numbers say nothing about the models. The full thing: "
    "`python -m experiments.compare --data metu`, or `--data DIR` for your own folder per class."
)
FIRST_COLUMNS = ("recipe", "model", "status", "seeds", "test_accuracy", "test_accuracy_low",
                 "test_accuracy_high", "train_seconds", "total_params", "trainable_params")  # fmt: skip
SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """All runs that differ in their seed alone, the latest of each; `name` is unique among the rows."""

    name: str
    records: tuple[RunRecord, ...]

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

    def mean(self, field: str) -> float | None:
        """The mean over the finished seeds of a number of `RunResult`; None where no run finished."""
        return _mean([getattr(result, field) for result in self.results])

    def class_mean(self, class_name: str, score: str) -> float | None:
        """The mean over the finished seeds of a class's `precision`, `recall`, `f1` or `support`."""
        scores = [result.per_class.get(class_name, {}).get(score) for result in self.results]
        return _mean([value for value in scores if value is not None])

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval (1927) of the mean accuracy, for the images of one test set.

        Seeds share their test images, so more seeds make it no narrower.
        """
        from scipy.stats import binomtest

        accuracy = self.mean("test_accuracy")
        if accuracy is None:
            return None
        images = self.results[0].test_images
        found = binomtest(round(accuracy * images), images).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

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


def _mean(values: Sequence[float]) -> float | None:
    """The mean; equal values come back as they are, so that whole numbers stay whole."""
    if not values:
        return None
    return values[0] if len(set(values)) == 1 else fmean(values)


def make_rows(records: Sequence[RunRecord], recipes: Sequence[str] | None = None) -> list[Row]:
    """Groups records into rows, in the order of `recipes`, then in the order that they were written in."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(_group(record), []).append(record)
    order = {recipe: i for i, recipe in enumerate(dict.fromkeys(recipes or ()))}
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for group in sorted(groups.values(), key=lambda group: order.get(group[0].recipe, len(order))):
        recipe = group[0].recipe
        seen[recipe] = seen.get(recipe, 0) + 1
        name = recipe if seen[recipe] == 1 else f"{recipe}-{seen[recipe]}"
        rows.append(Row(name, tuple(sorted(group, key=lambda record: record.seed))))
    return rows


def _group(record: RunRecord) -> str:
    shared = [
        record.recipe,
        record.data.get("fingerprint"),
        record.data.get("split"),
        record.config,
        record.weights,
    ]
    return json.dumps(shared, sort_keys=True)


def csv_row(row: Row, class_names: Sequence[str]) -> dict[str, Any]:
    """Returns the row's raw numbers by column; None where there is no number."""
    low, high = row.interval or (None, None)
    values = {
        "recipe": row.first.recipe,
        "model": row.first.model,
        "status": row.status,
        "seeds": ",".join(str(record.seed) for record in row.records),
        "test_accuracy": row.mean("test_accuracy"),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
    }
    values |= {name: row.mean(name) for name in ("train_seconds", "total_params", "trainable_params")}
    values["validation_accuracy"] = row.mean("val_accuracy")
    values["accuracy_before_training"] = row.mean("val_accuracy_before")
    for score in ("recall", "precision"):
        values |= {f"{score}_{name}": row.class_mean(name, score) for name in class_names}
    for name in ("images_per_second", "seconds_per_epoch", "first_epoch_seconds"):
        values[name] = row.mean(name)
    values |= {"epochs": row.epochs, "weights": row.first.weights}
    values |= {name: row.mean(name) for name in ("model_bytes", "ms_per_image_1", "ms_per_image_32")}
    values |= {"train_images": row.images("train"), "test_images": row.images("test")}
    return values | {"device": row.environment("device"), "backend": row.environment("backend")}


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Writes comparison.csv: raw numbers, an empty cell where there is none."""
    class_names = all_classes(rows)
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        lines = [csv_row(row, class_names) for row in rows]
        writer = csv.DictWriter(file, fieldnames=list(lines[0]) if lines else FIRST_COLUMNS)
        writer.writeheader()
        writer.writerows(lines)


def all_classes(rows: Sequence[Row]) -> list[str]:
    """The class names of all rows, each once."""
    return list(dict.fromkeys(name for row in rows for name in row.class_names))


def row_notes(row: Row, rows: Sequence[Row]) -> list[str]:
    """What a reader must know before comparing this row with the others."""
    notes = []
    most = max((other.images("train") for other in rows if _same_source(row, other)), default=0)
    limit = row.first.data.get("limit")
    if row.images("train") < most:
        option = f" (--limit {limit})" if limit else ""
        notes.append(f"trained on {row.images('train'):,} of {most:,} images{option}")
    elif any(not _same_source(row, other) for other in rows):
        name = plain(str(row.first.data.get("name", "")))
        notes.append(f"trained on {row.images('train'):,} images of {name}")
    twins = [other for other in rows if other.first.recipe == row.first.recipe and other is not row]
    if any(planned_epochs(other) != planned_epochs(row) for other in twins):
        notes.append(f"at most {planned_epochs(row)} epochs")
    if row.status != "ok":
        notes.append(row.status)
    return notes


def _same_source(row: Row, other: Row) -> bool:
    return row.first.data.get("name") == other.first.data.get("name")


def planned_epochs(row: Row) -> str:
    """The epochs of each phase, as in `10 + 10`."""
    phases = row.first.config.get("config", {}).get("phases", [])
    return " + ".join(str(phase["epochs"]) for phase in phases)


def file_stem(name: str) -> str:
    """Returns `name` with what a file name shouldn't hold replaced."""
    return re.sub(r"[^\w.+-]", "_", name)


def plain(text: str) -> str:
    """Returns `text` on one line, without characters that XML or UTF-8 can't hold."""
    return "".join(character if character.isprintable() else " " for character in str(text)).strip()


def shorten(text: str, length: int = 24) -> str:
    """Returns `text` on one line with its middle left out where it is longer than `length`."""
    text = plain(text)
    if len(text) <= length:
        return text
    return f"{text[: (length - 1) // 2]}…{text[len(text) - length // 2 :]}"


def human_time(seconds: float | None) -> str:
    """Seconds as people say them: `3.3 s`, `4 min 07 s`, `2 h 05 min`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02} min"


def human_count(number: float | None) -> str:
    """A large number to three digits: `2.26 M`, `539 k`."""
    if number is None:
        return ""
    number = float(f"{number:.3g}")
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def number(value: float | None, digits: int) -> str:
    """A number with fixed digits; empty where there is none."""
    return "" if value is None else f"{value:,.{digits}f}"


def interval_text(row: Row) -> str:
    """The interval as `0.9883 to 0.9958`; empty where there is none."""
    return f"{row.interval[0]:.4f} to {row.interval[1]:.4f}" if row.interval else ""

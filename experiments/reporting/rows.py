"""Records → rows: one row for all seeds of a recipe on the same data, with the same settings and weights."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import printable
from cnnzoo.files import file_stem
from experiments.reporting.folds import TIMES, joined, pooled
from experiments.runs import left
from experiments.runs.predictions import Predictions, read_predictions
from experiments.runs.records import ENDED_EARLY, RunRecord, RunResult, epochs_text, kept_epoch
from experiments.runs.spec import part_of
from experiments.style.text import interval_of


@dataclass(frozen=True, eq=False)
class Row:
    """All runs that differ in seed and fold alone, the latest of each; `name` is unique among the rows.

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
        return self.seeds[0]

    @cached_property
    def seeds(self) -> tuple[RunRecord, ...]:
        """A record for each seed: its folds taken together, where there are some."""
        if not self.records[0].data.split.folds:
            return self.records
        of_seed: dict[int, list[RunRecord]] = {}
        for record in self.records:
            of_seed.setdefault(record.seed, []).append(record)
        return tuple(map(pooled, of_seed.values()))

    @cached_property
    def runs(self) -> tuple[RunRecord, ...]:
        """The runs that have a result, each fold's too."""
        return tuple(record for record in self.records if record.ok and record.result)

    @cached_property
    def finished(self) -> tuple[RunRecord, ...]:
        """The seeds that have a result."""
        return tuple(record for record in self.seeds if record.ok and record.result)

    @cached_property
    def results(self) -> tuple[RunResult, ...]:
        """The results of the finished runs."""
        return tuple(record.result for record in self.finished if record.result)

    @property
    def status(self) -> str:
        """`ok`, `failed: REASON` or `1 of 3 failed: REASON`, different reasons joined, or `ended early …`."""
        failed = [record for record in self.records if not record.ok and not record.ended_early]
        if not failed:
            return self._end if self.ended_early else "ok"
        reasons = dict.fromkeys(printable(record.status.removeprefix("failed: ")) for record in failed)
        share = "" if len(failed) == len(self.records) else f"{len(failed)} of {len(self.records)} "
        return f"{share}failed: {'; '.join(reasons)}"

    @property
    def ended_early(self) -> bool:
        """Whether a budget has ended its runs."""
        return any(record.ended_early for record in self.records)

    @property
    def _end(self) -> str:
        """How a budget ended it."""
        trained = [record for record in self.records if record.history]
        by = f"ended early by --budget {self.budget:g}"
        if not trained:
            return f"{by}: {printable(self.first.status.removeprefix(ENDED_EARLY))}"
        accuracy = fmean(kept_epoch(record.history, record.config).val_accuracy for record in trained)
        epochs = fmean(len(record.history) for record in trained)
        return f"{by} after {epochs_text(epochs)}: validation accuracy {accuracy:.4f}"

    @property
    def budget(self) -> float | None:
        """The minutes that all recipes had together; None without `--budget`."""
        return self.first.round.minutes if self.first.round else None

    def average(self, field: str) -> float | None:
        """The mean over the finished seeds of a number of `RunResult`, of a time the median; or None."""
        values = [value for result in self.results if (value := getattr(result, field)) is not None]
        return median(values) if field in TIMES and values else _mean(values)

    def deviation(self, field: str) -> float | None:
        """The standard deviation over the finished seeds; None for fewer than two."""
        values = [getattr(result, field) for result in self.results]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def class_score(self, class_name: str, score: str) -> float | None:
        """A class's `precision`, `recall` or `f1` by the most probable class, all finished seeds together.

        No mean over the seeds: one that never predicts the class has no precision.
        """
        if class_name not in self.class_names or not self.results:
            return None
        counts = np.sum([result.confusion for result in self.results], axis=0)
        label = self.class_names.index(class_name)
        actual, predicted = counts[label].sum(), counts[:, label].sum()
        whole = {"recall": actual, "precision": predicted, "f1": (actual + predicted) / 2}[score]
        return float(counts[label, label] / max(whole, 1))

    @cached_property
    def never_predicted(self) -> list[str]:
        """The classes that have test images, and that no seed names once."""
        found = [record.never_predicted for record in self.finished]
        return [name for name in self.class_names if found and all(name in each for each in found)]

    @property
    def at_once(self) -> list[int]:
        """How many runs shared the machine while its own were made, where they differ all numbers."""
        return sorted({record.at_once for record in self.runs})

    @property
    def collapsed_seeds(self) -> list[int]:
        """The seeds whose run never names some class."""
        return [record.seed for record in self.finished if record.never_predicted]

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class of the test images, and the accuracy of always answering it."""
        counts = self.first.data.images.get("test", {})
        name = max(counts, key=lambda name: counts[name], default="")
        return name, counts.get(name, 0) / max(1, sum(counts.values()))

    @cached_property
    def not_as_recorded(self) -> dict[str, left.State]:
        """The files of the finished runs, below the folder, that are missing or not as the runs left them."""
        files = {file: facts for record in self.runs for file, facts in record.files.items()}
        return left.not_as_recorded(self.folder, files) if self.folder else {}

    @cached_property
    def predictions(self) -> tuple[Predictions, ...]:
        """The verdicts of each finished seed on the same test images; empty where a file is missing."""
        return self.read()

    def read(self, other: str = "") -> tuple[Predictions, ...]:
        """The verdicts of each finished seed on its test images, or of each run on another data set.

        Empty where a file is missing, or a fold.
        """
        if self.folder is None:
            return ()
        files = [f"predictions/{record.predictions_file(other)}" for record in self.runs]
        if any(file in self.not_as_recorded for file in files):
            return ()
        found = [read_predictions(self.folder, record, other) for record in self.runs]
        whole = [each for each in found if each is not None]
        folds = 0 if other else self.first.data.split.folds
        if len(whole) < max(len(found), folds * len(self.finished)):
            return ()
        if folds:
            whole = [joined(whole[i : i + folds]) for i in range(0, len(whole), folds)]
        return tuple(whole) if len({each.paths for each in whole}) == 1 else ()

    def other_recall(self, name: str, class_name: str) -> float | None:
        """The mean over the finished seeds of a class's recall on another data set."""
        found = [result.others.get(name, {}).get("recall", {}).get(class_name) for result in self.results]
        return _mean([value for value in found if value is not None])

    @cached_property
    def other_intervals(self) -> dict[str, tuple[float, float] | None]:
        """The 95 % interval of the accuracy on each other data set; None without predictions."""
        from cnnzoo.evaluation.statistics import accuracy_interval

        found = {name: self.read(name) for name in self.other_names}
        return {
            name: accuracy_interval(np.stack([one.right for one in each]), each[0].groups) if each else None
            for name, each in found.items()
        }

    @property
    def test_set(self) -> Hashable:
        """What rows tested on the same images share; only for a row that has predictions."""
        return self.first.data.fingerprint, self.predictions[0].paths

    @cached_property
    def tested(self) -> tuple[npt.NDArray[np.float64], tuple[str, ...]] | None:
        """(seeds, images) 1 where the run was right, and each image's group; None without predictions."""
        if not self.predictions:
            return None
        return np.stack([each.right for each in self.predictions]), self.predictions[0].groups

    @property
    def folds(self) -> npt.NDArray[np.int64] | None:
        """(images,) the fold of each, where several runs tested one each."""
        return self.predictions[0].folds if self.predictions else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean accuracy: by groups and seeds where the predictions are at hand."""
        from cnnzoo.evaluation.statistics import accuracy_interval, wilson_interval

        accuracy = self.average("test_accuracy")
        if accuracy is None:
            return None
        if self.tested is not None:
            return accuracy_interval(*self.tested, folds=self.folds)
        images = self.results[0].test_images
        return wilson_interval(round(accuracy * images), images)

    def other(self, name: str, score: str) -> float | None:
        """The mean over the finished seeds of `accuracy`, `auroc` … on another data set."""
        values = [result.others.get(name, {}).get(score) for result in self.results]
        return _mean([value for value in values if value is not None])

    def other_adapted(self, name: str) -> float | None:
        """The mean accuracy on another data set with a threshold fitted to its images, without labels."""
        fitted = [result.others.get(name, {}).get("adapted") or {} for result in self.results]
        found = [one["accuracy"] for one in fitted if one.get("accuracy") is not None]
        return _mean(found) if len(found) == len(self.results) else None

    @property
    def adapts(self) -> bool:
        """Whether a threshold was fitted to some other data set."""
        return any(self.other_adapted(name) is not None for name in self.other_names)

    @property
    def test_groups(self) -> int | None:
        """The number of groups that the test images come from."""
        return len(set(self.tested[1])) if self.tested else None

    @property
    def other_names(self) -> list[str]:
        return list(self.first.data.others)

    def robustness(self, kind: str) -> float | None:
        """The mean test accuracy over the strengths of a corruption and the finished seeds."""
        return _mean([fmean(r.robustness[kind]) for r in self.results if kind in r.robustness])

    def operating(self, field: str) -> float | None:
        """The mean over the finished seeds of a number of the operating point; None where one lacks it."""
        found = [result.operating_point.get(field) for result in self.results if result.operating_point]
        values = [value for value in found if value is not None]
        return _mean(values) if len(values) == len(found) else None

    def images(self, side: str) -> int:
        """The number of images in `train`, `validation` or `test`."""
        return self.first.data.count(side)

    @property
    def class_names(self) -> list[str]:
        return list(self.first.data.class_names)

    @property
    def epochs(self) -> float | None:
        """Epochs trained, the mean over the seeds."""
        return _mean([len(result.history) for result in self.results])

    @property
    def val_loss(self) -> float | None:
        """The validation loss of the weights that were kept, the mean over the seeds."""
        return _mean([r.history[min(r.best_epoch, len(r.history) - 1)].val_loss for r in self.results])

    def environment(self, key: str) -> str:
        """The values of `key` over all runs, joined where they differ."""
        values = [str(r.environment[key]) for r in self.records if r.environment.get(key) not in (None, "")]
        return ", ".join(dict.fromkeys(values))


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
        # Of one seed and fold the latest: another --recall or --robustness is no other seed.
        runs = {(record.seed, record.data.split.fold): record for record in group}
        rows.append(Row(name, tuple(runs[run] for run in sorted(runs)), folder))
    return rows


def _row_name(record: RunRecord, taken: set[str]) -> str:
    """The recipe, with the part of the data that it was trained on; unique."""
    whole = replace(record.data, split=record.data.split.of_all_folds)
    return unique_name(printable(f"{record.recipe}{part_of(whole)}"), taken)


def unique_name(name: str, taken: set[str]) -> str:
    """Returns `name`, or it with a number, so that as part of a file's name it is none of `taken`."""
    names = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    return next(name for name in names if file_stem(name) not in taken)


def _group(record: RunRecord) -> str:
    return json.dumps(
        [settings_of(record), record.data.fingerprint, record.data.split.of_all_folds.as_dict()],
        sort_keys=True,
    )


def settings_of(record: RunRecord) -> str:
    """What the seeds of a recipe share, whichever images they were trained on."""
    shared = [
        record.recipe,
        record.data.class_names,
        {name: other.fingerprint for name, other in record.data.others.items()},
        record.data.positive,
        record.config,
        record.weights,
        record.round and record.round.minutes,
    ]
    return json.dumps(shared, sort_keys=True)


def interval_text(row: Row) -> str:
    """The interval of the test accuracy as `0.9883 to 0.9958`; empty where there is none."""
    return interval_of(row.interval)

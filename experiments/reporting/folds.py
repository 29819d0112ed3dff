"""Runs that test one fold each, taken together as one run that tested every image."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from statistics import fmean, median
from typing import Any

import numpy as np

from experiments.runs.predictions import Predictions
from experiments.runs.records import RunRecord, RunResult
from experiments.runs.spec import DataFacts

# Machines are noisy: what another program did during one run should not show.
TIMES = {"train_seconds", "first_epoch_seconds", "seconds_per_epoch", "images_per_second", "start_seconds",
         "decode_seconds", "tracing_seconds", "validation_seconds", "test_seconds", "cpu_seconds",
         "ms_per_image_1", "ms_per_image_32"}  # fmt: skip


def pooled(records: Sequence[RunRecord]) -> RunRecord:
    """Returns one record for the folds of a recipe and seed, in the order of the folds.

    Counts of test images are added up, times are medians, what else is a number is a mean; what belongs to
    one run alone, as its history and its pictures, is that of the first that finished. A fold that failed is
    not in it.
    """
    done = [record for record in records if record.ok and record.result]
    first = done[0] if done else records[0]
    if not done:
        return replace(first, data=_data(records))
    files = {file: facts for record in done for file, facts in record.files.items()}
    results = [record.result for record in done if record.result]
    return replace(first, data=_data(done), result=_result(results), files=files)


def joined(found: Sequence[Predictions]) -> Predictions:
    """Returns the verdicts of all folds as those on one set of images."""
    return Predictions(
        paths=tuple(path for each in found for path in each.paths),
        groups=tuple(group for each in found for group in each.groups),
        labels=np.concatenate([each.labels for each in found]),
        probabilities=np.concatenate([each.probabilities for each in found]),
        calibrated=np.concatenate([each.calibrated for each in found]),
        decided=np.concatenate([each.decided for each in found]),
        folds=np.repeat(np.arange(len(found)), [len(each.paths) for each in found]),
    )


def _data(records: Sequence[RunRecord]) -> DataFacts:
    first = records[0].data
    tested = [record.data.images.get("test", {}) for record in records]
    test = {name: sum(counts.get(name, 0) for counts in tested) for name in first.class_names}
    return replace(first, images={**first.images, "test": test}, split=first.split.of_all_folds)


def _result(results: Sequence[RunResult]) -> RunResult:
    from cnnzoo.evaluation.statistics import wilson_interval

    images = [result.test_images for result in results]
    right = sum(round(result.test_accuracy * result.test_images) for result in results)
    low, high = wilson_interval(right, sum(images))
    values: dict[str, Any] = {
        field.name: value
        for field in fields(RunResult)
        if (value := _middle(field.name, [getattr(result, field.name) for result in results])) is not None
    }
    values |= {
        "test_images": sum(images),
        "test_accuracy": right / sum(images),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_loss": float(np.average([result.test_loss for result in results], weights=images)),
        "confusion": np.sum([result.confusion for result in results], axis=0).tolist(),
        "per_class": {},
        "best_epoch": results[0].best_epoch,
        "others": _merged(result.others for result in results),
        "robustness": {
            kind: np.mean([result.robustness[kind] for result in results], axis=0).tolist()
            for kind in results[0].robustness
        },
        "operating_point": _merged(result.operating_point for result in results),
    }
    return replace(results[0], **values)


def _middle(name: str, values: Sequence[Any]) -> float | int | None:
    """The median of times, else the mean of numbers; None for what is none."""
    if not all(isinstance(value, int | float) for value in values):
        return None
    found = median(values) if name in TIMES else fmean(values)
    return round(found) if all(isinstance(value, int) for value in values) else found


def _merged(values: Iterable[Any]) -> Any:
    """The mean of numbers, the sum of confusion matrices, and of what holds them the same within."""
    found = list(values)
    if all(isinstance(value, dict) for value in found):
        names = [name for name in found[0] if all(name in each for each in found)]
        return {name: _merged(each[name] for each in found) for name in names}
    if all(isinstance(value, list) for value in found):
        return np.sum(found, axis=0).tolist()
    if any(value is None for value in found):
        return None
    mean = fmean(found)
    return round(mean) if all(isinstance(value, int) for value in found) else mean

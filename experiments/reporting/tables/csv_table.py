"""comparison.csv: a row for each recipe, raw numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnzoo.data.corruptions import CORRUPTIONS
from cnnzoo.data.table import write_table
from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import Row

FIRST_COLUMNS = ("recipe", "model", "status", "seeds", "test_accuracy", "test_accuracy_low",
                 "test_accuracy_high", "train_seconds", "total_params", "trainable_params")  # fmt: skip

PROBABILITY_SCORES = (
    "auroc",
    "average_precision",
    "temperature",
    "calibration_error",
    "calibration_error_raw",
)

OPERATING = (
    "threshold",
    "promised",
    "independent",
    "test_recall",
    "test_precision",
    "test_plain_recall",
    "test_plain_precision",
)


def csv_row(row: Row, class_names: Sequence[str], other_names: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the row's raw numbers by column; None where there is no number."""
    low, high = row.interval or (None, None)
    values = {
        "recipe": row.first.recipe,
        "model": row.first.model,
        "status": row.status,
        "seeds": ",".join(str(record.seed) for record in row.seeds),
        "test_accuracy": row.average("test_accuracy"),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
    }
    values |= {name: row.average(name) for name in ("train_seconds", "total_params", "trainable_params")}
    values["test_accuracy_sd"] = row.deviation("test_accuracy")
    values |= {"never_predicted": ";".join(row.never_predicted), "majority_accuracy": row.majority[1]}
    values["validation_accuracy"] = row.average("val_accuracy")
    values["accuracy_before_training"] = row.average("val_accuracy_before")
    values["loss_before_training"] = row.average("val_loss_before")
    for score in ("recall", "precision", "f1"):
        values |= {f"{score}_{name}": row.class_score(name, score) for name in class_names}
    values |= {name: row.average(name) for name in (*PROBABILITY_SCORES, "unlike")}
    for name in other_names:
        values |= {f"also_{name}_{score}": row.other(name, score) for score in ("accuracy", "auroc")}
        values[f"also_{name}_adapted_accuracy"] = row.other_adapted(name)
        values[f"also_{name}_unlike"] = row.other(name, "unlike")
        low, high = row.other_intervals.get(name) or (None, None)
        values |= {f"also_{name}_accuracy_low": low, f"also_{name}_accuracy_high": high}
    values |= {f"robustness_{kind}": row.robustness(kind) for kind in ("none", *CORRUPTIONS)}
    values |= {f"at_threshold_{name}": row.operating(name) for name in OPERATING}
    for name in ("tracing_seconds", "images_per_second", "seconds_per_epoch", "first_epoch_seconds"):
        values[name] = row.average(name)
    values |= {"epochs": row.epochs, "weights": row.first.weights}
    values |= {name: row.average(name) for name in ("model_bytes", "ms_per_image_1", "ms_per_image_32")}
    values |= {"train_images": row.images("train"), "test_images": row.images("test")}
    split = row.first.data.split
    values |= {
        "split": split.kind,
        "left_out": split.left_out,
        "folds": split.folds or None,
        "test_groups": row.test_groups,
    }
    return values | {"device": row.environment("device"), "backend": row.environment("backend")}


def write_csv(path: Path, comparison: Comparison) -> None:
    """Writes comparison.csv: raw numbers, an empty cell where there is none."""
    lines = [csv_row(row, comparison.class_names, comparison.others) for row in comparison.rows]
    write_table(path, list(lines[0]) if lines else FIRST_COLUMNS, [list(line.values()) for line in lines])

"""Charts of one row of a comparison: learning curves, confusion, what its probabilities are worth."""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from experiments.reporting.charts.shared import filled_bins
from experiments.reporting.mistakes import Decisions
from experiments.reporting.rows import Row
from experiments.runs.records import RunRecord, RunResult
from experiments.style.chart import BLUE, FEW, GREY, MARKERS, VERMILION
from experiments.style.text import shorten, shorten_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = 8  # of a learning curve
CURVE_POINTS = 120  # of recall against precision: more are not seen, and cost bytes


def row_charts(decisions: Decisions) -> "dict[str, Callable[[Figure], None]]":
    """Returns what draws each chart of a finished row that it has numbers for, by kind."""
    row = decisions.row
    charts: dict[str, Callable[[Figure], None]] = {
        field: partial(_curve, row=row, field=field) for field in ("accuracy", "loss")
    }
    if row.results[0].confusion:
        charts["confusion"] = partial(_confusion, decisions=decisions)
    if decisions.decided:
        if filled_bins(row):
            charts["reliability"] = partial(_reliability, decisions=decisions)
        if row.first.data.positive in row.class_names:
            charts["precision"] = partial(_precision, decisions=decisions)
    return charts


def _curve(figure: "Figure", *, row: Row, field: str) -> None:
    """Accuracy or loss by epoch, every seed; epoch 0 is the model before training."""
    figure.set_size_inches(4.2, 3.6)
    axes = figure.subplots()
    for i, run in enumerate(row.runs):
        if run.result:
            _run_curves(axes, run.result, field, marker=MARKERS[i % len(MARKERS)])
    axes.set(xlabel="Epoch", ylabel="Loss (cross-entropy)" if field == "loss" else "Accuracy")
    axes.locator_params(axis="x", integer=True, nbins=8)
    _scale_loss(axes) if field == "loss" else None
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if abs(value) < 1e4 else f"{value:.0e}")
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    _name_sides_and_seeds(figure, row)


def _name_sides_and_seeds(figure: "Figure", row: Row) -> None:
    """A legend in which the side is the line and the run is the marker."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=BLUE, linestyle="--", label="training"),
        Line2D([], [], color=VERMILION, label="validation"),
    ]
    handles += [
        Line2D([], [], color=GREY, linestyle="", marker=MARKERS[i % len(MARKERS)], markersize=4,
               label=_called(run))
        for i, run in enumerate(row.runs)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2)


def _called(run: RunRecord) -> str:
    fold = run.data.split.fold
    return f"seed {run.seed}" + (f", fold {fold}" if fold else "")


def _run_curves(axes: "Axes", result: RunResult, field: str, *, marker: str) -> None:
    epochs = range(1, len(result.history) + 1)
    for prefix, colour, line in (("", BLUE, "--"), ("val_", VERMILION, "-")):
        values = [_finite(getattr(epoch, prefix + field)) for epoch in result.history]
        x = list(epochs)
        untrained = result.val_accuracy_before if field == "accuracy" else result.val_loss_before
        if prefix and untrained is not None:
            x, values = [0, *x], [_finite(untrained), *values]
        axes.plot(
            x, values, linestyle=line, color=colour, marker=marker, markersize=3.5, linewidth=1.2,
            markerfacecolor="white" if not prefix else colour, label=f"{prefix}{field}",
            markevery=max(1, len(x) // MARKS),
        )  # fmt: skip
    for before, after, x_after in zip(result.history, result.history[1:], epochs[1:], strict=False):
        if before.phase != after.phase:
            axes.axvline(x_after - 0.5, color=GREY, linestyle=":", linewidth=1)
            axes.annotate(
                f"phase {after.phase + 1} ", (x_after - 0.5, 1), xycoords=("data", "axes fraction"),
                ha="right", va="bottom", fontsize=8, color=GREY, annotation_clip=False,
            )  # fmt: skip


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _scale_loss(axes: "Axes") -> None:
    """A loss that falls by orders of magnitude is drawn on a logarithmic axis."""
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    values = [float(y) for line in lines for y in np.asarray(line.get_ydata()) if math.isfinite(y)]
    if values and 0 < 30 * min(values) < max(values):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(lambda value, _: "")


def _confusion(figure: "Figure", *, decisions: Decisions) -> None:
    """Counts, and the share of the actual class, summed over the seeds."""
    names, counts = shorten_apart(decisions.row.class_names, 18), decisions.confusion
    side = max(1.6, 0.58 * len(names))
    figure.set_size_inches(side + 2.4, side + 1.6)
    axes = figure.subplots()
    shares = [[count / max(1, sum(line)) for count in line] for line in counts]
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    for i, line in enumerate(counts):
        for j, count in enumerate(line):
            axes.text(
                j + 0.5, i + 0.5, f"{count:,}\n{100 * shares[i][j]:.1f} %" if count else "0",
                ha="center", va="center", fontsize=8 if len(names) < 8 else 6.5,
                color="white" if shares[i][j] > 0.55 else "black" if count else GREY,
            )  # fmt: skip
    places = [place + 0.5 for place in range(len(names))]
    long = max(map(len, names)) > 8 or len(names) > 4
    axes.set_xticks(
        places, names, rotation=40 if long else 0, ha="right" if long else "center", rotation_mode="anchor"
    )
    axes.set_yticks(places, names)
    axes.set(xlabel="Predicted", ylabel="Actual", aspect="equal", ylim=(len(names), 0))
    axes.tick_params(length=0)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, label="Share of the actual class")
    bar.ax.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    bar.outline.set_visible(False)


def _thinned(x: npt.NDArray, y: npt.NDArray) -> npt.NDArray[np.int64]:
    """Picks points of a line that are about evenly far apart along it, its ends among them."""
    way = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    return np.unique([0, len(x) - 1, *np.searchsorted(way, np.linspace(0, way[-1], CURVE_POINTS)[:-1])])


def _reliability(figure: "Figure", *, decisions: Decisions) -> None:
    """Accuracy against confidence, all seeds together, with and without the temperature."""
    from cnnzoo.evaluation.calibration import reliability

    figure.set_size_inches(4.2, 3.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="perfectly calibrated")
    raw = [each.probabilities for each in decisions.row.predictions]
    labels = np.tile(decisions.labels, len(raw))
    lowest = 1.0
    for probabilities, label, colour, marker, line in (
        (raw, "uncalibrated", VERMILION, "s", "--"),
        (decisions.probabilities, "temperature-scaled", BLUE, "o", "-"),
    ):
        bins = [b for b in reliability(labels, np.concatenate(probabilities)) if b.count >= FEW]
        lowest = min([lowest, *(b.confidence for b in bins)])
        axes.plot(
            [b.confidence for b in bins], [b.accuracy for b in bins], linestyle=line, marker=marker,
            color=colour, markersize=4, linewidth=1.3, label=label,
        )  # fmt: skip
    axes.set(xlim=(lowest - 0.03, 1.01), ylim=(-0.02, 1.02), xlabel="Confidence", ylabel="Accuracy")
    axes.grid(color="#e5e5e5", linewidth=0.7)
    figure.legend(loc="outside lower center", ncols=2)


def _precision(figure: "Figure", *, decisions: Decisions) -> None:
    """Recall against precision of the positive class, a line per seed, with the chosen threshold."""
    from sklearn.metrics import precision_recall_curve

    row = decisions.row
    positive = row.class_names.index(row.first.data.positive)
    actual = decisions.labels == positive
    figure.set_size_inches(4.2, 3.6)
    axes = figure.subplots()
    lowest = 1.0
    for i, (record, result, probabilities) in enumerate(
        zip(row.finished, row.results, decisions.probabilities, strict=True)
    ):
        precision, recall, _ = precision_recall_curve(
            actual, probabilities[:, positive], drop_intermediate=True
        )
        kept = _thinned(recall, precision)
        best = int(np.argmax(precision * recall / np.maximum(precision + recall, 1e-9)))  # highest F1
        lowest = min(lowest, precision[best], recall[best])
        marker, colour = MARKERS[i % len(MARKERS)], (BLUE, VERMILION)[i % 2]
        line = axes.plot(recall[kept], precision[kept], linewidth=1.3, linestyle=("-", "--", ":")[i % 3],
                         color=colour, label=f"seed {record.seed}")  # fmt: skip
        if result.operating_point:
            point = result.operating_point["test_recall"], result.operating_point["test_precision"]
            axes.plot(*point, marker, color=line[0].get_color(), markersize=6, clip_on=False, zorder=3)
            lowest = min(lowest, *point)
    lowest = max(0.0, min(lowest, 0.95) - 0.1)
    axes.set(xlim=(lowest, 1.005), ylim=(lowest, 1.005))
    name = shorten(row.class_names[positive], 16)
    axes.set(xlabel=f"Recall of {name}", ylabel=f"Precision of {name}")
    axes.grid(color="#e5e5e5", linewidth=0.7)
    figure.legend(loc="outside lower center", ncols=min(5, len(row.results)))

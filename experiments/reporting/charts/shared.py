"""Charts that show all rows of a comparison against something else than cost."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from experiments.reporting.rows import Row
from experiments.style.chart import FEW, GREY, legend, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cnnzoo.evaluation.calibration import ReliabilityBin

ABSTAINED = np.linspace(0, 0.5, 51)


def shared_curves(rows: Sequence[Row]) -> "dict[str, Callable[[Figure], None]]":
    """Returns what draws each chart that the rows have numbers for."""
    charts: dict[str, Callable[[Figure], None]] = {}
    curves = learning_curves(rows)
    if curves:
        charts["learning_curve"] = partial(_learning, curves=curves)
    robust = [row for row in rows if any(result.robustness for result in row.results)]
    if robust:
        charts["robustness"] = partial(_robustness, rows=robust)
    predicted = [row for row in rows if row.predictions]
    if predicted:
        if any(filled_bins(row) for row in predicted):
            charts["reliability"] = partial(_reliability, rows=predicted)
        charts["abstention"] = partial(_abstention, rows=predicted)
    return charts


def _finish(figure: "Figure", axes: "Axes", names: Sequence[str]) -> None:
    axes.grid(color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    legend(figure, names)


def _learning(figure: "Figure", *, curves: dict[str, list[Row]]) -> None:
    figure.set_size_inches(4.6, 3.4)
    axes = figure.subplots()
    ticks = set()
    for i, rows in enumerate(curves.values()):
        sizes = [row.images("train") for row in rows]
        ticks |= set(sizes)
        means = np.array([row.average("test_accuracy") or 0 for row in rows])
        bounds = np.array([row.interval or (0, 1) for row in rows]).T
        spread = np.abs(bounds - means)
        axes.errorbar(sizes, means, yerr=spread, capsize=3, linewidth=1.3, **style(i))
    axes.set_xscale("log")
    axes.set_xticks(sorted(ticks), [f"{tick:,}" for tick in sorted(ticks)])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="Labelled training images (logarithmic)", ylabel="Test accuracy, with its 95 % interval")
    _finish(figure, axes, list(curves))


def _robustness(figure: "Figure", *, rows: Sequence[Row]) -> None:
    # Another version's runs may have been tested under other corruptions.
    found = (kind for row in rows for result in row.results for kind in result.robustness)
    kinds = [kind for kind in dict.fromkeys(found) if kind != "none"]
    figure.set_size_inches(4.6, 1.7 * -(-len(kinds) // 2))
    all_axes = figure.subplots(-(-len(kinds) // 2), 2, sharex=True, sharey=True, squeeze=False)
    for axes, kind in zip(all_axes.ravel(), kinds, strict=False):
        for i, row in enumerate(rows):
            tested = [r.robustness for r in row.results if kind in r.robustness]
            length = min((len(each[kind]) for each in tested), default=0)
            lines = [[*each["none"][:1], *each[kind][:length]] for each in tested]
            if lines:
                axes.plot(range(length + 1), np.mean(lines, axis=0), linewidth=1.3, **style(i))
        axes.set_title(kind, loc="left")
        axes.set_xticks(range(6))
        axes.grid(color="#e5e5e5", linewidth=0.7)
    for axes in all_axes[-1]:
        axes.set_xlabel("Strength")
    figure.supylabel("Test accuracy", fontsize=9)
    legend(figure, [row.name for row in rows])


def _reliability(figure: "Figure", *, rows: Sequence[Row]) -> None:
    figure.set_size_inches(4.6, 3.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    lowest = 1.0
    for i, row in enumerate(rows):
        bins = filled_bins(row)
        lowest = min([lowest, *(b.confidence for b in bins)])
        axes.plot(
            [b.confidence for b in bins],
            [b.accuracy for b in bins],
            linewidth=1.3,
            **style(i),
        )
    axes.set(xlim=(lowest - 0.03, 1.01), ylim=(-0.02, 1.02), xlabel="Confidence", ylabel="Accuracy")
    _finish(figure, axes, [row.name for row in rows])


def filled_bins(row: Row) -> "list[ReliabilityBin]":
    """The bins of confidence that have images enough to show how often they are right, all seeds together."""
    from cnnzoo.evaluation.calibration import reliability

    labels = np.concatenate([each.labels for each in row.predictions])
    return [each for each in reliability(labels, _calibrated(row)) if each.count >= FEW]


def _calibrated(row: Row) -> npt.NDArray[np.float64]:
    """The probabilities of all seeds, each with its own temperature."""
    return np.concatenate([each.calibrated for each in row.predictions])


def _abstention(figure: "Figure", *, rows: Sequence[Row]) -> None:
    from cnnzoo.evaluation.calibration import accuracy_when_abstaining

    figure.set_size_inches(4.6, 3.4)
    axes = figure.subplots()
    for i, row in enumerate(rows):
        found = [accuracy_when_abstaining(each.labels, each.probabilities) for each in row.predictions]
        lines = [np.interp(ABSTAINED, shares, accuracy) for shares, accuracy in found]
        marks = {**style(i), "markevery": (i, 10)}
        axes.plot(ABSTAINED, np.mean(lines, axis=0), linewidth=1.3, **marks)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set(xlabel="Share sent for human review, least certain first", ylabel="Accuracy on the rest")
    _finish(figure, axes, [row.name for row in rows])


def learning_curves(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of one recipe and data that differ in the number of training images, fewest first."""
    curves: dict[str, list[Row]] = {}
    for row in rows:
        if row.results:
            data = row.first.data
            kind = asdict(replace(data.split, train_size=None, leaked=0))
            key = json.dumps([row.first.recipe, data.fingerprint, kind, row.first.weights])
            curves.setdefault(key, []).append(row)
    long = [
        sorted(curve, key=lambda row: row.images("train"))
        for curve in curves.values()
        if len({row.images("train") for row in curve}) > 1
    ]
    several = len({curve[0].first.recipe for curve in long}) < len(long)
    return {
        f"{curve[0].first.recipe} ({curve[0].first.data.split.left_out or curve[0].first.data.split.kind})"
        if several
        else curve[0].first.recipe: curve
        for curve in long
    }

"""Charts of a comparison as SVG: the same records give the same bytes."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.records import RunResult, file_stem
from experiments.table import SIDES, Row
from experiments.text import human_count, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Okabe and Ito (2008): told apart by colour-blind readers too.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = "osD^vP*X<>"
GREY = "#767676"
ROUND_TIMES = [size * count for size in (1, 60) for count in (1, 2, 5, 10, 20)] + [
    3600 * 2**i for i in range(8)
]
STYLE = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "cnnzoo",
    # Text stays text: small files, and the reader's fonts know scripts that matplotlib's own doesn't.
    "svg.fonttype": "none",
    "text.parse_math": False,
}


def draw_figures(folder: Path, rows: Sequence[Row]) -> dict[str, Path]:
    """Draws every chart that the rows have numbers for; returns the files by name without `.svg`."""
    from experiments.curves import shared_curves

    finished = [row for row in rows if row.results]
    charts: dict[str, Callable[[Figure], None]] = {"samples_by_class": lambda f: _samples(f, rows)}
    if finished:
        charts |= {
            "before_training": lambda f: _before_training(f, finished),
            "accuracy_vs_time": lambda f: _scatter(
                f, finished, "train_seconds", "Training time", _round_time
            ),
            "accuracy_vs_parameters": lambda f: _scatter(
                f, finished, "total_params", "Parameters", human_count
            ),
        }
    charts |= shared_curves(finished)
    for row in finished:
        charts[f"curves-{file_stem(row.name)}"] = lambda f, row=row: _curves(f, row)  # type: ignore[misc]
        if row.results[0].confusion:
            charts[f"confusion-{file_stem(row.name)}"] = lambda f, row=row: _confusion(f, row)  # type: ignore[misc]
    folder.mkdir(parents=True, exist_ok=True)
    return {name: save_chart(folder / f"{name}.svg", draw) for name, draw in charts.items()}


def save_chart(path: Path, draw: "Callable[[Figure], None]") -> Path:
    """Has `draw` fill a figure in the house's style, and writes it as SVG."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The text is drawn by the reader's program, with its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # At the resolution of SVG a pixel is a point.
        figure = Figure(layout="constrained", facecolor="white", dpi=72)
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path


def _samples(figure: "Figure", rows: Sequence[Row]) -> None:
    """Images per class and side of the split, a panel for each data set."""
    data = {row.first.data.get("fingerprint"): row.first.data for row in rows if row.class_names}
    bars = [len(part["class_names"]) for part in data.values()]
    figure.set_size_inches(7, sum(0.5 + 0.66 * count for count in bars) + 0.6)
    all_axes = figure.subplots(max(1, len(bars)), 1, squeeze=False, height_ratios=bars or None)[:, 0]
    for axes, part in zip(all_axes, data.values(), strict=False):
        names = part["class_names"]
        for i, side in enumerate(SIDES):
            counts = [part["images"].get(side, {}).get(name, 0) for name in names]
            places = [place + 0.27 * (i - 1) for place in range(len(names))]
            drawn = axes.barh(places, counts, height=0.25, color=COLOURS[i], label=side)
            axes.bar_label(drawn, fmt="{:,.0f}", padding=2, fontsize=8)
        axes.set_yticks(range(len(names)), [shorten(name) for name in names])
        axes.set_ylim(len(names) - 0.45, -0.55)
        axes.margins(x=0.1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_title(shorten(str(part.get("name", "")), 60), loc="left")
    all_axes[-1].set_xlabel("Images")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)


def _curves(figure: "Figure", row: Row) -> None:
    """Accuracy and loss by epoch, every seed; epoch 0 is the model before training."""
    figure.set_size_inches(8.4, 3.3)
    for axes, field, title in zip(
        figure.subplots(1, 2), ("accuracy", "loss"), ("Accuracy", "Loss (cross-entropy)"), strict=True
    ):
        for i, (record, result) in enumerate(zip(row.finished, row.results, strict=True)):
            _seed_curves(axes, result, field, marker=MARKERS[i % len(MARKERS)], seed=record.seed)
        axes.set_title(title, loc="left")
        axes.set_xlabel("Epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=8)
        _scale_loss(axes) if field == "loss" else None
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}" if abs(value) < 1e4 else f"{value:.0e}")
        axes.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4 if len(row.results) < 4 else 5)


def _seed_curves(axes: "Axes", result: RunResult, field: str, *, marker: str, seed: int) -> None:
    epochs = range(1, len(result.history) + 1)
    for prefix, label, colour, line in (("", "training", BLUE, "--"), ("val_", "validation", VERMILION, "-")):
        values = [_finite(getattr(epoch, prefix + field)) for epoch in result.history]
        x = list(epochs)
        if field == "accuracy" and prefix:
            x, values = [0, *x], [_finite(result.val_accuracy_before), *values]
        axes.plot(
            x, values, linestyle=line, color=colour, marker=marker, markersize=4, linewidth=1.3,
            markerfacecolor="white" if not prefix else colour, label=f"{label}, seed {seed}",
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


def _confusion(figure: "Figure", row: Row) -> None:
    """Counts, and the share of the actual class, summed over the seeds."""
    names = [shorten(name, 18) for name in row.class_names]
    counts = [
        [sum(result.confusion[i][j] for result in row.results) for j in range(len(names))]
        for i in range(len(names))
    ]
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


def _before_training(figure: "Figure", rows: Sequence[Row]) -> None:
    """Validation accuracy of each row before and after training."""
    figure.set_size_inches(7, 1.3 + 0.36 * len(rows))
    axes = figure.subplots()
    for i, row in enumerate(rows):
        before, after = row.average("val_accuracy_before") or 0, row.average("val_accuracy") or 0
        axes.plot([before, after], [i, i], color="#bbbbbb", linewidth=2, zorder=1)
        axes.plot(
            before, i, "o", markerfacecolor="white", color=BLUE, label="before training" if not i else None
        )
        axes.plot(after, i, "D", color=VERMILION, label="after training" if not i else None)
        axes.annotate(
            f"{before:.3f} → {after:.3f}",
            (1.01, i),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(rows)), [shorten(row.name, 30) for row in rows])
    axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="Validation accuracy")
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    figure.legend(loc="outside upper right", ncols=2)


def _scatter(
    figure: "Figure", rows: Sequence[Row], field: str, title: str, form: Callable[[float], str]
) -> None:
    """Test accuracy with its interval against a cost on a logarithmic axis, each point named."""
    figure.set_size_inches(7, 4.6)
    axes = figure.subplots()
    for i, row in enumerate(rows):
        accuracy, (low, high) = row.average("test_accuracy") or 0, row.interval or (0, 0)
        axes.errorbar(
            max(row.average(field) or 0, 1e-3), accuracy, yerr=[[accuracy - low], [high - accuracy]],
            fmt=MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], markersize=7, capsize=3,
            elinewidth=1,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.12)
    _log_ticks(axes, form)
    axes.set(xlabel=f"{title} (logarithmic)", ylabel="Test accuracy, with its 95 % interval")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    _name_points(figure, axes, rows, field)


def _log_ticks(axes: "Axes", form: Callable[[float], str]) -> None:
    """Puts ticks at round seconds, minutes and hours, or at 1, 2 and 5 times the powers of ten."""
    low, high = axes.get_xlim()
    if high < 4 * low:
        low, high = low / 2, high * 2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 1e3 else (1,)
    ticks = ROUND_TIMES if form is _round_time else [step * 10.0**power for power in powers for step in steps]
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])
    axes.set_xticks([], minor=True)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(lambda value, _: form(value))


def _round_time(seconds: float) -> str:
    """A tick of `ROUND_TIMES`: `20 s`, `5 min`, `2 h`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _name_points(figure: "Figure", axes: "Axes", rows: Sequence[Row], field: str) -> None:
    """Writes each row's name at the nearest place beside its point that is free."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    # From here on the axes must stay where they are: the places below are in pixels.
    figure.set_layout_engine("none")
    points, taken = [], []
    for row in rows:
        low, high = row.interval or (0, 0)
        x, y = max(row.average(field) or 0, 1e-3), row.average("test_accuracy") or 0
        points.append((x, y))
        (left, middle), (_, bottom), (_, top) = (axes.transData.transform((x, v)) for v in (y, low, high))
        taken += [
            Bbox([[left - 2, bottom], [left + 2, top]]),
            Bbox([[left - 5, middle - 5], [left + 5, middle + 5]]),
        ]
    for i, (row, point) in enumerate(zip(rows, points, strict=True)):
        label = axes.annotate(
            shorten(row.name, 30), point, (0, 0), textcoords="offset pixels", fontsize=8.5, va="center",
            ha="center", color=COLOURS[i % len(COLOURS)],
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7},
        )  # fmt: skip
        taken.append(_free_place(label, axes, tuple(axes.transData.transform(point)), taken))


def _free_place(label: "Annotation", axes: "Axes", point: Sequence[float], taken: "list[Bbox]") -> "Bbox":
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    size = Text.get_window_extent(label)
    half_width, half_height = size.width / 2 + 3, size.height / 2 + 2
    frame = axes.get_window_extent()
    box = size
    for distance in range(8, 400, 6):
        for angle in range(0, 360, 30):
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            x = across * (distance + half_width)
            y = up * (distance + half_height)
            centre = (point[0] + x, point[1] + y)
            box = Bbox([[centre[0] - half_width, centre[1] - half_height],
                        [centre[0] + half_width, centre[1] + half_height]])  # fmt: skip
            inside = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                label.set_position((x, y))
                return box
    return box

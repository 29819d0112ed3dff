"""Charts of accuracy against cost, and of what the data is."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from experiments.reporting.rows import Row
from experiments.runs.spec import SIDES
from experiments.style.chart import BLUE, COLOURS, GREY, INK, MARKERS, VERMILION, legend
from experiments.style.text import human_count, shorten, shorten_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

NAMED_POINTS = 6  # the names of more would cross each other
ROUND_TIMES = (
    [0.1, 0.2, 0.5]
    + [size * count for size in (1, 60) for count in (1, 2, 5, 10, 20)]
    + [3600 * 2**i for i in range(8)]
)


def cost_charts(data_sets: Sequence[Row], finished: Sequence[Row]) -> "dict[str, Callable[[Figure], None]]":
    """Returns what draws each chart of data and cost that the rows have numbers for."""
    charts: dict[str, Callable[[Figure], None]] = {"samples_by_class": partial(_samples, rows=data_sets)}
    if finished:
        charts["before_training"] = partial(_before_training, rows=finished)
        for name, field, title, form in (
            ("accuracy_vs_time", "train_seconds", "Training time", _round_time),
            ("accuracy_vs_parameters", "total_params", "Parameters", human_count),
        ):
            charts[name] = partial(_scatter, rows=finished, field=field, title=title, form=form)
    return charts


def _samples(figure: "Figure", rows: Sequence[Row]) -> None:
    """Images per class and side of the split, a panel for each data set."""
    data = [row.first.data for row in rows if row.class_names]
    bars = [len(part.class_names) for part in data]
    figure.set_size_inches(5, sum(0.5 + 0.66 * count for count in bars) + 0.6)
    all_axes = figure.subplots(max(1, len(bars)), 1, squeeze=False, height_ratios=bars or None)[:, 0]
    for axes, part in zip(all_axes, data, strict=False):
        names = part.class_names
        for i, side in enumerate(SIDES):
            counts = [part.images.get(side, {}).get(name, 0) for name in names]
            places = [place + 0.27 * (i - 1) for place in range(len(names))]
            drawn = axes.barh(places, counts, height=0.25, color=COLOURS[i], label=side)
            axes.bar_label(drawn, fmt="{:,.0f}", padding=2, fontsize=8)
        axes.set_yticks(range(len(names)), [shorten(name) for name in names])
        axes.set_ylim(len(names) - 0.45, -0.55)
        axes.margins(x=0.1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        title = f"{shorten(part.name, 50)}, {part.split.named}"
        axes.set_title(title, loc="left")
    all_axes[-1].set_xlabel("Images")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)


def _before_training(figure: "Figure", rows: Sequence[Row]) -> None:
    """Validation accuracy of each row before and after training."""
    figure.set_size_inches(5, 1.2 + 0.32 * len(rows))
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
    axes.set_yticks(range(len(rows)), shorten_apart([row.name for row in rows], 32))
    axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="Validation accuracy")
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    figure.legend(loc="outside upper right", ncols=2)


def _scatter(
    figure: "Figure", rows: Sequence[Row], field: str, title: str, form: Callable[[float], str]
) -> None:
    """Test accuracy with its interval against a cost on a logarithmic axis; each point is a link."""
    figure.set_size_inches(5.2, 4)
    axes = figure.subplots()
    # One that never predicts a class is nobody's choice, whatever its accuracy.
    best = pareto_front([row for row in rows if not row.never_predicted] or rows, field)
    for i, row in enumerate(rows):
        (x, accuracy), (low, high) = _point(row, field), row.interval or (0, 0)
        colour = COLOURS[i % len(COLOURS)]
        bars = axes.errorbar(
            x, accuracy, yerr=[[accuracy - low], [high - accuracy]], fmt=MARKERS[i % len(MARKERS)],
            color=colour, markersize=8, capsize=3, elinewidth=1,
            markerfacecolor=colour if row in best else "white",
        )  # fmt: skip
        bars.lines[0].set_url(f"#model-{row.anchor}")
    front = [_point(row, field) for row in best]
    axes.plot(
        *zip(*front, strict=True), color=GREY, linestyle="--", linewidth=1, drawstyle="steps-post", zorder=1,
        label="Pareto front (filled): no other is as accurate at lower cost",
    )  # fmt: skip
    figure.legend(loc="outside upper left")
    if len(rows) > NAMED_POINTS:
        legend(figure, [row.name for row in rows])
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.12)
    _log_ticks(axes, form)
    axes.set(xlabel=f"{title} (logarithmic)", ylabel="Test accuracy, with its 95 % interval")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    if len(rows) <= NAMED_POINTS:
        _name_points(figure, axes, rows, field)


def pareto_front(rows: Sequence[Row], field: str) -> list[Row]:
    """The rows that no other beats in both test accuracy and the cost `field`, the cheapest first."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (_point(row, field)[0], -_point(row, field)[1])):
        if not front or _point(row, field)[1] > _point(front[-1], field)[1]:
            front.append(row)
    return front


def _point(row: Row, field: str) -> tuple[float, float]:
    """Cost, which a logarithmic axis can show, and test accuracy."""
    return max(row.average(field) or 0, 1e-3), row.average("test_accuracy") or 0


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
    """Writes each row's name at the nearest place beside its point that is free.

    Not by adjustText, which pushes names about and promises no free place: of 40 charts it left names on
    points or error bars in 8, this in none.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    # From here on the axes must stay where they are: the places below are in pixels.
    figure.set_layout_engine("none")
    points, taken = [], []
    for row in rows:
        low, high = row.interval or (0, 0)
        x, y = _point(row, field)
        points.append((x, y))
        (left, middle), (_, bottom), (_, top) = (axes.transData.transform((x, v)) for v in (y, low, high))
        taken += [
            Bbox([[left - 2, bottom], [left + 2, top]]),
            Bbox([[left - 5, middle - 5], [left + 5, middle + 5]]),
        ]
    names = shorten_apart([row.name for row in rows], 26)
    for row, name, point in zip(rows, names, points, strict=True):
        label = axes.annotate(
            name, point, (0, 0), textcoords="offset pixels", fontsize=8.5, va="center",
            ha="center", color=INK,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7},
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, url=f"#model-{row.anchor}",
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

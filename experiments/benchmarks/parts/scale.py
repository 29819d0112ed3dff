"""Whether an image costs the same among a thousand and among a million, and how much memory it takes."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cnnzoo.errors import InputError, one_line
from experiments.benchmarks.registry import Request, Tell
from experiments.benchmarks.rows import Row
from experiments.benchmarks.stages import STAGES, Cost, bytes_an_image, cost_of
from experiments.cli.apart import apart
from experiments.style.chart import legend, save_chart, style
from experiments.style.text import human_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
LONGEST = 600  # seconds of a stage, at most
FIGURE = "scale.svg"


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields time and memory of each stage by the number of images, and draws them."""
    costs: list[Cost] = []
    for name, stage in STAGES.items():
        measured: list[Cost] = []
        for count in COUNTS if request.limit is None else _up_to(2 * request.limit):
            what = f"{name}, {count:,} images"
            expected = count * measured[-1].seconds / measured[-1].images if measured else 0
            if expected > LONGEST:
                yield Row(what, None, "", note=f"not measured: at this pace {human_time(expected)}")
                continue
            tell(what)
            try:
                measured.append(apart(cost_of, name, count))
            except InputError as error:  # the process was killed
                yield Row(what, None, "", note=one_line(error))
                continue
            yield _row(what, measured[-1])
        if len(measured) > 1:
            yield _memory_row(measured, stage.budget)
        costs += measured
    save_chart(request.out / FIGURE, lambda figure: _draw(figure, costs))


def _up_to(most: int) -> list[int]:
    """The usual counts below `most`, and that."""
    return [*(count for count in COUNTS if count < most), most]


def _row(what: str, cost: Cost) -> Row:
    return Row(
        what,
        1000 * cost.seconds / cost.images,
        "ms/image",
        less_is_better=True,
        cores=cost.cpu_seconds / cost.seconds,
        note=f"{1000 * cost.cpu_seconds / cost.images:.3g} processor ms an image; "
        f"{cost.seconds:,.1f} s, {cost.peak / 1e6:,.0f} MB at the peak",
    )


def _memory_row(costs: Sequence[Cost], budget: int) -> Row:
    """Bytes that an image more takes, by the two largest numbers of images."""
    *_, few, many = costs
    return Row(
        f"{many.stage}: memory",
        bytes_an_image(few, many),
        "bytes/image",
        less_is_better=True,
        note=f"from {few.images:,} to {many.images:,} images; the budget is {budget:,}",
    )


def _draw(figure: "Figure", costs: Sequence[Cost]) -> None:
    figure.set_size_inches(7, 3)
    time, memory = figure.subplots(1, 2)
    names = list(dict.fromkeys(cost.stage for cost in costs))
    for i, name in enumerate(names):
        here = [cost for cost in costs if cost.stage == name]
        counts = [cost.images for cost in here]
        # Of processors, which other programs on the machine change less.
        time.loglog(counts, [1000 * cost.cpu_seconds / cost.images for cost in here], **style(i))
        memory.loglog(counts, [cost.peak / 1e6 for cost in here], **style(i))
    for axes, title in ((time, "processor ms an image"), (memory, "MB at the peak")):
        axes.set_title(title, loc="left")
        for axis, form in ((axes.xaxis, "{:,.0f}"), (axes.yaxis, "{:,g}")):
            axis.set_major_formatter(lambda value, _, form=form: form.format(value))
        axes.set_xticks(COUNTS)
        axes.set_xlabel("images")
    legend(figure, names)

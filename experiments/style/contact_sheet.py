"""Grids of photographs with a line under each: augmented samples, verdicts."""

import textwrap
from collections import Counter
from collections.abc import Hashable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import printable
from cnnzoo.files import replaced_whole
from experiments.style.fonts import with_fonts

PLAIN = "#222222"
WIDTH, GAP, TITLE = 1.7, 0.1, 0.45  # inches: of a tile, between two, for a title of two lines
HEADING_LINE, LINE_GAP = 0.2, 0.08  # inches: of a heading's line, between a title and its tile


def draw_sheet(
    path: Path,
    images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8],
    titles: Sequence[str],
    *,
    columns: int = 6,
    height: float = 2.15,
    colours: Sequence[str] = (),
    heading: str = "",
) -> None:
    """Writes a picture with a tile per image and its title above.

    `height` is that of a tile with its title, in inches; `colours` are the titles', by default all alike.
    `heading` stands above them all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    # A heading has lines as wide as the sheet, of about eleven characters an inch.
    shown = ["\n".join(printable(line) for line in title.split("\n")) for title in titles]
    (heading, *shown), families = with_fonts([printable(heading), *shown])
    lines = textwrap.wrap(heading, int(11 * WIDTH * columns))
    top = HEADING_LINE * (len(lines) + 1) if lines else 0.0
    wide, high = WIDTH * columns, height * rows + top
    figure = Figure(figsize=(wide, high), dpi=100)
    FigureCanvasAgg(figure)
    # All tiles lie in one axes, measured in inches: with axes of its own, a tile takes ten times as long.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for i, image in enumerate(images):
        centre = WIDTH * (i % columns) + WIDTH / 2
        middle = high - top - height * (i // columns) - (height + TITLE) / 2
        scale = min((WIDTH - GAP) / image.shape[1], (height - TITLE) / image.shape[0])
        across, down = image.shape[1] * scale / 2, image.shape[0] * scale / 2
        extent = centre - across, centre + across, middle - down, middle + down
        axes.imshow(image, aspect="auto", extent=extent, cmap="gray", vmin=0, vmax=255)
        axes.text(
            centre, middle + down + LINE_GAP, shown[i],
            fontsize=7.5, color=colours[i] if colours else PLAIN, ha="center", va="baseline",
            parse_math=False, family=families,
        )  # fmt: skip
    axes.set(xlim=(0, wide), ylim=(0, high))
    figure.text(
        *(GAP / wide, 1 - GAP / high, "\n".join(lines)),
        fontsize=10, color=PLAIN, va="top", parse_math=False, family=families,
    )  # fmt: skip
    # By way of memory: what a full disk cuts short, Pillow does not notice.
    picture = BytesIO()
    figure.savefig(picture, format=path.suffix.removeprefix("."))
    with replaced_whole(path) as unfinished:
        unfinished.write_bytes(picture.getvalue())


T = TypeVar("T")

SHOWN = 24  # mistakes of a row, and pictures of a run


def some_of_each_kind(items: Sequence[T], kinds: Sequence[Hashable]) -> list[T]:
    """At most `SHOWN` in the order given: the first of each kind, then the second of each, and so on."""
    seen: Counter[Hashable] = Counter()
    turns = []
    for place, kind in enumerate(kinds):
        turns.append((seen[kind], place))
        seen[kind] += 1
    chosen = {place for _, place in sorted(turns)[:SHOWN]}
    return [item for place, item in enumerate(items) if place in chosen]

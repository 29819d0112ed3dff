"""Grids of photographs with a line under each: augmented samples, verdicts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import printable

PLAIN = "#222222"
WIDTH, GAP, TITLE = 1.7, 0.1, 0.45  # inches: of a tile, between two, for a title of two lines


def draw(
    path: Path,
    images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8],
    titles: Sequence[str],
    *,
    columns: int = 6,
    height: float = 2.15,
) -> None:
    """Writes a picture with a tile per image and its title above.

    `height` is that of a tile with its title, in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    wide, high = WIDTH * columns, height * rows
    figure = Figure(figsize=(wide, high), dpi=100)
    FigureCanvasAgg(figure)
    for i, image in enumerate(images):
        # Placed by hand: matplotlib's own layout takes minutes for hundreds of tiles.
        left, bottom = WIDTH * (i % columns), high - height * (i // columns + 1)
        inner = WIDTH - GAP, height - TITLE
        axes = figure.add_axes(((left + GAP / 2) / wide, bottom / high, inner[0] / wide, inner[1] / high))
        axes.imshow(image, aspect="equal")
        axes.set_axis_off()
        title = "\n".join(printable(line) for line in titles[i].split("\n"))
        axes.set_title(title, fontsize=7.5, color=PLAIN)
    figure.savefig(path)

"""Grids of photographs with a line under each: augmented samples, verdicts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

WRONG, PLAIN = "#b3261e", "#222222"


def draw(
    path: Path,
    images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8],
    titles: Sequence[str],
    *,
    wrong: Sequence[bool] = (),
    columns: int = 6,
) -> None:
    """Writes a picture with a tile per image; a title of a wrong verdict is red and marked with a cross."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.7 * columns, 2.15 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image)
        axes.set_axis_off()
        bad = i < len(wrong) and wrong[i]
        axes.set_title(f"✗ {titles[i]}" if bad else titles[i], fontsize=7.5, color=WRONG if bad else PLAIN)
    figure.savefig(path)

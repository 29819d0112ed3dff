"""Drawing all charts, those that `cost`, `shared` and `row` list; `page` says which of them it shows."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.reporting.charts.cost import cost_charts
from experiments.reporting.charts.row import row_charts
from experiments.reporting.charts.shared import shared_curves
from experiments.reporting.comparison import Comparison
from experiments.style.chart import save_chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_figures(folder: Path, comparison: Comparison) -> dict[str, Path]:
    """Draws every chart that the rows have numbers for; returns the files by name without `.svg`."""
    charts: dict[str, Callable[[Figure], None]] = cost_charts(comparison.data_sets, comparison.finished)
    charts |= shared_curves(comparison.finished)
    for row in comparison.finished:
        found = row_charts(comparison.decisions[row.name])
        charts |= {f"{kind}-{row.anchor}": draw for kind, draw in found.items()}
    folder.mkdir(parents=True, exist_ok=True)
    return {name: save_chart(folder / f"{name}.svg", draw) for name, draw in charts.items()}

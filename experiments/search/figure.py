"""What a search found: each value that was searched against the validation loss it gave."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from experiments.search.records import TrialRecord, ranked, varied
from experiments.style.chart import BLUE, GREY, VERMILION, save_chart
from experiments.style.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLUMNS = 4
FEWEST = 10  # trials below which a share is noise
MOST_GROUPS = 5
SHUFFLES = 2000
LOGARITHMIC = ("learning_rate", "tuning_rate", "weight_decay")


def draw_search(path: Path, records: Sequence[TrialRecord]) -> Path | None:
    """Draws a panel for each value that differs between finished trials, the most telling first.

    Returns None, and draws nothing, where fewer than two trials finished.
    """
    finished = [record for record in records if record.result]
    if len(finished) < 2:
        return None
    return save_chart(path, lambda figure: _panels(figure, finished))


def shares_explained(records: Sequence[TrialRecord]) -> dict[str, tuple[float, bool]]:
    """How much of the differences in validation loss goes with each varied value, the largest share first.

    Losses are ranked and values put into groups: each value of a choice, thirds of a range, so that an
    optimum in the middle counts too. The share is epsilon squared (Kelley 1935), the variance of the ranks
    between groups less what chance gives. Beside it stands whether fewer than one in twenty random orders
    of the losses explain as much; with a dozen values looked at, one of them may well do so by chance.
    """
    losses = np.array([record.loss for record in records])
    found = {}
    for name in varied(records):
        known = np.array([name in record.values for record in records])
        places, _ = _places([record.values[name] for record in records if name in record.values])
        found[name] = _share(_groups(places), losses[known])
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def _groups(places: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    values, numbers = np.unique(places, return_inverse=True)
    if len(values) <= MOST_GROUPS:
        return numbers
    return np.searchsorted(np.quantile(places, (1 / 3, 2 / 3)), places)


def _share(groups: npt.NDArray[np.intp], losses: npt.NDArray[np.float64]) -> tuple[float, bool]:
    from scipy.stats import rankdata

    members = np.eye(groups.max(initial=0) + 1)[groups]
    members = members[:, members.any(axis=0)]
    count, kinds = members.shape
    if count < FEWEST or kinds < 2 or kinds >= count or losses.std() == 0:
        return 0.0, False
    ranks = rankdata(losses)
    ranks = (ranks - ranks.mean()) / ranks.std()
    rng = np.random.default_rng(0)
    orders = np.stack([ranks, *(rng.permutation(ranks) for _ in range(SHUFFLES))])
    between = ((orders @ members) ** 2 / members.sum(axis=0)).sum(axis=1) / count
    share = 1 - (1 - between[0]) * (count - 1) / (count - kinds)
    return max(0.0, float(share)), bool((between[1:] >= between[0] - 1e-9).mean() < 0.05)


def _places(values: Sequence[Any]) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Where values lie on an axis: numbers where they are, others side by side with their names."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=float), []
    # "head", "0.25", "0.5", "all": by how much of the model trains.
    order = {"head": 0.0, "all": 1.0}
    names = sorted({str(value) for value in values}, key=lambda name: order.get(name, _number(name)))
    return np.array([names.index(str(value)) for value in values], dtype=float), names


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return 2.0 + (name == "True")


def _panels(figure: "Figure", records: Sequence[TrialRecord]) -> None:
    found = shares_explained(records)
    lines = max(1, -(-len(found) // COLUMNS))
    figure.set_size_inches(9.2, 1.75 * lines + 0.75)
    panels = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False).ravel()
    for panel in panels[len(found) :]:
        panel.set_visible(False)
    for panel, (name, (strength, telling)) in zip(panels, found.items(), strict=False):
        _panel(panel, records, name)
        note = f"{100 * strength:.0f} %" if len(records) >= FEWEST else ""
        panel.set_title(
            f"{shorten(name, 18)}  {note}", loc="left", fontsize=9,
            color="black" if telling else GREY, fontweight="bold" if telling else "normal",
        )  # fmt: skip
    figure.supylabel("Validation loss", fontsize=9)
    few = f"; {len(records)} trials say little" if len(records) < 20 else ""
    figure.suptitle(
        f"Each dot a trial, the best red; share of differences in loss explained, bold beyond chance{few}",
        fontsize=9, x=0.01, ha="left",
    )  # fmt: skip


def _panel(axes: "Axes", records: Sequence[TrialRecord], name: str) -> None:
    known = [record for record in records if name in record.values]
    best = ranked(records)[0]
    places, names = _places([record.values[name] for record in known])
    rng = np.random.default_rng(0)
    # Values side by side hide one another: they are spread a little.
    shown = places + (rng.uniform(-0.12, 0.12, len(places)) if names else 0)
    for record, place in zip(known, shown, strict=True):
        chosen = record is best
        axes.plot(
            place, record.loss, "D" if chosen else "o", color=VERMILION if chosen else BLUE,
            markersize=6 if chosen else 4, alpha=1.0 if chosen else 0.65, markeredgewidth=0,
            zorder=3 if chosen else 2,
        )  # fmt: skip
    if names:
        axes.set_xticks(range(len(names)), [_word(text) for text in names])
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif name in LOGARITHMIC:
        axes.set_xscale("log")
        _plain_decades(axes.xaxis, (1,))
    elif len(set(places)) <= 5:
        axes.set_xticks(sorted(set(places)), [f"{place:.3g}" for place in sorted(set(places))])
    losses = [record.loss for record in records]
    if max(losses) > 5 * min(losses) > 0:
        axes.set_yscale("log")
        _plain_decades(axes.yaxis, (1, 2, 5))
    axes.margins(x=0.1)
    axes.grid(color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def _plain_decades(axis: "Axis", steps: tuple[int, ...]) -> None:
    """Labels a logarithmic axis in plain numbers: the house's style parses no formulas."""
    from matplotlib.ticker import LogLocator

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: "")


def _word(text: str) -> str:
    return {"True": "yes", "False": "no"}.get(text, text)

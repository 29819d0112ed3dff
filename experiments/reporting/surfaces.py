"""Which recipe is best on a surface that it never saw, where each was left out of training in turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import printable
from cnnzoo.evaluation.statistics import balanced_draws, interval_over_sets
from experiments.reporting.rows import Row
from experiments.style.text import listed, number


@dataclass(frozen=True, eq=False)
class Unseen:
    """A recipe on surfaces that it never saw.

    Attributes:
        recipe: its name.
        values: its balanced accuracy on each surface, the mean over the seeds.
        drawn: (surfaces, resamples) these, bootstrapped over groups and seeds.
    """

    recipe: str
    values: tuple[float, ...]
    drawn: npt.NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of the mean, over surfaces and images."""
        low, high = interval_over_sets(self.values, self.drawn)
        return max(0.0, low), min(1.0, high)

    def less(self, other: "Unseen") -> tuple[float, tuple[float, float]]:
        """Its mean less that of another recipe, and the interval of that difference."""
        apart = [mine - others for mine, others in zip(self.values, other.values, strict=True)]
        return float(np.mean(apart)), interval_over_sets(apart, self.drawn - other.drawn)


@dataclass(frozen=True, eq=False)
class OverSurfaces:
    """The recipes that were tested on every surface of one comparison, the best first."""

    surfaces: tuple[str, ...]
    recipes: tuple[Unseen, ...]

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """What they come to."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        best = self.recipes[0]
        low, high = best.interval
        names = listed([printable(name) for name in self.surfaces])
        yield (
            f"Tested on {names}, each left out of training in turn: {best.recipe} has the highest balanced "
            f"accuracy on a surface that it never saw, {best.mean:.4f} on average (95 %: "
            f"{low:.2f} to {high:.2f}, over surfaces and images)."
        )
        equal: list[str] = []
        for other in self.recipes[1:]:
            difference, (low, high) = best.less(other)
            if low <= 0 <= high:
                equal.append(f"{other.recipe} ({number(100 * difference, 1)} percentage points lower)")
                continue
            points = f"{number(100 * difference, 1)} percentage points ({100 * low:.1f} to {100 * high:.1f})"
            yield f"{other.recipe} is worse by {points}."
        if equal:
            yield f"{len(self.surfaces)} surfaces don't decide between it and {listed(equal)}."
        yield "The same command without --leave-one-out trains on all of them together."


def over_surfaces(rows: Sequence[Row]) -> list[OverSurfaces]:
    """A verdict over surfaces for each comparison whose rows left out one in turn; most have none."""
    sets: dict[tuple[object, ...], dict[str, dict[str, Row]]] = {}
    for row in rows:
        split = row.first.data.split
        if split.left_out and row.predictions:
            key = (row.first.data.fingerprint, split.groups, split.train_size)
            sets.setdefault(key, {}).setdefault(row.first.recipe, {})[split.left_out] = row
    found = [_over_surfaces(recipes) for recipes in sets.values()]
    return [each for each in found if each is not None]


def _over_surfaces(recipes: dict[str, dict[str, Row]]) -> OverSurfaces | None:
    surfaces = tuple(dict.fromkeys(name for each in recipes.values() for name in each))
    whole = [
        _unseen(name, [each[s] for s in surfaces])
        for name, each in recipes.items()
        if len(each) == len(surfaces)
    ]
    if len(surfaces) < 2 or not whole:
        return None
    return OverSurfaces(surfaces, tuple(sorted(whole, key=lambda unseen: -unseen.mean)))


def _unseen(recipe: str, rows: Sequence[Row]) -> Unseen:
    values, drawn = [], []
    for seed, row in enumerate(rows):
        assert row.tested
        right, groups = row.tested
        labels = np.asarray(row.predictions[0].labels)
        recalls = [right[:, labels == label].mean() for label in np.unique(labels)]
        values.append(float(np.mean(recalls)))
        drawn.append(balanced_draws(right, labels, groups, seed=seed))
    return Unseen(printable(recipe), tuple(values), np.stack(drawn))

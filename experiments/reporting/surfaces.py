"""Which recipe is best on a surface that it never saw, where each was left out of training in turn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import printable
from cnnzoo.evaluation.statistics import LEVEL, balanced_draws, interval_over_sets, wilson_interval
from cnnzoo.files import file_stem
from experiments.reporting.rows import Row, settings_of, unique_name
from experiments.style.text import listed, number


@dataclass(frozen=True, eq=False)
class Unseen:
    """A recipe on surfaces that it never saw.

    Attributes:
        recipe: its name.
        values: its balanced accuracy on each surface, the mean over the seeds.
        drawn: (surfaces, resamples) these, bootstrapped over groups and seeds.
        groups: how many groups each surface has.
    """

    recipe: str
    values: tuple[float, ...]
    drawn: npt.NDArray[np.float64]
    groups: tuple[int, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of the mean, over surfaces and images."""
        each = [
            _interval(value, drawn, groups)
            for value, drawn, groups in zip(self.values, self.drawn, self.groups, strict=True)
        ]
        low, high = interval_over_sets(self.values, each)
        return max(0.0, low), min(1.0, high)

    def less(self, other: "Unseen", *, level: float) -> tuple[float, tuple[float, float]]:
        """Its mean less that of another recipe, and the interval of that difference."""
        apart = [mine - others for mine, others in zip(self.values, other.values, strict=True)]
        tails = [(1 - level) / 2, (1 + level) / 2]
        each = [tuple(np.quantile(drawn, tails)) for drawn in self.drawn - other.drawn]
        return float(np.mean(apart)), interval_over_sets(apart, each, level=level)


def _interval(value: float, drawn: npt.NDArray[np.float64], groups: int) -> tuple[float, float]:
    """That of one surface; where there is no mistake to resample, as if each group were one image."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if low < high:
        return float(low), float(high)
    return wilson_interval(round(value * groups), groups)


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
        has = "the highest balanced accuracy," if len(self.recipes) > 1 else "a balanced accuracy of"
        yield (
            f"Tested on {names}, each left out of training in turn: {best.recipe} has {has} "
            f"{best.mean:.4f} on average on a surface that it never saw (95 %: {low:.2f} to {high:.2f}, over "
            "surfaces and images)."
        )
        equal: list[str] = []
        # Each is one of several chances for the best to seem better (Bonferroni).
        level = 1 - (1 - LEVEL) / max(1, len(self.recipes) - 1)
        for other in self.recipes[1:]:
            difference, (low, high) = best.less(other, level=level)
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
            key = (row.folder, row.first.data.fingerprint, split.train_size)
            each = sets.setdefault(key, {}).setdefault(settings_of(row.first), {})
            each[split.left_out] = row
    found = [_over_surfaces(list(recipes.values())) for recipes in sets.values()]
    return [each for each in found if each is not None]


def _over_surfaces(recipes: Sequence[dict[str, Row]]) -> OverSurfaces | None:
    surfaces = tuple(dict.fromkeys(name for each in recipes for name in each))
    whole = [[each[name] for name in surfaces] for each in recipes if len(each) == len(surfaces)]
    if len(surfaces) < 2 or not whole:
        return None
    taken: set[str] = set()
    found = []
    for rows in whole:
        name = unique_name(printable(rows[0].first.recipe), taken)
        taken.add(file_stem(name))
        found.append(_unseen(name, rows))
    return OverSurfaces(surfaces, tuple(sorted(found, key=lambda unseen: -unseen.mean)))


def _unseen(recipe: str, rows: Sequence[Row]) -> Unseen:
    values, drawn = [], []
    for seed, row in enumerate(rows):
        assert row.tested
        right, groups = row.tested
        labels = np.asarray(row.predictions[0].labels)
        recalls = [right[:, labels == label].mean() for label in np.unique(labels)]
        values.append(float(np.mean(recalls)))
        drawn.append(balanced_draws(right, labels, groups, seed=seed))
    return Unseen(recipe, tuple(values), np.stack(drawn), tuple(row.test_groups or 1 for row in rows))

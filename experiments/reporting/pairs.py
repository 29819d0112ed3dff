"""Pairs of rows on the same test images, and whether they differ significantly."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from cnnzoo.evaluation.statistics import bootstrap_interval, holm, paired_p_value
from experiments.reporting.rows import Row
from experiments.style.text import number

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Pair:
    """Two rows on the same test images; `difference` is the accuracy of the first less that of the second.

    `low`, `high`: its 95 % interval over groups and seeds. `p`: of the paired test, `corrected` after Holm
    for all pairs of the table. `apart`: corrected p below 0.05 and 0 outside the interval.
    """

    first: Row
    second: Row
    difference: float
    low: float
    high: float
    p: float
    corrected: float

    @property
    def apart(self) -> bool:
        return self.corrected < SIGNIFICANT and not self.low <= 0 <= self.high

    @property
    def points(self) -> str:
        """The difference as people say it."""
        return f"{number(100 * self.difference, 2)} percentage points"


def pairs_of(rows: Sequence[Row]) -> list[Pair]:
    """Compares every two rows that have predictions; the first of each pair stands first in `rows`."""
    found = [(a, b) for a, b in combinations(rows, 2) if a.tested and b.tested]
    tested = [_compare(a, b) for a, b in found]
    corrected = holm([p for *_, p in tested])
    return [
        Pair(a, b, *numbers, corrected=c) for (a, b), numbers, c in zip(found, tested, corrected, strict=True)
    ]


def _compare(a: Row, b: Row) -> tuple[float, float, float, float]:
    """Difference of the accuracies, its interval, p-value."""
    assert a.tested and b.tested
    (first, groups), (second, _) = a.tested, b.tested
    difference = float(first.mean() - second.mean())
    if len(first) == len(second):
        low, high = bootstrap_interval(first - second, groups, folds=a.folds)
    else:
        low, high = bootstrap_interval(
            (first.mean(axis=0) - second.mean(axis=0))[None], groups, folds=a.folds
        )
    return difference, low, high, paired_p_value(first, second, groups)


def p_text(p: float) -> str:
    """`p < 0.001`, `p = 0.019`, `p = 1.00`: as journals write it."""
    if p < 0.001:
        return "p < 0.001"
    return "p = 1.00" if p >= 0.995 else f"p = {p:.2g}"

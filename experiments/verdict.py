"""Which recipes can be told apart on the same test images, and which one to take."""

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

from cnnzoo.evaluation.statistics import bootstrap_interval, holm, paired_p_value
from experiments.table import Row, split_kind
from experiments.text import human_count, human_time, number

SIGNIFICANT = 0.05
SAME_SPEED = 1.25  # times per image are not told apart below this ratio: the machine's noise is as large


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


@dataclass(frozen=True)
class Verdict:
    """On one test set: the rows compared, best first, their pairs, the row to take and why, in sentences."""

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    chosen: Row
    sentences: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All that there is to say, as a paragraph."""
        return " ".join(self.sentences)

    @property
    def recommendation(self) -> str:
        """What to take, in a sentence."""
        return next((line for line in self.sentences if line.startswith("Take ")), self.sentences[0])


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Returns a verdict for each test set that finished rows share.

    Where rows differ in the number of training images, those with the most are compared.
    """
    return list(_verdicts(tuple(rows)))


@lru_cache(maxsize=4)  # terminal, Markdown, LaTeX and page ask, and hundreds of bootstraps take a while
def _verdicts(rows: tuple[Row, ...]) -> tuple[Verdict, ...]:
    sets: dict[Hashable, list[Row]] = {}
    for row in rows:
        if row.predictions:
            sets.setdefault(row.test_set, []).append(row)
    found = []
    for together in sets.values():
        most = max(row.images("train") for row in together)
        found.append(_verdict([row for row in together if row.images("train") == most]))
    return tuple(found)


def _verdict(rows: Sequence[Row]) -> Verdict:
    ranked = sorted(rows, key=lambda row: -(row.average("test_accuracy") or 0))
    pairs = _pairs(ranked)
    # Worse than the best, or than another that can't be told from it.
    worse = {pair.second.name for pair in pairs if pair.apart}
    equal = [row for row in ranked if row.name not in worse]
    chosen = cheapest(equal)
    return Verdict(tuple(ranked), tuple(pairs), chosen, tuple(_sentences(ranked, pairs, equal, chosen)))


def _pairs(rows: Sequence[Row]) -> list[Pair]:
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
        low, high = bootstrap_interval(first - second, groups)
    else:
        low, high = bootstrap_interval((first.mean(axis=0) - second.mean(axis=0))[None], groups)
    return difference, low, high, paired_p_value(first, second, groups)


def cheapest(rows: Sequence[Row]) -> Row:
    """The fastest at 32 images; of those about as fast the one that trains fastest."""
    speeds = {row.name: _speed(row, rows) for row in rows}
    near = [row for row in rows if speeds[row.name] <= SAME_SPEED * min(speeds.values())]
    return min(near, key=lambda row: row.average("train_seconds") or 0)


def _speed(row: Row, rows: Sequence[Row]) -> float:
    """Milliseconds an image, the best that was measured of the same network, however it was trained."""
    same = [other for other in rows if _network(other) == _network(row)]
    return min(other.average("ms_per_image_32") or 0.0 for other in same)


def _network(row: Row) -> tuple[Any, ...]:
    config = row.first.config
    return tuple(config.get(key) for key in ("model", "image_size", "arguments"))


def _sentences(
    ranked: Sequence[Row], pairs: Sequence[Pair], equal: Sequence[Row], chosen: Row
) -> Iterator[str]:
    best, images = ranked[0], f"{ranked[0].results[0].test_images:,} test images"
    if len(ranked) == 1:
        yield (
            f"Only {best.name} was tested: accuracy {_accuracy(best)} on {images}; there is nothing to "
            "compare it with."
        )
        return
    if len(equal) == 1 and all(pair.apart for pair in pairs if pair.first is best):
        yield from _clear_winner(best, next(pair for pair in pairs if pair.first is best), images)
    else:
        yield from _tie(ranked, pairs, equal, chosen, images)
    if any(len(row.results) == 1 for row in ranked):
        yield "One seed says nothing of another initialisation; --seeds 0,1,2 does."


def _clear_winner(best: Row, next_best: Pair, images: str) -> Iterator[str]:
    yield (
        f"Take {best.name}: accuracy {_accuracy(best)} on {images}, more than every other recipe; the next, "
        f"{next_best.second.name}, has {_points(next_best)} less ({_p(next_best)})."
    )
    yield f"It costs {_cost(best, [best])}."


def _tie(
    ranked: Sequence[Row], pairs: Sequence[Pair], equal: Sequence[Row], chosen: Row, images: str
) -> Iterator[str]:
    best = ranked[0]
    of_best = {pair.second.name: pair for pair in pairs if pair.first is best}
    if len(equal) > 1:
        yield (
            f"{_list([row.name for row in equal])} can't be told apart on {images} "
            f"({_why_equal([of_best[row.name] for row in equal if row is not best])})."
        )
        cost = _cost(chosen, equal)
        yield (
            f"Take {chosen.name}, the cheapest of those that can't be told from the best: accuracy "
            f"{_accuracy(chosen)}, {cost}."
        )
    else:
        yield f"Take {best.name}: accuracy {_accuracy(best)} on {images}, {_cost(best, equal)}."
    if chosen is not best:
        more = _points(of_best[chosen.name])
        yield f"{best.name} has {more} more, within chance, and costs {_cost(best, equal)}."
    worse: dict[str, list[str]] = {}
    for row in ranked:
        if row not in equal:
            pair = next(pair for pair in pairs if pair.second is row and pair.apart)
            worse.setdefault(pair.first.name, []).append(f"{row.name} by {_points(pair)} ({_p(pair)})")
    for name, others in worse.items():
        yield f"Worse than {name}: {_list(others)}."


def _why_equal(pairs: Sequence[Pair]) -> str:
    closest = min(pair.corrected for pair in pairs)
    if closest < SIGNIFICANT:
        return "over other seeds and images the difference may be none"
    return f"p ≥ {closest:.2g} against {pairs[0].first.name}, corrected"


def _points(pair: Pair) -> str:
    return f"{number(100 * pair.difference, 2)} percentage points"


def _accuracy(row: Row) -> str:
    low, high = row.interval or (0, 1)
    return f"{number(row.average('test_accuracy'), 4)} ({low:.4f} to {high:.4f})"


def _cost(row: Row, rows: Sequence[Row]) -> str:
    return (
        f"{number(_speed(row, rows), 2)} ms an image, "
        f"{human_time(row.average('train_seconds'))} of training, "
        f"{human_count(row.average('total_params'))} parameters"
    )


def _p(pair: Pair) -> str:
    return "p < 0.001" if pair.corrected < 0.001 else f"p = {pair.corrected:.2g}"


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def learning_curves(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of one recipe and data that differ in the number of training images, fewest first."""
    curves: dict[str, list[Row]] = {}
    for row in rows:
        if row.results:
            split = row.first.data.get("split", {})
            kind = {k: v for k, v in split.items() if k not in ("train_size", "leaked")}
            key = json.dumps([row.first.recipe, row.first.data.get("fingerprint"), kind, row.first.weights])
            curves.setdefault(key, []).append(row)
    long = [
        sorted(curve, key=lambda row: row.images("train"))
        for curve in curves.values()
        if len({row.images("train") for row in curve}) > 1
    ]
    several = len({curve[0].first.recipe for curve in long}) < len(long)
    return {
        f"{curve[0].first.recipe} ({split_kind(curve[0])})" if several else curve[0].first.recipe: curve
        for curve in long
    }

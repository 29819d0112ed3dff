"""Which recipes can be told apart on the same test images, and which one to take."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from cnnzoo.evaluation.statistics import bootstrap_interval, holm, paired_p_value
from experiments.reporting.rows import Row
from experiments.style.text import human_count, human_time, number

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
class Cost:
    """Milliseconds an image, seconds of training, parameters."""

    ms_per_image: float
    train_seconds: float | None
    parameters: float | None

    def __str__(self) -> str:
        return (
            f"{number(self.ms_per_image, 2)} ms an image, {human_time(self.train_seconds)} of training, "
            f"{human_count(self.parameters)} parameters"
        )


@dataclass(frozen=True)
class Verdict:
    """What the rows of one test set come to.

    Attributes:
        rows: those compared, the best first.
        pairs: of them, with what tells them apart.
        equal: the rows that can't be told from the best.
        chosen: the one to take, the cheapest of these.
        cost: of the one to take.
        difference: what it is from the next best, or from the best where that is another; None for one row.
    """

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    equal: tuple[Row, ...]
    chosen: Row
    cost: Cost
    difference: Pair | None

    @property
    def best(self) -> Row:
        return self.rows[0]

    @property
    def clear(self) -> bool:
        """Whether the best one is better than every other."""
        return len(self.equal) == 1 and all(pair.apart for pair in self.pairs if pair.first is self.best)

    @cached_property
    def recommendation(self) -> str:
        """What to take, in a sentence."""
        if len(self.rows) == 1:
            return (
                f"Only {self.best.name} was tested: accuracy {_accuracy(self.best)} on {_images(self)}; "
                "there is nothing to compare it with."
            )
        if self.clear and self.difference is not None:
            return (
                f"Take {self.best.name}: accuracy {_accuracy(self.best)} on {_images(self)}, more than every "
                f"other recipe; the next, {self.difference.second.name}, has {_points(self.difference)} less "
                f"({_p(self.difference)})."
            )
        if len(self.equal) > 1:
            return (
                f"Take {self.chosen.name}, the cheapest of those that can't be told from the best: accuracy "
                f"{_accuracy(self.chosen)}, {self.cost}."
            )
        return f"Take {self.best.name}: accuracy {_accuracy(self.best)} on {_images(self)}, {self.cost}."

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """All that there is to say: what can't be told apart, what to take, what is worse."""
        return tuple(_sentences(self))

    @property
    def sentence(self) -> str:
        """All of it, as a paragraph."""
        return " ".join(self.sentences)


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Returns a verdict for each test set that finished rows share.

    Where rows differ in the number of training images, those with the most are compared.
    """
    sets: dict[Hashable, list[Row]] = {}
    for row in rows:
        if row.predictions:
            sets.setdefault(row.test_set, []).append(row)
    found = []
    for together in sets.values():
        most = max(row.images("train") for row in together)
        found.append(_verdict([row for row in together if row.images("train") == most]))
    return found


def _verdict(rows: Sequence[Row]) -> Verdict:
    ranked = sorted(rows, key=lambda row: -(row.average("test_accuracy") or 0))
    pairs = _pairs(ranked)
    # Worse than the best, or than another that can't be told from it.
    worse = {pair.second.name for pair in pairs if pair.apart}
    equal = [row for row in ranked if row.name not in worse]
    chosen = cheapest(equal)
    of_best = [pair for pair in pairs if pair.first is ranked[0]]
    difference = next((pair for pair in of_best if pair.second is chosen), of_best[0] if of_best else None)
    return Verdict(tuple(ranked), tuple(pairs), tuple(equal), chosen, _cost(chosen, equal), difference)


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


def _sentences(verdict: Verdict) -> Iterator[str]:
    if len(verdict.rows) == 1:
        yield verdict.recommendation
        return
    if verdict.clear:
        yield verdict.recommendation
        yield f"It costs {verdict.cost}."
    else:
        yield from _tie(verdict)
    if any(len(row.results) == 1 for row in verdict.rows):
        yield "One seed says nothing of another initialisation; --seeds 0,1,2 does."


def _tie(verdict: Verdict) -> Iterator[str]:
    best, equal = verdict.best, verdict.equal
    if len(equal) > 1:
        of_best = {pair.second.name: pair for pair in verdict.pairs if pair.first is best}
        yield (
            f"{_list([row.name for row in equal])} can't be told apart on {_images(verdict)} "
            f"({_why_equal([of_best[row.name] for row in equal if row is not best])})."
        )
    yield verdict.recommendation
    if verdict.chosen is not best and verdict.difference is not None:
        more = _points(verdict.difference)
        yield f"{best.name} has {more} more, within chance, and costs {_cost(best, equal)}."
    worse: dict[str, list[str]] = {}
    for row in verdict.rows:
        if row not in equal:
            pair = next(pair for pair in verdict.pairs if pair.second is row and pair.apart)
            worse.setdefault(pair.first.name, []).append(f"{row.name} by {_points(pair)} ({_p(pair)})")
    for name, others in worse.items():
        yield f"Worse than {name}: {_list(others)}."


def _images(verdict: Verdict) -> str:
    return f"{verdict.best.results[0].test_images:,} test images"


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


def _cost(row: Row, rows: Sequence[Row]) -> Cost:
    return Cost(_speed(row, rows), row.average("train_seconds"), row.average("total_params"))


def _p(pair: Pair) -> str:
    return "p < 0.001" if pair.corrected < 0.001 else f"p = {pair.corrected:.2g}"


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]

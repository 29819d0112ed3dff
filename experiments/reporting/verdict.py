"""Which recipe to take on a test set, or why its images don't decide that."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cnnzoo.errors import printable
from experiments.reporting.pairs import SIGNIFICANT, Pair, p_text, pairs_of
from experiments.reporting.rows import Row
from experiments.style.text import few_listed, human_count, human_time, listed, number

SAME_SPEED = 1.25  # times per image below this ratio count as equal: the machine's noise is as large

# Where nothing differs significantly, fewer test images of a class than this, or a wider 95 % interval of the
# best recipe, decide nothing: one image more or less would move a class's recall by a tenth and more, or a
# recipe that is a tenth worse could look the same.
FEW_OF_A_CLASS = 10
WIDE_INTERVAL = 0.1
# Where the test images come from fewer groups than this, that is why the interval is wide.
FEW_GROUPS = 30


@dataclass(frozen=True)
class TooFew:
    """Why the test images decide nothing.

    Attributes:
        between: the rows that remain.
        rarest: the class with the fewest test images, `rarest_images` of them.
        interval: the 95 % interval of the accuracy of the best.
        folder_images: about how many images of the rarest class the data would need, so that
            `FEW_OF_A_CLASS` of them are for testing; None where it has enough.
        times: how many times as many test images would narrow the interval to `WIDE_INTERVAL`; None where it
            is narrower.
        groups: how many groups the test images come from, where the interval is wide for want of them.
    """

    between: tuple[Row, ...]
    rarest: str
    rarest_images: int
    interval: tuple[float, float]
    folder_images: int | None
    times: int | None
    groups: int | None

    @property
    def noun(self) -> str:
        """What there is too little of."""
        return "images" if self.groups is None else "independent images"

    @property
    def why(self) -> str:
        found = []
        if self.folder_images is not None:
            count = self.rarest_images
            show = f"test image{'s' * (count != 1)} show{'s' * (count == 1)}"
            found.append(f"only {count} {show} {printable(self.rarest)}")
        if self.groups is not None:
            come = f"come from only {self.groups} groups" if self.groups > 1 else "all come from one group"
            images = self.between[0].results[0].test_images
            found.append(f"the {images:,} test images {come} (photographs or runs of neighbouring files)")
        if self.times is not None:
            low, high = self.interval
            found.append(
                f"the 95 % interval of {self.between[0].name} spans {low:.2f} to {high:.2f}"
                if len(self.between) > 1
                else f"the 95 % interval spans {low:.2f} to {high:.2f}"
            )
        return listed(found)

    @property
    def help(self) -> str:
        """What would help, as a sentence."""
        found = []
        if self.folder_images is not None:
            found.append(
                f"about {self.folder_images:,} images of {printable(self.rarest)} in the data, so that "
                f"{FEW_OF_A_CLASS} of them are test images"
            )
        if self.groups is not None:
            found.append("images of many more objects or places, rather than more of the same ones")
        elif self.times is not None:
            # Of a hardly trained network the extrapolation is no advice.
            more = f"about {self.times} times as many" if self.times <= 10 else "many more"
            found.append(f"{more} test images of other objects or places")
        return f"What would help: {'; and '.join(found)}."


@dataclass(frozen=True)
class Verdict:
    """What the rows of one test set come to.

    Attributes:
        rows: those compared, the most accurate first.
        pairs: of them, with what distinguishes them.
        working: the rows that may be recommended: none that never predicts a class, where there are others.
        equal: the working rows that don't differ significantly from the best of them.
        chosen: the one to take, the cheapest of these; None where none works, or the images decide nothing.
        too_few: why they decide nothing, else None.
        difference: what `chosen` is from the next best, or from the best where that is another.
        ended: the rows that a budget ended before their test, of the same data.
    """

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    working: tuple[Row, ...]
    equal: tuple[Row, ...]
    chosen: Row | None
    too_few: TooFew | None
    difference: Pair | None
    ended: tuple[Row, ...] = ()

    @property
    def best(self) -> Row:
        return (self.working or self.rows)[0]

    @property
    def on(self) -> str:
        """The surface that these rows left out, where they did, as the beginning of a paragraph."""
        left_out = self.best.first.data.split.left_out
        return f"{printable(left_out)}, left out of training: " if left_out else ""

    @property
    def broken(self) -> list[Row]:
        """The rows that never predict a class."""
        return [row for row in self.rows if row.never_predicted]

    @property
    def clear(self) -> bool:
        """Whether the best one is better than every other that works."""
        of_best = [pair for pair in self.pairs if pair.first is self.best and pair.second in self.working]
        return len(self.equal) == 1 and len(of_best) > 0 and all(pair.apart for pair in of_best)

    @cached_property
    def recommendation(self) -> str:
        """What to take, or why nothing, in a sentence."""
        return _recommendation(self)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """All that there is to say: what doesn't differ, what to take, what is worse."""
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
        verdict = _verdict([row for row in together if row.images("train") == most])
        budgets = {row.budget for row in verdict.rows}
        ended = [
            row for row in rows if row.ended_early and _same_data(row, together[0]) and row.budget in budgets
        ]
        found.append(replace(verdict, ended=tuple(ended)))
    return found


def _same_data(row: Row, other: Row) -> bool:
    return (
        row.first.data.fingerprint == other.first.data.fingerprint
        and row.first.data.split == other.first.data.split
    )


def _verdict(rows: Sequence[Row]) -> Verdict:
    ranked = sorted(rows, key=lambda row: -(row.average("test_accuracy") or 0))
    pairs = pairs_of(ranked)
    usable = working(ranked)
    among = [pair for pair in pairs if pair.first in usable and pair.second in usable]
    # Worse than the best, or than another that is on par with it.
    worse = {pair.second.name for pair in among if pair.apart}
    equal = [row for row in usable if row.name not in worse]
    too_few = _too_few(equal) if usable and not any(pair.apart for pair in among) else None
    chosen = cheapest(equal) if usable and too_few is None else None
    of_best = [pair for pair in among if pair.first is usable[0]]
    difference = next((pair for pair in of_best if pair.second is chosen), of_best[0] if of_best else None)
    return Verdict(tuple(ranked), tuple(pairs), tuple(usable), tuple(equal), chosen, too_few, difference)


def working(ranked: Sequence[Row]) -> list[Row]:
    """The rows that predict every class; of many classes, where no row does, those that beat a guess."""
    whole = [row for row in ranked if not row.never_predicted]
    if whole or len(ranked[0].class_names) == 2:
        return whole
    return [row for row in ranked if (row.average("test_accuracy") or 0) > row.majority[1]]


def _too_few(equal: Sequence[Row]) -> TooFew | None:
    best = equal[0]
    counts, (low, high) = best.first.data.images.get("test", {}), best.interval or (0.0, 1.0)
    rarest = min(counts, key=lambda name: counts[name], default="")
    few, wide = counts.get(rarest, FEW_OF_A_CLASS) < FEW_OF_A_CLASS, high - low > WIDE_INTERVAL
    if not few and not wide:
        return None
    share = (best.first.data.split.fractions or (0.1,))[-1]
    groups = best.test_groups or best.results[0].test_images
    return TooFew(
        between=tuple(equal),
        rarest=rarest,
        rarest_images=counts.get(rarest, 0),
        interval=(low, high),
        folder_images=math.ceil(FEW_OF_A_CLASS / share - 1e-9) if few else None,
        # A width falls with the root of the number of images.
        times=math.ceil(((high - low) / WIDE_INTERVAL) ** 2) if wide else None,
        groups=groups if wide and groups < min(FEW_GROUPS, best.results[0].test_images) else None,
    )


def cheapest(rows: Sequence[Row]) -> Row:
    """The fastest at 32 images; of those about as fast the one that trains fastest."""
    speeds = {row.name: _speed(row, rows) for row in rows}
    near = [row for row in rows if speeds[row.name] <= SAME_SPEED * min(speeds.values())]
    return min(near, key=lambda row: row.average("train_seconds") or 0)


def _speed(row: Row, rows: Sequence[Row]) -> float:
    """Milliseconds an image, the best that was measured of the same network, however it was trained.

    For the choice alone: a sentence says what the row's own runs measured, as the table does.
    """
    same = [other for other in rows if _network(other) == _network(row)]
    return min(other.average("ms_per_image_32") or 0.0 for other in same)


def _network(row: Row) -> tuple[Any, ...]:
    config = row.first.config
    return tuple(config.get(key) for key in ("model", "image_size", "arguments"))


def _recommendation(verdict: Verdict) -> str:
    best, chosen = verdict.best, verdict.chosen
    if not verdict.working:
        return f"No recipe can be recommended: {_broken(verdict)}."
    if verdict.too_few is not None:
        task = "decide between" if len(verdict.equal) > 1 else "judge"
        names = listed([row.name for row in verdict.equal])
        return f"Too few {verdict.too_few.noun} to {task} {names}: {verdict.too_few.why}."
    if len(verdict.rows) == 1:
        return (
            f"Only {best.name} was tested: accuracy {_accuracy(best)} on {_images(verdict)}; "
            "there is nothing to compare it with."
        )
    assert chosen is not None
    if verdict.clear and verdict.difference is not None:
        next_best = verdict.difference
        return (
            f"Recommended: {best.name}, significantly more accurate than every other recipe: "
            f"{_accuracy(best)} on {_images(verdict)}. The next, {next_best.second.name}, scores "
            f"{next_best.points} lower ({p_text(next_best.corrected)})."
        )
    if len(verdict.equal) > 1:
        return (
            f"Recommended: {chosen.name}, the cheapest recipe statistically on par with the best: accuracy "
            f"{_accuracy(chosen)}, {cost(chosen)}."
        )
    return (
        f"Recommended: {chosen.name}, with an accuracy of {_accuracy(chosen)} on {_images(verdict)}, "
        f"{cost(chosen)}."
    )


def _sentences(verdict: Verdict) -> Iterator[str]:
    if len(verdict.equal) > 1 and verdict.too_few is None:
        yield _on_par(verdict)
    yield verdict.recommendation
    if verdict.too_few is not None:
        yield verdict.too_few.help
    elif verdict.clear and verdict.chosen is not None:
        yield f"It takes {cost(verdict.chosen)}."
    yield from _beside_the_best(verdict)
    yield from _worse(verdict)
    yield from _warnings(verdict)
    yield from _within_budget(verdict)
    if len(verdict.rows) > 1 and any(len(row.results) == 1 for row in verdict.rows):
        yield "One seed can't show run-to-run variation; --seeds 0,1,2 can."


def _on_par(verdict: Verdict) -> str:
    of_best = {pair.second.name: pair for pair in verdict.pairs if pair.first is verdict.best}
    others = [of_best[row.name] for row in verdict.equal if row is not verdict.best]
    names = listed([row.name for row in verdict.equal])
    return f"No significant difference on {_images(verdict)} between {names} ({_why_equal(others)})."


def _why_equal(pairs: Sequence[Pair]) -> str:
    closest = min(pair.corrected for pair in pairs)
    if closest < SIGNIFICANT:
        return "the 95 % interval of the difference includes zero"
    said = p_text(closest).replace("=", "≥") if len(pairs) > 1 and closest < 0.995 else p_text(closest)
    return f"{said} against {pairs[0].first.name}, Holm-corrected"


def _beside_the_best(verdict: Verdict) -> Iterator[str]:
    """What the best costs, where another one is recommended."""
    best, chosen, difference = verdict.best, verdict.chosen, verdict.difference
    if chosen is None or chosen is best or difference is None:
        return
    yield (
        f"The best, {best.name}, scores {difference.points} higher, which is within chance, and takes "
        f"{cost(best)}."
    )
    if _network(best) == _network(chosen):
        yield "Both are the same network, so their times per image differ by measurement noise alone."


def _worse(verdict: Verdict) -> Iterator[str]:
    worse: dict[str, list[str]] = {}
    if verdict.clear:
        return
    for row in verdict.working:
        if row not in verdict.equal:
            pair = next(
                pair
                for pair in verdict.pairs
                if pair.second is row and pair.apart and pair.first in verdict.working
            )
            said = f"{row.name} by {pair.points} ({p_text(pair.corrected)})"
            worse.setdefault(pair.first.name, []).append(said)
    for name, others in worse.items():
        yield f"Significantly worse than {name}: {listed(others)}."


def _within_budget(verdict: Verdict) -> Iterator[str]:
    """What the verdict rests on, where the recipes had a budget."""
    budgets = sorted({row.budget for row in verdict.rows if row.budget})
    if not budgets:
        return
    minutes = listed([f"{budget:g}" for budget in budgets])
    said = f"This holds within a budget of {minutes} minutes for all recipes together (--budget)"
    ended = listed([row.name for row in verdict.ended])
    were = "were" if len(verdict.ended) > 1 else "was"
    yield f"{said}; {ended} {were} ended early, by validation loss, and not tested." if ended else f"{said}."


def _warnings(verdict: Verdict) -> Iterator[str]:
    """That a recipe never predicts a class, that times don't compare, that a constant answer is as good."""
    broken = verdict.broken
    if broken and verdict.working:
        yield f"{'Note that' if set(broken) & set(verdict.working) else 'Not usable:'} {_broken(verdict)}."
    if len({tuple(row.at_once) for row in verdict.working}) > 1:
        yield "Their times were measured with different numbers of runs at a time (--jobs) and don't compare."
    name, share = verdict.best.majority
    if verdict.working and (verdict.best.average("test_accuracy") or 0) <= share:
        constant = "That is" if broken else f"Always answering {printable(name)} would score {share:.4f},"
        yield f"{constant} no less than the accuracy of {verdict.best.name}."


def _broken(verdict: Verdict) -> str:
    """`a and b never predict crack; always answering sound would score 0.9688`."""
    by_class: dict[str, list[str]] = {}
    for row in verdict.broken:
        by_class.setdefault(few_listed(row.never_predicted), []).append(row.name)
    said = [
        f"{listed(names)} never predict{'s' if len(names) == 1 else ''} {classes}"
        for classes, names in by_class.items()
    ]
    name, share = verdict.rows[0].majority
    return f"{'; '.join(said)} (always answering {printable(name)} would score {share:.4f})"


def _images(verdict: Verdict) -> str:
    return f"{verdict.best.results[0].test_images:,} test images"


def _accuracy(row: Row) -> str:
    low, high = row.interval or (0, 1)
    return f"{number(row.average('test_accuracy'), 4)} ({low:.4f} to {high:.4f})"


def cost(row: Row) -> str:
    """What the row's own runs measured, as the table has it."""
    return (
        f"{number(row.average('ms_per_image_32'), 2)} ms per image, "
        f"{human_time(row.average('train_seconds'))} of training, "
        f"{human_count(row.average('total_params'))} parameters"
    )

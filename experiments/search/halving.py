"""`compare --budget`: successive halving over recipes, by the clock (Jamieson & Talwalkar 2016).

keras-tuner's Hyperband counts epochs, of which one network makes ten while another makes one, and draws the
settings that it tries. Here what competes is given, and in a round all have the same time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from statistics import fmean

from cnnzoo.errors import InputError
from cnnzoo.training.config import Epoch
from experiments.runs.records import RunRecord, kept_epoch
from experiments.runs.spec import Round, RunSpec
from experiments.style.text import human_time, listed

FINALISTS = 2  # what a verdict takes at least

# Makes the runs of a round, which the text names, and returns the record of each.
RunRound = Callable[[list[RunSpec], str], list[RunRecord]]


@dataclass(eq=False)
class Contender:
    """A recipe with what is known of it.

    Attributes:
        specs: its runs as they would be without a budget, one for each seed.
        loss: the mean over its runs of the validation loss in the round before.
        overhead: seconds of a run that are not its epochs'.
        epoch_seconds: of one epoch in each phase, with its validation.
    """

    specs: list[RunSpec]
    loss: float = 0.0
    overhead: float = 0.0
    epoch_seconds: tuple[float, ...] = ()

    def seconds_for(self, epochs: int) -> float:
        """Returns what a run takes of at most so many epochs in each phase, by what was measured."""
        phases = replace(self.specs[0], epochs=epochs).resolved_recipe().config.phases
        return self.overhead + sum(
            phase.epochs * seconds for phase, seconds in zip(phases, self.epoch_seconds, strict=True)
        )

    def epochs_in(self, seconds: float) -> int:
        """Returns the most epochs in each phase that fit; 0 where none does."""
        phases = self.specs[0].resolved_recipe().config.phases
        most = max(phase.epochs for phase in phases)
        return max((n for n in range(1, most + 1) if self.seconds_for(n) <= seconds), default=0)

    def learn(self, records: Sequence[RunRecord]) -> bool:
        """Takes what a round measured; returns whether that is enough to go on."""
        if not records or not all(record.history for record in records):
            return False
        epochs = [epoch for record in records for epoch in record.history]
        phases = sorted({epoch.phase for epoch in epochs})
        self.loss = fmean(kept_epoch(record.history, record.config).val_loss for record in records)
        self.overhead = fmean(record.seconds - sum(map(_seconds, record.history)) for record in records)
        self.epoch_seconds = tuple(
            fmean(_seconds(epoch) for epoch in epochs if epoch.phase == phase) for phase in phases
        )
        return all(record.ended_early for record in records)


def _seconds(epoch: Epoch) -> float:
    return epoch.seconds + epoch.validation_seconds


def field_sizes(recipes: int) -> list[int]:
    """Returns how many recipes each round trains; the first one times an epoch of each, and ranks none."""
    sizes = [recipes, recipes]
    while sizes[-1] > FINALISTS:
        sizes.append(-(-sizes[-1] // 2))
    return sizes


def run_rounds(specs: Sequence[RunSpec], minutes: float, at_once: int, run: RunRound) -> list[RunSpec]:
    """Makes the rounds of a comparison, and returns the runs of all.

    A round has an equal part of the time that is left, and each of its runs an equal part of that: as many
    epochs, from the start, as fit by what was measured before, so that a schedule ends with its training.
    The recipes of lowest validation loss, the mean over the seeds, go on. The last round alone is tested.

    Args:
        specs: the runs as they would be without a budget: recipes x seeds.
        minutes: of wall-clock, for what is trained in all rounds.
        at_once: how many runs go at a time.
        run: makes the runs of a round.

    Raises:
        InputError: no recipe trains an epoch in its part.
    """
    by_recipe: dict[str, list[RunSpec]] = {}
    for spec in specs:
        by_recipe.setdefault(spec.recipe.name, []).append(spec)
    left = [Contender(own) for own in by_recipe.values()]
    sizes, rest, asked = field_sizes(len(left)), 60 * minutes * at_once, list[RunSpec]()
    for number, size in enumerate(sizes):
        left, last = sorted(left, key=lambda contender: contender.loss)[:size], number == len(sizes) - 1
        runs = sum(len(contender.specs) if number else 1 for contender in left)
        share = rest / (len(sizes) - number) / runs
        plans = [_planned(contender, share, Round(minutes, number, last, run="")) for contender in left]
        together = list(chain(*plans))
        what = "tested in the end" if last else "the better ones go on" if number else "an epoch of each"
        names = listed([contender.specs[0].recipe.name for contender in left])
        title = f"Round {number + 1} of {len(sizes)}, {human_time(share)} a run, {what}: {names}"
        records = run(together, title) if together else []
        asked += together
        rest -= sum(record.seconds for record in records)
        own = iter(records)
        left = [each for each, plan in zip(left, plans, strict=True) if each.learn([*islice(own, len(plan))])]
        if not together or (not left and any(record.ended_early for record in records)):
            raise InputError(
                f"--budget {minutes:g}: too short: no recipe trains an epoch in the {share:.0f} s that a run "
                f"has in round {number + 1} of {len(sizes)}; give more minutes, fewer recipes or fewer seeds"
            )
        if not left:  # all are tested, or have failed
            break
    return asked


def _planned(contender: Contender, seconds: float, this: Round) -> list[RunSpec]:
    """The runs of a recipe in a round: in the first, which has nothing to go by, ended when time is up."""
    first = this.number == 0
    epochs = 1 if first else contender.epochs_in(seconds)
    if not epochs:
        return []
    return [
        replace(
            spec, epochs=epochs, round=replace(this, run=spec.identity), seconds=seconds if first else None
        )
        for spec in (contender.specs[:1] if first else contender.specs)
    ]

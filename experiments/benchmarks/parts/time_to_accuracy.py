"""Seconds of training until the validation images are told apart, by recipe."""

import statistics
from collections.abc import Iterator, Sequence

from experiments.benchmarks.compared import finished_of, machine_of, seconds_of
from experiments.benchmarks.registry import Request, Tell
from experiments.benchmarks.rows import Row
from experiments.runs.records import RunRecord, RunResult

ACCURACIES = (0.99, 0.995)


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields a row for each recipe and accuracy, from the records of `--runs` or of runs made here."""
    records = finished_of(request, request.recipes, tell)
    for recipe in request.recipes:
        runs = [record for record in records if record.recipe == recipe]
        for accuracy in ACCURACIES if runs else ():
            yield row(recipe, runs, accuracy)


def row(recipe: str, runs: Sequence[RunRecord], accuracy: float) -> Row:
    """Returns the median over the runs that reach an accuracy, and says how many those are."""
    reached = [found for run in runs if run.result and (found := seconds_until(run.result, accuracy))]
    name = f"{recipe}: until {accuracy:.1%} of the validation images are right"
    best = max(epoch.val_accuracy for run in runs if run.result for epoch in run.result.history)
    if not reached:
        return Row(name, None, "s", note=f"not reached by {_counted(runs)}: at most {best:.4%}")
    epochs = "/".join(str(epoch) for epoch, _, _ in reached)
    whole = statistics.median(whole for _, _, whole in reached)
    note = (
        f"in epoch {epochs}; {whole:,.0f} s from the start of the process; {len(reached)} of "
        f"{_counted(runs)}, {runs[0].data.name}, {machine_of(runs[0])}"
    )
    return Row(name, statistics.median(s for _, s, _ in reached), "s", less_is_better=True, note=note)


def seconds_until(result: RunResult, accuracy: float) -> tuple[int, float, float] | None:
    """Returns the first epoch that reaches an accuracy, from 1, seconds of training, and those of all.

    All: from the start of the process, with decoding, tracing and validation.
    """
    for count, epoch in enumerate(result.history, 1):
        if epoch.val_accuracy >= accuracy:
            until = result.history[:count]
            training = result.frozen_seconds + sum(done.seconds for done in until)
            before = result.start_seconds + result.decode_seconds + result.frozen_seconds
            return count, training, before + seconds_of(until)
    return None


def _counted(runs: Sequence[RunRecord]) -> str:
    return f"{len(runs)} run{'s' * (len(runs) != 1)}"

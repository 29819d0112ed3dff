"""Whole trainings on a GPU: the seconds and the accuracy of each recipe on a folder of images."""

import statistics
from collections.abc import Iterator, Sequence

from experiments.benchmarks.compared import records_of
from experiments.benchmarks.registry import Request, Tell
from experiments.benchmarks.rows import Row
from experiments.runs.records import RunRecord


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields a row for each recipe, from the records of `--runs` or of runs made here."""
    records = records_of(request, request.recipes, tell)
    for recipe in request.recipes:
        yield row(recipe, [record for record in records if record.recipe == recipe])


def row(recipe: str, runs: Sequence[RunRecord]) -> Row:
    """Returns the median seconds of training; the note has the accuracies, or why there are none."""
    results = [run.result for run in runs if run.result]
    name = f"{recipe}: training"
    if not results:
        return Row(name, None, "s", note=runs[-1].status if runs else "no run of it in --runs")
    environment = runs[0].environment
    apart = statistics.median(
        (result.start_seconds or 0) + (result.tracing_seconds or 0) for result in results
    )
    note = (
        f"test accuracy {', '.join(f'{result.test_accuracy:.4f}' for result in results)} on "
        f"{results[0].test_images:,} images of {runs[0].data.name}; start and compiling {apart:,.0f} s more; "
        f"{environment.get('precision', 'float32')} on {environment.get('device', '?')}"
    )
    seconds = statistics.median(result.train_seconds for result in results)
    return Row(name, seconds, "s", less_is_better=True, note=note)

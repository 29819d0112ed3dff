"""What got faster and what slower since an earlier run of the bench."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.rows import Measurement, Row, times_as_good
from experiments.style.text import few_listed

LEAST_CHANGE = 0.05  # share below which a change is none, however steady the rounds were
MACHINE = ("device", "processor", "cores", "memory_gib")


@dataclass(frozen=True)
class Baseline:
    """An earlier run: the last measurement of each part."""

    measurements: Sequence[Measurement]

    def change(self, measurement: Measurement, row: Row) -> float | None:
        """Returns how many times as good a row is as it was; None where it was not measured.

        On another machine it is the ratio to the rival that is compared: that was measured there too.
        """
        before = self._row(measurement, row)
        if before is None:
            return None
        if self.same_machine(measurement):
            return times_as_good(row.value, before.value, less_is_better=row.less_is_better)
        return times_as_good(row.ratio, before.ratio, less_is_better=False)

    def same_machine(self, measurement: Measurement) -> bool:
        """Whether a part was measured on the machine that it is measured on now."""
        before = self._measurement(measurement)
        return before is None or _machine(before.environment) == _machine(measurement.environment)

    def sentences(self, measurements: Sequence[Measurement]) -> list[str]:
        """Says what got slower or larger by more than its rounds differ, and whether the machine changed."""
        changed = [
            (f"{row.name} ({measurement.part})", change, self._noise(measurement, row))
            for measurement in measurements
            for row in measurement.rows
            if (change := self.change(measurement, row)) is not None
        ]
        worse = sorted((change, name) for name, change, noise in changed if change < 1 - noise)
        told = [_told(worse, len(changed))]
        if not all(map(self.same_machine, measurements)):
            told.append("The baseline is of another machine: compared are the ratios to what stands beside.")
        return told

    def _noise(self, measurement: Measurement, row: Row) -> float:
        before = self._row(measurement, row)
        return max(LEAST_CHANGE, row.noise or 0, (before.noise if before else 0) or 0)

    def _measurement(self, measurement: Measurement) -> Measurement | None:
        return next((before for before in self.measurements if before.key == measurement.key), None)

    def _row(self, measurement: Measurement, row: Row) -> Row | None:
        before = self._measurement(measurement)
        return next((old for old in before.rows if old.name == row.name), None) if before else None


def _told(worse: Sequence[tuple[float, str]], count: int) -> str:
    if not count:
        return "The baseline has none of these rows."
    if not worse:
        return f"None of {count} rows is worse than in the baseline by more than its rounds differ."
    named = few_listed([f"{name}: {change:.2f} times" for change, name in worse], most=len(worse))
    return f"Worse than in the baseline by more than the rounds differ: {named}."


def _machine(environment: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(environment.get(name) for name in MACHINE)

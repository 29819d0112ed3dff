"""Times of things that are done in turns, so that what slows the machine down slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Lap:
    """Wall seconds and processor seconds of doing something once."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Timing:
    """Several laps of the same thing.

    Attributes:
        seconds: the median.
        cores: processor seconds by wall seconds of all laps.
        noise: (longest - shortest) / median.
    """

    seconds: float
    cores: float
    noise: float

    @staticmethod
    def of(laps: Sequence[Lap]) -> "Timing":
        walls = [lap.seconds for lap in laps]
        median = statistics.median(walls)
        return Timing(
            seconds=median,
            cores=sum(lap.cpu_seconds for lap in laps) / sum(walls),
            noise=(max(walls) - min(walls)) / median,
        )

    def for_one_of(self, count: int) -> "Timing":
        """Returns the time for one of the `count` things that a lap did."""
        return replace(self, seconds=self.seconds / count)


def lap(action: Callable[[], object]) -> Lap:
    """Does something once, in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Lap(time.perf_counter() - wall, time.process_time() - cpu)


def in_turns(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Does each thing once to warm up, then all of them in turns; returns their times by name."""
    for action in actions.values():
        action()
    laps: dict[str, list[Lap]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            laps[name].append(lap(action))
    return {name: Timing.of(done) for name, done in laps.items()}

"""The runs of a comparison while it goes: what state each is in, and how long the others will take."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal

from cnnzoo.training.progress import Progress
from experiments.runs.records import RunRecord
from experiments.runs.spec import DataFacts, RunSpec

State = Literal["waiting", "running", "done", "failed", "already done", "stopped"]


@dataclass
class Job:
    """A run that was asked for.

    Attributes:
        spec: what is run.
        title: `[1/12] three_conv-seed0`.
        state: "stopped" is a run that Ctrl-C ended.
        stage: what the running one does now, as `testing`.
        progress: of its training, and `heard`, when that came.
        started: when; times are those of one clock, in seconds.
        seconds: that it took, or where it was done before, the record's sum.
        record: what came of it.
    """

    spec: RunSpec
    title: str
    state: State = "waiting"
    stage: str = "starting"
    progress: Progress | None = None
    heard: float = 0.0
    started: float = 0.0
    seconds: float | None = None
    record: RunRecord | None = None

    @property
    def name(self) -> str:
        return self.spec.run_name

    @cached_property
    def kind(self) -> str:
        """What runs of about the same length share: all but the seed."""
        recipe = self.spec.resolved_recipe()
        return _kind(recipe.name, recipe.as_dict(), self.spec.data, self.spec.at_once)

    def training_left(self, now: float) -> float | None:
        """Seconds of training left, by its own estimate; None while it has none."""
        if self.stage == "testing":
            return 0.0
        if self.progress is None or self.progress.seconds_left is None:
            return None
        return max(0.0, self.progress.seconds_left - (now - self.heard))


def usual_seconds(records: Iterable[RunRecord]) -> dict[str, list[float]]:
    """Returns how long the finished runs took, by kind."""
    seconds: dict[str, list[float]] = {}
    for record in records:
        if (took := seconds_of(record)) is not None:
            kind = _kind(record.recipe, record.config, record.data, record.at_once)
            seconds.setdefault(kind, []).append(took)
    return seconds


def seconds_of(record: RunRecord) -> float | None:
    """Returns how long a run took, nearly: the parts that were measured."""
    done = record.result
    if done is None:
        return None
    around = done.start_seconds + done.decode_seconds + done.test_seconds + (done.tracing_seconds or 0)
    return around + done.train_seconds + done.validation_seconds


def time_left(jobs: Sequence[Job], before: Mapping[str, Sequence[float]], now: float) -> float | None:
    """Returns the seconds until all runs are done, about; None while nothing is known to judge by.

    A run takes as long as the others of its kind did, in this session or `before`, else as long as the one of
    its kind that trains now says, else as the mean of the kinds that are known. As many go at a time as now.
    """
    took = {kind: list(seconds) for kind, seconds in before.items()}
    for job in jobs:
        if job.state == "done" and job.seconds is not None:
            took.setdefault(job.kind, []).append(job.seconds)
        own = job.training_left(now)
        if job.state == "running" and own is not None:
            took.setdefault(job.kind, [now - job.started + own])
    usual = {kind: fmean(seconds) for kind, seconds in took.items()}
    mean = fmean(usual.values()) if usual else None
    running = [job for job in jobs if job.state == "running"]
    waiting = [job for job in jobs if job.state == "waiting"]
    if mean is None:
        return None if running or waiting else 0.0
    # When each place among the running is free.
    free = [
        max(job.training_left(now) or 0.0, usual.get(job.kind, mean) - (now - job.started)) for job in running
    ] or [0.0]
    for job in waiting:
        first = free.index(min(free))
        free[first] += usual.get(job.kind, mean)
    return max(free)


def _kind(recipe: str, config: object, data: DataFacts, at_once: int) -> str:
    return json.dumps([recipe, config, data.images, at_once], sort_keys=True)

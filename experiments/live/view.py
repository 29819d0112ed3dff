"""What a comparison says while it runs: a live view, a line per epoch, JSON lines, or nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cnnzoo.errors import printable
from experiments.cli.say import say
from experiments.live.jobs import Job, seconds_of, time_left, usual_seconds
from experiments.runs import child
from experiments.runs.records import RunRecord


class View:
    """Keeps the state of every run and shows no more than errors: `--quiet`. The others build on it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.jobs: list[Job] = []
        self.before: dict[str, list[float]] = {}
        self.side_by_side = False  # whether several runs have gone at a time
        self.began = clock()

    def say(self, text: str, *, warning: bool = False) -> None:
        """What people may want to know before the runs start."""

    @contextmanager
    def running(self, jobs: list[Job], earlier: Sequence[RunRecord], out: Path) -> Iterator[None]:
        """Shows `jobs` while they are run; the records of `earlier` say how long such runs take."""
        self.jobs, self.before, self.began = jobs, usual_seconds(earlier), self.clock()
        try:
            yield
        finally:
            for job in jobs:
                if job.state == "running":
                    job.state = "stopped"

    def already_done(self, job: Job, record: RunRecord) -> None:
        """This run need not be made."""
        job.record, job.seconds = record, seconds_of(record)
        job.state = "already done"

    def started(self, job: Job) -> None:
        """This run's process is started."""
        job.started = self.clock()
        job.state = "running"
        self.side_by_side |= sum(other.state == "running" for other in self.jobs) > 1

    def heard(self, job: Job, event: child.Event) -> None:
        """A run says how far it is."""
        if event["event"] == "stage":
            job.stage = event["text"]
        elif event["event"] == "note":
            self.note(job, event["text"])
        elif event["event"] == "data":
            self.read(job, event)
        elif event["event"] == "progress":
            job.heard = self.clock()
            job.progress = child.read_progress(event)
            if job.progress.result is not None:
                self.epoch(job)

    def ended(self, job: Job, record: RunRecord) -> None:
        """A run left this record."""
        job.record, job.seconds = record, self.clock() - job.started
        job.state = "done" if record.ok or record.ended_early else "failed"
        if job.state == "failed":
            self.failed(job, record)

    def read(self, job: Job, event: child.Event) -> None:
        """A run has its images."""

    def note(self, job: Job, text: str) -> None:
        """There is something to know of a run."""

    def epoch(self, job: Job) -> None:
        """A run has ended an epoch."""

    def failed(self, job: Job, record: RunRecord) -> None:
        """A run has failed."""
        say(f"{printable(job.title)}: {printable(record.status)}", warning=True)

    def time_left(self) -> float | None:
        """Seconds until all runs are done, about; None while nothing is known."""
        return time_left(self.jobs, self.before, self.clock())


class People(View):
    """What is alike for people with and without a terminal."""

    def say(self, text: str, *, warning: bool = False) -> None:
        say(text, warning=warning)

    def note(self, job: Job, text: str) -> None:
        self.say(f"{job.title}: {text}")

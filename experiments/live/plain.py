"""Without a terminal: a line as a run starts and ends."""

import sys

from experiments.live.jobs import Job
from experiments.live.view import People
from experiments.runs import child
from experiments.runs.records import RunRecord
from experiments.style.text import start_of


class Lines(People):
    """Without a terminal: a line as a run starts and ends, and on stderr one per epoch."""

    def already_done(self, job: Job, record: RunRecord) -> None:
        super().already_done(job, record)
        self.say(f"{job.title}: already done")

    def started(self, job: Job) -> None:
        super().started(job)
        self.say(f"{job.title}: starting from {start_of(job.spec.weights)}")

    def read(self, job: Job, event: child.Event) -> None:
        self.say(self._whose(job) + child.data_line(event))

    def epoch(self, job: Job) -> None:
        assert job.progress is not None
        print(self._whose(job) + job.progress.line(), file=sys.stderr, flush=True)

    def ended(self, job: Job, record: RunRecord) -> None:
        super().ended(job, record)
        if job.state == "done":
            self.say(f"{job.title}: {record.accuracy_line}")

    def _whose(self, job: Job) -> str:
        """What tells the lines of runs apart that go at the same time."""
        return f"{job.title}: " if self.side_by_side else ""

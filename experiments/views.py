"""What a comparison says while it runs: a live view, a line per epoch, JSON lines, or nothing."""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import events, plan
from experiments.jobs import Job, seconds_of, time_left, usual_seconds
from experiments.records import RUNS_FILE, RunRecord

if TYPE_CHECKING:
    from experiments.table import Row


class View:
    """Keeps the state of every run and shows no more than errors: `--quiet`. The others build on it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.jobs: list[Job] = []
        self.before: dict[str, list[float]] = {}
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

    def heard(self, job: Job, event: events.Event) -> None:
        """A run says how far it is."""
        if event["event"] == "stage":
            job.stage = event["text"]
        elif event["event"] == "data":
            self.read(event)
        elif event["event"] == "progress":
            job.heard = self.clock()
            job.progress = events.read_progress(event)
            if job.progress.result is not None:
                self.epoch(job)

    def ended(self, job: Job, record: RunRecord) -> None:
        """A run left this record."""
        job.record, job.seconds = record, self.clock() - job.started
        job.state = "done" if record.ok else "failed"
        if not record.ok:
            self.failed(job, record)

    def read(self, event: events.Event) -> None:
        """A run has its images."""

    def epoch(self, job: Job) -> None:
        """A run has ended an epoch."""

    def failed(self, job: Job, record: RunRecord) -> None:
        """A run has failed."""
        print(f"{job.title}: {record.status}", file=sys.stderr, flush=True)

    def reported(self, rows: "Sequence[Row]", out: Path) -> None:
        """The report is written."""

    def time_left(self) -> float | None:
        """Seconds until all runs are done, about; None while nothing is known."""
        return time_left(self.jobs, self.before, self.clock())


class People(View):
    """What is alike for people with and without a terminal."""

    def say(self, text: str, *, warning: bool = False) -> None:
        plan.say(text, warning=warning)

    def reported(self, rows: "Sequence[Row]", out: Path) -> None:
        from experiments.terminal import print_table

        print_table(rows, out)


class Lines(People):
    """Without a terminal: a line as a run starts and ends, and on stderr one per epoch."""

    def already_done(self, job: Job, record: RunRecord) -> None:
        super().already_done(job, record)
        self.say(f"{job.title}: already done")

    def started(self, job: Job) -> None:
        super().started(job)
        self.say(f"{job.title}: starts from {job.spec.weights} weights")

    def read(self, event: events.Event) -> None:
        self.say(events.data_line(event))

    def epoch(self, job: Job) -> None:
        assert job.progress is not None
        print(job.progress.line(), file=sys.stderr, flush=True)

    def ended(self, job: Job, record: RunRecord) -> None:
        super().ended(job, record)
        if record.result is not None:
            self.say(f"{job.title}: test accuracy {record.result.test_accuracy:.4f}")


class JsonLines(View):
    """`--json`: an object a line on stdout, nothing else there; warnings on stderr."""

    def say(self, text: str, *, warning: bool = False) -> None:
        if warning:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def running(self, jobs: list[Job], earlier: Sequence[RunRecord], out: Path) -> Iterator[None]:
        self._write("plan", out=str(out), runs=[self._names(job) for job in jobs])
        with super().running(jobs, earlier, out):
            yield

    def already_done(self, job: Job, record: RunRecord) -> None:
        super().already_done(job, record)
        self._write_run(job, record)

    def epoch(self, job: Job) -> None:
        now = job.progress
        assert now is not None and now.result is not None
        epoch = vars(now.result) | {"phases": now.phases, "epochs": now.epochs}
        names = ("images_per_second", "best_val_accuracy", "seconds_left")
        self._write("epoch", name=job.name, **epoch, **{name: getattr(now, name) for name in names})

    def ended(self, job: Job, record: RunRecord) -> None:
        super().ended(job, record)
        self._write_run(job, record)

    def failed(self, job: Job, record: RunRecord) -> None:
        """Its object says so."""

    def reported(self, rows: "Sequence[Row]", out: Path) -> None:
        from experiments.markup import conclusions
        from experiments.table import FIRST_COLUMNS, csv_row
        from experiments.terminal import WRITTEN

        numbers = [csv_row(row, []) for row in rows]
        self._write(
            "summary",
            rows=[
                {"name": row.name, **{column: line[column] for column in (*FIRST_COLUMNS, "ms_per_image_32")}}
                for row, line in zip(rows, numbers, strict=True)
            ],
            recommendation=conclusions(rows),
            written=[str(out / name) for name in (RUNS_FILE, *WRITTEN) if (out / name).exists()],
        )

    def _write_run(self, job: Job, record: RunRecord) -> None:
        done = record.result
        self._write(
            "run",
            **self._names(job),
            status=record.status,
            already_done=job.state == "already done",
            test_accuracy=done.test_accuracy if done else None,
            interval=[done.test_accuracy_low, done.test_accuracy_high] if done else None,
            seconds=job.seconds,
        )

    def _names(self, job: Job) -> dict[str, Any]:
        return {"name": job.name, "recipe": job.spec.recipe.name, "seed": job.spec.seed}

    def _write(self, event: str, **values: Any) -> None:
        print(json.dumps(_strict({"event": event, **values}), allow_nan=False), flush=True)


def _strict(value: Any) -> Any:
    """JSON knows neither infinity nor NaN, which the loss of a training that diverged is."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def view_for(options: argparse.Namespace) -> Iterator[View]:
    """Gives the view that the options and the terminal ask for."""
    if options.quiet or options.json:
        with _no_bars():
            yield JsonLines() if options.json else View()
    elif (terminal := _terminal()) is not None:
        from experiments.live import Live

        yield Live(terminal)
    else:
        yield Lines()


def _terminal() -> Any:
    """A console on stdout or stderr, whichever is a terminal that can be drawn on; None if none is."""
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        return None
    from rich.console import Console

    console = Console(stderr=not sys.stdout.isatty(), highlight=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keeps rich, in this process and those that it starts, from drawing bars while images are prepared."""
    before = os.environ.get("TTY_COMPATIBLE")
    os.environ["TTY_COMPATIBLE"] = "0"
    try:
        yield
    finally:
        del os.environ["TTY_COMPATIBLE"]
        if before is not None:
            os.environ["TTY_COMPATIBLE"] = before

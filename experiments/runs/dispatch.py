"""Which runs are missing, and making them, each in a process of its own."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Generic, Protocol, Self, TypeVar

from cnnzoo.errors import one_line, printable
from cnnzoo.limits import core_shares
from experiments.cli.say import Say
from experiments.runs import left
from experiments.runs.child import WAITING, Ask, Event, Tell, ask
from experiments.runs.records import (
    ENDED_EARLY,
    RUNS_FILE,
    RunRecord,
    append_record,
    from_json,
    latest_records,
    read_records,
    record_for,
    settled,
)
from experiments.runs.spec import RunSpec


class Asked(Protocol):
    """A run that was asked for, with what else the watcher wants to know of it."""

    spec: RunSpec


Job = TypeVar("Job", bound=Asked)
AnyJob = TypeVar("AnyJob", bound=Asked, contravariant=True)


class Watcher(Protocol[AnyJob]):
    """Hears of each run as it goes."""

    def already_done(self, job: AnyJob, record: RunRecord) -> None: ...
    def started(self, job: AnyJob) -> None: ...
    def heard(self, job: AnyJob, event: Event) -> None: ...
    def ended(self, job: AnyJob, record: RunRecord) -> None: ...


def records_in(out: Path) -> list[RunRecord]:
    """Returns the records in a folder, none where there are none yet."""
    return read_records(out) if (out / RUNS_FILE).exists() else []


def still_whole(
    records: Sequence[RunRecord], asked: Sequence[RunSpec], out: Path, say: Say
) -> list[RunRecord]:
    """Leaves out the finished runs among those asked for whose model or predictions are gone or changed."""
    wanted = {spec.identity for spec in asked}
    lost = set()
    for record in latest_records(records):
        needed = {file: record.files[file] for file in left.needed(record.files)}
        if record.ok and record.identity in wanted and (states := left.not_as_recorded(out, needed)):
            say(f"{record.run_name} is run again: {left.listed(states)} in {printable(out)}", warning=True)
            lost.add(record.identity)
    return [record for record in records if record.identity not in lost]


Make = Callable[[RunSpec, Tell], RunRecord]


class Cancelled(Exception):
    """Raised by what takes the events of a run, once the comparison is ending and the run is to end too."""


def make(spec: RunSpec, heard: Tell, ask: Ask = ask) -> RunRecord:
    """Makes one run in a process of its own, which `ask` starts; a failure is a record that says why."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    file = Path(spec.out, "logs", f"{spec.stem}.json")
    answer = ask(
        "experiments.runs.train",
        spec,
        file,
        heard=heard,
        waiting=lambda: heard(WAITING),
        seconds=spec.seconds,
    )
    if answer.too_long and spec.seconds:
        status = f"{ENDED_EARLY}no epoch in {spec.seconds:.0f} s"
        return record_for(spec, status=status, started=started, seconds=spec.seconds)
    if not answer.record:
        return record_for(spec, status=f"failed: {answer.ended}", started=started)
    try:
        return from_json(answer.record)
    except ValueError as error:  # msgspec's is one too
        return record_for(spec, status=f"failed: its record is none: {one_line(error)}", started=started)


def run_missing(
    jobs: Sequence[Job],
    records: Sequence[RunRecord],
    out: Path,
    watcher: Watcher[Job],
    *,
    at_once: int = 1,
    make: Make = make,
) -> None:
    """Makes the runs that have no finished record, in this order, and appends what came of each.

    Args:
        jobs: all that were asked for.
        records: those that there are.
        out: folder of the records.
        watcher: hears of each, in this thread.
        at_once: how many go at a time.
        make: makes a run, in a thread of its own. What takes its events raises `Cancelled` when the run is to
            end, so it gives one a second, be it `WAITING`.
    """
    done, waiting = settled(records), deque(jobs)
    with _Going[Job](make, at_once) as going:
        while waiting or going.count:
            while waiting and going.count < at_once:
                job = waiting.popleft()
                if job.spec.identity in done:
                    watcher.already_done(job, done[job.spec.identity])
                else:
                    watcher.started(job)
                    going.start(job)
            for job, news in going.news():
                if not isinstance(news, Future):
                    watcher.heard(job, news)
                    continue
                record = news.result()
                append_record(out, record)
                if record.ok or record.ended_early:
                    job.spec.checkpoint.unlink(missing_ok=True)
                watcher.ended(job, record)


def _keep_to(cores: set[int]) -> None:
    """Has this thread, and what it starts, use these cores alone; none stand for all."""
    if cores:
        os.sched_setaffinity(0, cores)


class _Going(Generic[Job]):
    """The runs under way, each in a thread; where the context ends with an error, so do they."""

    def __init__(self, make: Make, at_once: int) -> None:
        self.make, self.count = make, 0
        self.queue = SimpleQueue[tuple[Job, Event | Future[RunRecord]]]()
        self.ending, shares = threading.Event(), iter(core_shares(at_once) if at_once > 1 else ())
        # A process has the cores of the thread that starts it, and all in it goes by them: TensorFlow, JAX,
        # PyTorch, OpenCV and `usable_cores`.
        self.pool = ThreadPoolExecutor(at_once, initializer=lambda: _keep_to(next(shares, set())))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind:
            self.ending.set()
        self.pool.shutdown()

    def start(self, job: Job) -> None:
        self.count += 1
        future = self.pool.submit(self.make, job.spec, partial(self._heard, job))
        future.add_done_callback(lambda ended: self.queue.put((job, ended)))

    def news(self) -> Iterator[tuple[Job, Event | Future[RunRecord]]]:
        """Yields the events of all runs as they come, until one run has ended, last that one's record."""
        while self.count:
            job, news = self.queue.get()
            ended = isinstance(news, Future)
            self.count -= ended
            yield job, news
            if ended:
                return

    def _heard(self, job: Job, event: Event) -> None:
        if self.ending.is_set():
            raise Cancelled
        self.queue.put((job, event))

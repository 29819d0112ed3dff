"""Which runs are missing, and making them, each in a process of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from cnnzoo.errors import one_line, printable
from experiments.cli.say import Say
from experiments.runs import left
from experiments.runs.child import Event, Tell, ask
from experiments.runs.records import (
    RUNS_FILE,
    RunRecord,
    append_record,
    from_json,
    latest_records,
    read_records,
    record_for,
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


def run_missing(jobs: Sequence[Job], records: Sequence[RunRecord], out: Path, watcher: Watcher[Job]) -> None:
    """Makes the runs that have no finished record, one after the other, and appends what came of each."""
    done = {record.identity: record for record in latest_records(records) if record.ok}
    for job in jobs:
        if job.spec.identity in done:
            watcher.already_done(job, done[job.spec.identity])
            continue
        watcher.started(job)
        record = make(job.spec, partial(watcher.heard, job))
        append_record(out, record)
        if record.ok:
            job.spec.checkpoint.unlink(missing_ok=True)
        watcher.ended(job, record)


def make(spec: RunSpec, heard: Tell) -> RunRecord:
    """Makes one run in a process of its own; a failure comes back as a record that says why."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    answer = ask("experiments.runs.train", spec, Path(spec.out, "logs", f"{spec.stem}.json"), heard=heard)
    if not answer.record:
        return record_for(spec, status=f"failed: {answer.ended}", started=started)
    try:
        return from_json(answer.record)
    except ValueError as error:  # msgspec's is one too
        return record_for(spec, status=f"failed: its record is none: {one_line(error)}", started=started)

"""Which runs are missing, and making them, each in a process of its own."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from experiments.runs.child import Event, Tell, ask
from experiments.runs.records import RUNS_FILE, RunRecord, append_record, from_json, read_records, record_for
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


def named_apart(specs: Sequence[RunSpec], records: Sequence[RunRecord]) -> list[RunSpec]:
    """Gives a run a longer name where another one, on another split say, has its files under that name."""
    owners = {record.run_name: record.identity for record in reversed(records)}
    return [
        spec
        if owners.get(spec.run_name, spec.identity) == spec.identity
        else replace(spec, name=f"{spec.run_name}-{spec.identity[:8]}")
        for spec in specs
    ]


def run_missing(jobs: Sequence[Job], records: Sequence[RunRecord], out: Path, watcher: Watcher[Job]) -> None:
    """Makes the runs that have no finished record, one after the other, and appends what came of each."""
    done = {record.identity: record for record in records if record.ok}
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
    answer = ask("experiments.runs.train", spec, Path(spec.out, "logs", f"{spec.run_name}.json"), heard=heard)
    if answer.record:
        return from_json(answer.record)
    return record_for(spec, status=f"failed: {answer.ended}", started=started)

"""For scripts: an object a line."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.cli.say import say
from experiments.live.jobs import Job
from experiments.live.view import View
from experiments.runs.records import RunRecord


class JsonLines(View):
    """`--json`: an object a line on stdout, nothing else there; warnings on stderr."""

    def say(self, text: str, *, warning: bool = False) -> None:
        if warning:
            say(text, warning=True)

    @contextmanager
    def running(self, jobs: list[Job], earlier: Sequence[RunRecord], out: Path) -> Iterator[None]:
        emit("plan", out=str(out), runs=[self._names(job) for job in jobs])
        with super().running(jobs, earlier, out):
            yield

    def already_done(self, job: Job, record: RunRecord) -> None:
        super().already_done(job, record)
        self._write_run(job, record)

    def note(self, job: Job, text: str) -> None:
        emit("note", name=job.name, text=text)

    def epoch(self, job: Job) -> None:
        now = job.progress
        assert now is not None and now.result is not None
        epoch = vars(now.result) | {"phases": now.phases, "epochs": now.epochs}
        names = ("images_per_second", "best_val_accuracy", "seconds_left")
        emit("epoch", name=job.name, **epoch, **{name: getattr(now, name) for name in names})

    def ended(self, job: Job, record: RunRecord) -> None:
        super().ended(job, record)
        self._write_run(job, record)

    def failed(self, job: Job, record: RunRecord) -> None:
        """Its object says so."""

    def _write_run(self, job: Job, record: RunRecord) -> None:
        done = record.result
        emit(
            "run",
            **self._names(job),
            status=record.status,
            already_done=job.state == "already done",
            test_accuracy=done.test_accuracy if done else None,
            never_predicted=record.never_predicted,
            interval=[done.test_accuracy_low, done.test_accuracy_high] if done else None,
            seconds=job.seconds,
        )

    def _names(self, job: Job) -> dict[str, Any]:
        return {"name": job.name, "recipe": job.spec.recipe.name, "seed": job.spec.seed}


def emit(event: str, **values: Any) -> None:
    """Prints an object."""
    print(json.dumps(_strict({"event": event, **values}), allow_nan=False), flush=True)


def _strict(value: Any) -> Any:
    """JSON knows neither infinity nor NaN, which the loss of a training that diverged is."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The live view of a comparison in a terminal: every run with its state, the running one, the time left."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rich.live
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cnnzoo.errors import printable
from cnnzoo.training.progress import Progress
from experiments.live.jobs import Job
from experiments.live.view import People
from experiments.runs.records import RunRecord
from experiments.style.text import human_time, shorten_apart

REFRESH_PER_SECOND = 2  # the cores are busy with training
MARKS = {
    "done": ("✓", "green"),
    "already done": ("✓", "green"),
    "failed": ("✗", "red"),
    "running": ("▶", "cyan"),
    "waiting": ("·", "dim"),
    "stopped": ("■", "yellow"),
}

NAME_WIDTH = 40
BAR_WIDTH = 30


class Live(People):
    """Draws itself anew in place, never higher than the terminal, and stays there once all runs ended."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self.console = console
        self.names: dict[str, str] = {}
        self.name_width = 0

    @contextmanager
    def running(self, jobs: list[Job], earlier: Sequence[RunRecord], out: Path) -> Iterator[None]:
        view = rich.live.Live(
            console=self.console,
            get_renderable=self.render,
            refresh_per_second=REFRESH_PER_SECOND,
            redirect_stdout=not self.console.stderr,
        )
        with view, super().running(jobs, earlier, out):
            yield

    def failed(self, job: Job, record: RunRecord) -> None:
        """Its line says so, and the table's notes."""

    def render(self) -> RenderableType:
        """What the terminal shows now."""
        jobs = list(self.jobs)
        names = [job.name for job in jobs]
        self.names = dict(zip(names, shorten_apart(names, NAME_WIDTH), strict=True))
        self.name_width = max(map(len, self.names.values()), default=0)
        running = [part for job in jobs if job.state == "running" for part in self._running(job)]
        waiting = [job for job in jobs if job.state == "waiting"]
        ended = [job for job in jobs if job.state not in ("waiting", "running")]
        height = self.console.height - 1  # the cursor stands on a line of its own
        above, below = fitting(len(ended), len(waiting), height - len(running) - 2)
        lines = [
            self._counts(jobs),
            *_cut("earlier", len(ended) - above),
            *(self._line(job) for job in ended[len(ended) - above :]),
            *running,
            *(self._line(job) for job in waiting[:below]),
            *_cut("more", len(waiting) - below),
            self._times(going=len(ended) < len(jobs) and all(job.state != "stopped" for job in ended)),
        ]
        return Group(*lines[-height:])

    def _counts(self, jobs: Sequence[Job]) -> Text:
        count = Counter(job.state for job in jobs)
        done = count["done"] + count["already done"]
        parts = [f"{done} of {len(jobs)} runs done"]
        if count["already done"]:
            parts[0] += f" ({count['already done']} before)"
        parts += [
            f"{count[state]} {state}" for state in ("failed", "running", "stopped", "waiting") if count[state]
        ]
        return _text(", ".join(parts), "bold")

    def _line(self, job: Job) -> Text:
        mark, colour = MARKS[job.state]
        line = _text(f"{mark} ", colour)
        line.append(f"{self.names[job.name]:{self.name_width}}  ", "dim" if job.state == "waiting" else "")
        return line.append(_outcome(job), colour if job.state in ("failed", "stopped") else "")

    def _running(self, job: Job) -> list[RenderableType]:
        now, left = job.progress, job.training_left(self.clock())
        line = self._line(job)
        if now is None:
            return [line.append(f"{job.stage}, {rough_time(self.clock() - job.started)}")]
        place = f"epoch {now.epoch + 1}/{now.epochs}"
        line.append(f"{job.stage}, {now.phase_title.strip()}{', ' if now.phases > 1 else ''}{place}")
        bar = Table.grid(padding=(0, 1))
        for _ in range(3):
            bar.add_column(no_wrap=True)
        took = f"{rough_time(self.clock() - job.started)} so far"
        time_left = f"about {rough_time(left)} left" if left else took
        share = 1.0 if job.stage == "testing" else now.share  # a phase that stopped early leaves a rest
        drawn = ProgressBar(total=1.0, completed=share, width=min(BAR_WIDTH, self.console.width // 2))
        bar.add_row(" ", drawn, f"{share:4.0%}  {time_left}")
        numbers = _numbers(now)
        return [line, bar, *([_text(f"  {numbers}")] if numbers else [])]

    def _times(self, *, going: bool) -> Text:
        text = f"elapsed {rough_time(self.clock() - self.began)}"
        if going:
            left = self.time_left()
            text += f", about {rough_time(left)} left" if left is not None else ", time left: ?"
        return _text(text, "bold")


def fitting(ended: int, waiting: int, room: int) -> tuple[int, int]:
    """Returns how many ended and waiting runs fit in `room` lines, with one to count each side's rest."""
    if ended + waiting <= room:
        return ended, waiting
    below = min(waiting, max(room // 2, room - ended))
    above = min(ended, room - below)
    return max(0, above - (above < ended)), max(0, below - (below < waiting))


def rough_time(seconds: float) -> str:
    """Seconds without their fractions: `3 s`, `4 min 07 s`, `2 h 05 min`."""
    return f"{seconds:.0f} s" if round(seconds) < 60 else human_time(round(seconds))


def _text(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _cut(what: str, count: int) -> list[Text]:
    return [_text(f"  … {count} {what}", "dim")] if count > 0 else []


def _outcome(job: Job) -> str:
    if job.state == "failed" and job.record is not None:
        return printable(job.record.status)
    if job.record is None:
        return "" if job.state in ("waiting", "running") else job.state
    took = "done before" if job.state == "already done" else rough_time(job.seconds or 0)
    return f"{job.record.accuracy_line}, {took}"


def _numbers(now: Progress) -> str:
    parts = list(now.numbers)
    if now.best_val_accuracy is not None:
        parts.append(f"best validation accuracy {now.best_val_accuracy:.4f}")
    return ", ".join(parts)

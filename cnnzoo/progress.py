"""How a training shows how far it has come: on the terminal, or through a function of yours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from cnnzoo.config import Progress

Report = Callable[[Progress], None]


@contextmanager
def reporting(progress: bool | Report) -> Iterator[Report | None]:
    """Gives what each `Progress` is to be passed to: the caller's function, one that shows it, or None."""
    if callable(progress):
        yield progress
    elif progress:
        yield from _on_terminal()
    else:
        yield None


def _on_terminal() -> Iterator[Report]:
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[numbers]}")
    bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=1.0, numbers="")

    def show(now: Progress) -> None:
        if now.result is not None:
            console.print(now.line(), highlight=False, soft_wrap=True)
        title = f"{now.phase_title}epoch {now.epoch + 1}/{now.epochs}"
        bar.update(task, completed=now.share, description=title, numbers=_numbers(now))

    with bar:
        yield show


def _numbers(now: Progress) -> str:
    parts = list(now.numbers)
    if now.seconds_left is not None:
        parts.append(f"{timedelta(seconds=round(now.seconds_left))} left")
    return "  ".join(parts)

"""The one progress bar over files."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Item = TypeVar("Item")


class _Speed(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} {unit}/s")


def track(
    items: Iterable[Item], total: int, title: str, *, progress: bool, unit: str = "files"
) -> Iterable[Item]:
    """Yields `items`, with a bar on a terminal that shows how many, how fast and the time left."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (progress and console.is_terminal),
    )
    with bar:
        task = bar.add_task(title, total=total, unit=unit)
        yield from bar.track(items, total=total, task_id=task)

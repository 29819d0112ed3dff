"""How a training shows how far it has come: on the terminal, or through a function of yours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from cnnzoo.training.config import Epoch


@dataclass(frozen=True)
class Progress:
    """How far a training has come; phases and epochs count from 0 over the whole of it, as in `Epoch`.

    Attributes:
        phase: the one that runs, of `phases`.
        epoch: the one that runs, of the `epochs` planned; a phase that stops early makes them fewer.
        step: batches done in this epoch, of `steps`.
        images_per_second: in this epoch, while it runs without the batch that traces the graph; None before
            there are any.
        seconds_left: of training and validation, if no phase stops early; None while nothing is known.
        loss: over this epoch's batches so far; None before the first.
        best_val_accuracy: the highest so far; None before the first epoch's end.
        result: the epoch, once it has ended.
        frozen: whether frozen layers are being computed, once for the phase; `step` of `steps` is of that.
    """

    phase: int
    phases: int
    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float | None = None
    seconds_left: float | None = None
    loss: float | None = None
    best_val_accuracy: float | None = None
    result: Epoch | None = None
    frozen: bool = False

    @property
    def share(self) -> float:
        """The share of all planned batches that are done."""
        return (self.epoch + (0 if self.frozen else self.step / self.steps)) / self.epochs

    @property
    def place(self) -> str:
        """`epoch 3/10`, or how far the frozen layers are."""
        if self.frozen:
            return f"frozen layers {self.step / self.steps:.0%}"
        return f"epoch {self.epoch + 1}/{self.epochs}"

    @property
    def phase_title(self) -> str:
        """`phase 1/2 `, empty where there is one phase alone."""
        return f"phase {self.phase + 1}/{self.phases} " if self.phases > 1 else ""

    @property
    def numbers(self) -> list[str]:
        """Its speed and its loss, in words, where they are known."""
        speed = "" if self.images_per_second is None else f"{self.images_per_second:,.0f} images/s"
        loss = "" if self.loss is None else f"loss {self.loss:.4f}"
        return [part for part in (speed, loss) if part]

    def line(self) -> str:
        """The epoch that has ended, on a line.

        Raises:
            ValueError: none has.
        """
        if self.result is None:
            raise ValueError(f"epoch {self.epoch + 1} has not ended")
        done = self.result
        return (
            f"{self.phase_title}epoch {done.epoch + 1}: loss {done.loss:.4f}, accuracy {done.accuracy:.4f}, "
            f"validation loss {done.val_loss:.4f}, accuracy {done.val_accuracy:.4f}, "
            f"{self.images_per_second or 0:,.0f} images/s"
        )


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
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[numbers]}")
    bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=1.0, numbers="")

    def show(now: Progress) -> None:
        if now.result is not None:
            console.print(now.line(), highlight=False, soft_wrap=True)
        title = f"{now.phase_title}{now.place}"
        bar.update(task, completed=now.share, description=title, numbers=_numbers(now))

    with bar:
        yield show


def _numbers(now: Progress) -> str:
    parts = list(now.numbers)
    if now.seconds_left is not None:
        parts.append(f"{timedelta(seconds=round(now.seconds_left))} left")
    return "  ".join(parts)

"""Measures a part of the table in a process of its own, which gives memory and devices back."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from cnnzoo.errors import InputError, one_line, printable
from experiments.benchmarks.registry import PARTS, Part, Request, Tell
from experiments.benchmarks.rows import Measurement, Row
from experiments.benchmarks.table import row_line
from experiments.cli.apart import apart

FAILED = "not measured"  # name of the row that stands for what a part did not get to


def measure_part(part: Part, request: Request, command: str) -> Measurement:
    """Returns what was measured; what failed is a row that says why."""
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    try:
        rows, environment = apart(_measure, part.name, request)
    except InputError as error:  # the process was killed
        rows, environment = [Row(FAILED, None, "", note=one_line(error))], {}
    seconds = time.perf_counter() - clock
    return Measurement(part.name, part.device, started, command, seconds, environment, tuple(rows))


def _measure(name: str, request: Request) -> tuple[list[Row], dict[str, object]]:
    """In the process of the part: its rows, and the machine and versions."""
    from experiments.runs.environment import start_backend

    rows: list[Row] = []
    if PARTS[name].device == "gpu":
        # This process starts others that need the memory, of which JAX would keep three quarters to itself.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with _progress(PARTS[name].about) as (tell, show):
        environment = start_backend()
        try:
            for row in PARTS[name].measure(request, tell):
                rows.append(row)
                show(row_line(row))
        except Exception as error:
            rows.append(Row(FAILED, None, "", note=one_line(error)))
            show(row_line(rows[-1]))
    return rows, environment


@contextmanager
def _progress(about: str) -> Iterator[tuple[Tell, Tell]]:
    """Gives what tells on stderr what is measured now, and what shows a row as soon as it is there."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    # Drawn seldom: it takes from what is measured.
    with Progress(
        *columns, console=console, transient=True, refresh_per_second=1, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(about)

        def show(text: str) -> None:
            console.print(f"  {printable(text)}", markup=False, highlight=False, soft_wrap=True)

        def tell(text: str) -> None:
            bar.update(task, description=printable(text))
            if not console.is_terminal:
                show(f"… {text}")

        yield tell, show

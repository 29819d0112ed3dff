"""The comparison as a table for the terminal, and as a picture of it."""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.errors import printable
from cnnzoo.files import write_whole
from experiments.cli.process import to_type
from experiments.reporting.comparison import Comparison
from experiments.reporting.next_steps import (
    model_to_use,
    predict_command,
    tensorboard_commands,
    tensorboard_to_type,
)
from experiments.reporting.notes import class_notes
from experiments.reporting.sentences import OWN_IMAGES, RESULTS, audit_lines, class_lines, demonstration
from experiments.reporting.tables.columns import Column, columns
from experiments.style.text import folded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CONSOLE_WIDTH = 100
PROSE_WIDTH = 100  # longer lines are hard to read
TITLE_WIDTH = 12
NAME_SHARE = 0.4  # of the width, at most, is the recipes'; longer names go on in a second line
WRITTEN = ("report.html", "comparison.csv", "comparison.md", "comparison.tex", "figures", "models")


def _table(comparison: Comparison, shown: Sequence[Column], name_width: int) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in shown:
        title = printable(column.terminal or "")
        table.add_column(
            escape("\n".join(folded(title, TITLE_WIDTH))),
            justify="left" if column.words else "right",
            no_wrap=True,
        )
    for row in comparison.rows:
        name, *cells = (printable(column.cell(row)) for column in shown)
        table.add_row(*map(escape, ("\n".join(folded(name, name_width)), *cells)))
    return table


def _fitting(console: "Console", comparison: Comparison) -> "tuple[Table, list[str]]":
    """The table with the columns that the console has room for, and the titles of those left out.

    No number and no name is ever cut: the least important columns go first.
    """
    shown = [column for column in columns(comparison) if column.terminal is not None]
    name_width, left_out = max(TITLE_WIDTH, int(NAME_SHARE * console.width)), []
    table = _table(comparison, shown, name_width)
    while _width(console, table) > console.width:
        less = min(
            (column for column in shown if column.priority is not None),
            key=lambda column: column.priority or 0,
            default=None,
        )
        if less is None:
            break
        shown.remove(less)
        left_out.append(less.terminal or "")
        table = _table(comparison, shown, name_width)
    return table, left_out


def _width(console: "Console", table: "Table") -> int:
    """The columns that the table takes where nothing is cut off."""
    return console.measure(table, options=console.options.update(max_width=1000)).maximum


def print_table(comparison: Comparison, out: Path) -> None:
    """Prints the table, what it says, what was written and what to do next to the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        shown = [column for column in columns(comparison) if column.terminal is not None]
        console.width = max(CONSOLE_WIDTH, _width(console, _table(comparison, shown, 1000)))

    def tell(text: str) -> None:
        """Prints prose, wrapped at words."""
        text = "\n".join(map(printable, text.split("\n")))
        console.print(text, markup=False, width=min(PROSE_WIDTH, console.width))

    def tell_command(why: str, *commands: str) -> None:
        """Prints commands to paste, each alone on its line, which only the terminal itself may wrap."""
        tell(f"\n{why}")
        for command in commands:
            console.print(command, markup=False, soft_wrap=True)

    if notice := demonstration(comparison.rows, RESULTS if RESULTS.is_file() else None):
        tell(f"\n{notice}")
        tell_command(OWN_IMAGES, f"{to_type('compare')} --data DIR --out compared")
    console.print()
    for line in class_lines(comparison.data_sets):
        tell(line)
    table, left_out = _fitting(console, comparison)
    console.print()
    console.print(table)
    if left_out:
        tell(f"For want of width without {', '.join(left_out)}: see report.html or comparison.csv.")
    _tell_notes(comparison, tell)
    for line in [*audit_lines(comparison.rows), *comparison.conclusions]:
        tell(f"\n{line}")
    count = max((len(row.first.data.bad) for row in comparison.rows), default=0)
    if count:
        tell(f"{count} unusable file{'s' * (count != 1)} left out; report.html names them.")
    written = ", ".join(name for name in WRITTEN if (out / name).exists())
    tell(f"\nResults are written to {printable(out)}: {written}.")
    if commands := tensorboard_commands(comparison, tensorboard_to_type()):
        tell_command("Learning curves in TensorBoard:", *commands)
    if next_step := model_to_use(comparison):
        tell_command(next_step[0], predict_command(to_type("predict"), next_step[1]))


def _tell_notes(comparison: Comparison, tell: Callable[[str], None]) -> None:
    """Says what must be read with the rows, with a star where their accuracies have one."""
    notes = [(row, note) for row in comparison.rows for note in comparison.notes[row.name]]
    for place, (row, note) in enumerate(notes):
        start = "\n" if place == 0 else ""
        tell(f"{start}{'* ' * (note in class_notes(row))}{row.name}: {note}")


def draw_table(path: Path, comparison: Comparison) -> None:
    """Writes the table as the terminal shows it, as SVG for a README or a slide."""
    from rich.console import Console
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME

    console = Console(record=True, file=StringIO(), highlight=False)
    shown = [column for column in columns(comparison) if column.terminal is not None]
    table = _table(comparison, shown, 1000)
    console.width = _width(console, table)
    console.print(table)
    svg = console.export_svg(title="cnnzoo", theme=DEFAULT_TERMINAL_THEME, unique_id="table")
    # Rich's own would fetch a font from the network; any other of fixed width does.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    write_whole(path, svg)

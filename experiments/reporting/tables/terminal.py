"""The comparison as a table for the terminal, and as a picture of it."""

import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.files import write_whole
from experiments.cli.process import to_type
from experiments.reporting.comparison import Comparison
from experiments.reporting.sentences import RESULTS, audit_lines, demonstration
from experiments.reporting.tables.columns import columns
from experiments.style.text import shorten

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CONSOLE_WIDTH = 100
_WORDS = ("recipe", "weights", "status")  # the columns that hold no numbers
WRITTEN = ("report.html", "comparison.csv", "comparison.md", "comparison.tex", "figures", "models")


def _table(comparison: Comparison) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    shown = [(column.terminal, column.cell) for column in columns(comparison) if column.terminal is not None]
    for title, _ in shown:
        table.add_column(
            escape(shorten(title, 12)),
            justify="left" if title in _WORDS else "right",
            no_wrap=True,
            max_width=12 if title == "weights" else None,
        )
    for row in comparison.rows:
        table.add_row(*(escape(cell(row)) for _, cell in shown))
    return table


def _width(console: "Console", table: "Table") -> int:
    """The columns that the table takes where nothing is cut off."""
    return console.measure(table, options=console.options.update(max_width=1000)).maximum


def print_table(comparison: Comparison, out: Path) -> None:
    """Prints the table, what it says and what was written to the terminal."""
    from rich.console import Console

    console, table = Console(highlight=False), _table(comparison)
    if not console.is_terminal:
        console.width = max(CONSOLE_WIDTH, _width(console, table))
    results = RESULTS if RESULTS.is_file() else None
    if notice := demonstration(comparison.rows, to_type("compare"), results):
        console.print(f"\n{notice}", markup=False, soft_wrap=True)
    console.print()
    console.print(table)
    for row in comparison.rows:
        for note in comparison.notes[row.name]:
            console.print(f"{row.name}: {note}", markup=False, soft_wrap=True)
    for line in [*audit_lines(comparison.rows), *comparison.conclusions]:
        console.print(f"\n{line}", markup=False)
    left_out = max((len(row.first.data.bad) for row in comparison.rows), default=0)
    if left_out:
        console.print(f"unusable files left out: {left_out}; report.html names them")
    written = ", ".join(str(out / name) for name in WRITTEN if (out / name).exists())
    console.print(f"\nwritten: {written}", markup=False, soft_wrap=True)


def draw_table(path: Path, comparison: Comparison) -> None:
    """Writes the table as the terminal shows it, as SVG for a README or a slide."""
    from rich.console import Console
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME

    console, table = Console(record=True, file=StringIO(), highlight=False), _table(comparison)
    console.width = _width(console, table)
    console.print(table)
    svg = console.export_svg(title="cnnzoo", theme=DEFAULT_TERMINAL_THEME, unique_id="table")
    # Rich's own would fetch a font from the network; any other of fixed width does.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    write_whole(path, svg)

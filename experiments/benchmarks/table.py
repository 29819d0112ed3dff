"""The table of benchmarks: as lines while it is measured, on the terminal, and as Markdown."""

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import TYPE_CHECKING, Any

from cnnzoo.errors import printable
from experiments.benchmarks.baseline import Baseline
from experiments.benchmarks.registry import PARTS
from experiments.benchmarks.rows import Measurement, Row
from experiments.reporting.tables.markdown import code, escaped
from experiments.style.text import human_time

if TYPE_CHECKING:
    from rich.table import Table

FILE = "benchmarks.md"
WIDTH = 170  # of the table where there is no terminal
HOW_TO_READ = (
    "Ratio: how many times as good as what stands in the column *instead*, measured in the same run; above 1 "
    "is better. Limit: what the hardware or the model's arithmetic would allow. Cores: processor seconds by "
    "wall seconds. ± rounds: how far the rounds lie apart."
)
_VERSIONS = ("cnnzoo", "python", "tensorflow", "keras", "backend", "git_commit")


def amount(value: float | None, unit: str = "") -> str:
    """Returns a number to three digits with its unit, as in `1,101 images/s`; empty where there is none.

    An accuracy, which has no unit and is at most 1, has four.
    """
    if value is None:
        return ""
    if not unit and 0 < value <= 1:
        return f"{value:.4f}"
    digits = max(0, 2 - floor(log10(abs(value)))) if value else 0
    return f"{value:,.{min(digits, 6)}f} {unit}".rstrip()


def row_line(row: Row) -> str:
    """Returns `three_conv: 512 images/s, 1.12 times as good as plain Keras (458)`."""
    if row.value is None:
        return f"{row.name}: {row.note}"
    parts = [f"{row.name}: {amount(row.value, row.unit)}"]
    if row.ratio is not None:
        beside = amount(row.rival, row.unit)
        parts.append(f"{row.ratio:.2f} times as good as {row.rival_name} ({beside})")
    if row.share is not None:
        parts.append(f"{row.share:.0%} of {row.limit_name} ({amount(row.limit, row.unit)})")
    return ", ".join(parts)


def _cells(row: Row, change: float | None) -> dict[str, str]:
    """The cells of a row by the titles of their columns."""
    return {
        "measured": row.name,
        "cnnzoo": amount(row.value, row.unit),
        "ratio": "" if row.ratio is None else f"{row.ratio:.2f}",
        "instead": f"{row.rival_name} {amount(row.rival, row.unit)}".strip(),
        "of the limit": "" if row.share is None else f"{row.share:.0%}",
        "limit": f"{row.limit_name} {amount(row.limit, row.unit)}".strip(),
        "cores": "" if row.cores is None else f"{row.cores:.1f}",
        "± rounds": "" if row.noise is None else f"{row.noise:.0%}",
        "to baseline": "" if change is None else f"{change:.2f}",
        "notes": row.note,
    }


def _lines(measurement: Measurement, baseline: Baseline | None) -> list[dict[str, str]]:
    return [_cells(row, baseline.change(measurement, row) if baseline else None) for row in measurement.rows]


def _titles(lines: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns in which something stands."""
    return list(dict.fromkeys(title for line in lines for title in line if any(x[title] for x in lines)))


def markdown(measurements: Sequence[Measurement], baseline: Baseline | None = None) -> str:
    """Returns the table with machine and versions, a section for each part."""
    paragraphs, machine = ["# Benchmarks", HOW_TO_READ], ""
    for measurement in measurements:
        paragraphs.append(f"## {escaped(_title(measurement))}")
        if (now := machine_line(measurement.environment)) != machine:
            paragraphs.append(escaped(now))
            machine = now
        paragraphs.append(_markdown_rows(_lines(measurement, baseline)))
        took = f"{escaped(measurement.started)}, in {human_time(measurement.seconds)}"
        paragraphs.append(f"{took}: {code(measurement.command)}")
    paragraphs += [escaped(text) for text in baseline.sentences(measurements)] if baseline else []
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _markdown_rows(lines: Sequence[Mapping[str, str]]) -> str:
    titles = _titles(lines)
    return "\n".join([
        f"| {' | '.join(titles)} |",
        "| --- " * len(titles) + "|",
        *(f"| {' | '.join(escaped(line[title]) for title in titles)} |" for line in lines),
    ])  # fmt: skip


def terminal(measurements: Sequence[Measurement], baseline: Baseline | None = None) -> "Table":
    """Returns the table for the terminal, its parts one below the other."""
    from rich.markup import escape
    from rich.table import Table

    parts = [(measurement, _lines(measurement, baseline)) for measurement in measurements]
    titles = _titles([line for _, lines in parts for line in lines])
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for title in titles:
        right = title in ("cnnzoo", "ratio", "of the limit", "cores", "± rounds", "to baseline")
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for measurement, lines in parts:
        table.add_row(f"[bold]{escape(printable(_title(measurement)))}[/bold]")
        for line in lines:
            table.add_row(*(escape(printable(line[title])) for title in titles))
        table.add_row()
    return table


def _title(measurement: Measurement) -> str:
    part = PARTS.get(measurement.part)
    return f"{measurement.part}: {part.about}" if part else measurement.part


def machine_line(environment: Mapping[str, Any]) -> str:
    """Returns the machine and the versions; empty where they are not known."""
    if not environment:
        return ""
    machine = "{device}, {processor}, {cores} cores, {memory_gib} GiB, {system}".format_map(environment)
    versions = ", ".join(f"{name} {environment[name]}" for name in _VERSIONS if environment.get(name))
    return f"{machine}; {versions}."

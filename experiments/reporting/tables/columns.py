"""The columns of the tables for terminal, Markdown and LaTeX: the titles, and what a row says in each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from experiments.reporting.comparison import Comparison
from experiments.reporting.notes import class_notes
from experiments.reporting.rows import Row, interval_text
from experiments.style.text import human_count, human_time, number


@dataclass(frozen=True)
class Column:
    """A column of the tables.

    Attributes:
        terminal, markdown, latex: its title in each table, None where a table lacks it.
        cell: the text for a row.
        priority: where a terminal is too narrow, columns with the lowest go first; None always stays.
    """

    terminal: str | None
    markdown: str | None
    latex: str | None
    cell: Callable[[Row], str]
    priority: int | None = None


def columns(comparison: Comparison) -> list[Column]:
    """Returns the columns of all tables, from left to right."""
    notes, others = comparison.notes, comparison.others
    starts = _short_weights(comparison)
    return [
        Column("recipe", "recipe", "Recipe", lambda row: row.name),
        Column("accuracy", None, None, _accuracy),
        Column("95 %", None, None, lambda row: interval_text(row).replace(" to ", "–"), priority=7),
        Column(None, "test accuracy (95 %)", None, _accuracy_with_interval),
        Column(None, "± seeds", None, lambda row: number(row.deviation("test_accuracy"), 4)),
        Column(None, None, "Test accuracy", _accuracy_with_deviation),
        Column(None, None, "95 % interval", lambda row: interval_text(row) or row.status),
        Column(None, "AUROC", None, lambda row: number(row.average("auroc"), 4)),
        *(Column(None, None, name, partial(_other_accuracy, name=name)) for name in others),
        *(Column(None, f"{name} (AUROC)", None, partial(_other_with_area, name=name)) for name in others),
        Column("training", "training", "Training", _time("train_seconds"), priority=6),
        *([_TRACING] if comparison.traced else []),
        Column("params", "parameters", "Parameters", _count("total_params"), priority=5),
        Column("ms/image", None, "ms/image", lambda row: number(row.average("ms_per_image_32"), 2), 2),
        *(Column(name, None, None, partial(_other_accuracy, name=name), priority=3) for name in others),
        Column(None, "ms/image (1 / 32)", None, _latency),
        Column("weights", None, None, lambda row: starts[row.first.weights], priority=1),
        Column(None, "weights", None, lambda row: row.first.weights),
        Column("status", None, None, _status, priority=4 if comparison.all_ok else 8),
        Column(None, "notes", None, lambda row: "; ".join(notes[row.name])),
    ]


def _time(field: str) -> Callable[[Row], str]:
    return lambda row: human_time(row.average(field))


def _count(field: str) -> Callable[[Row], str]:
    return lambda row: human_count(row.average(field))


_TRACING = Column("tracing", "tracing", None, _time("tracing_seconds"), priority=0)


def _status(row: Row) -> str:
    return "ok" if row.status == "ok" else "failed"


def _short_weights(comparison: Comparison) -> dict[str, str]:
    """What each row started from, of a file its name alone, unless that is the name of two."""
    names = {row.first.weights: row.first.weights.partition(" (sha256")[0] for row in comparison.rows}
    return names if len(set(names.values())) == len(names) else {name: name for name in names}


def _accuracy(row: Row) -> str:
    """The accuracy, with a star where a note must be read with it."""
    return number(row.average("test_accuracy"), 4) + "*" * bool(class_notes(row))


def _accuracy_with_interval(row: Row) -> str:
    return f"{_accuracy(row)} ({interval_text(row)})" if row.results else ""


def _accuracy_with_deviation(row: Row) -> str:
    spread = row.deviation("test_accuracy")
    return _accuracy(row) if spread is None else f"{_accuracy(row)} ± {number(spread, 4)}"


def _latency(row: Row) -> str:
    each = [number(row.average(f"ms_per_image_{batch}"), 2) for batch in (1, 32)]
    return " / ".join(each) if row.results else ""


def _other_accuracy(row: Row, name: str) -> str:
    return number(row.other(name, "accuracy"), 4)


def _other_with_area(row: Row, name: str) -> str:
    accuracy = _other_accuracy(row, name)
    return f"{accuracy} ({number(row.other(name, 'auroc'), 4)})" if accuracy else ""

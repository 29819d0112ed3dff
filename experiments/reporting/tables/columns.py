"""The columns of the tables for terminal, Markdown and LaTeX: the titles, and what a row says in each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import Row, interval_text
from experiments.style.text import human_count, human_time, number


@dataclass(frozen=True)
class Column:
    """Its title in each table, None where a table lacks it, and the text of its cell for a row."""

    terminal: str | None
    markdown: str | None
    latex: str | None
    cell: Callable[[Row], str]


def columns(comparison: Comparison) -> list[Column]:
    """Returns the columns of all tables, from left to right."""
    notes = comparison.notes
    return [
        Column("recipe", "recipe", "Recipe", lambda row: row.name),
        Column("accuracy", None, None, _accuracy),
        Column("95 %", None, None, lambda row: interval_text(row).replace(" to ", "–")),
        Column(None, "test accuracy (95 %)", None, _accuracy_with_interval),
        Column(None, "± seeds", None, lambda row: number(row.deviation("test_accuracy"), 4)),
        Column(None, None, "Test accuracy", _accuracy_with_deviation),
        Column(None, None, "95 % interval", lambda row: interval_text(row) or row.status),
        Column(None, "AUROC", None, lambda row: number(row.average("auroc"), 4)),
        *(Column(None, None, name, partial(_other_accuracy, name=name)) for name in comparison.others),
        *(
            Column(None, f"{name} (AUROC)", None, partial(_other_with_area, name=name))
            for name in comparison.others
        ),
        Column("training", "training", "Training", lambda row: human_time(row.average("train_seconds"))),
        *([_TRACING] if comparison.traced else []),
        Column("params", "parameters", "Parameters", lambda row: human_count(row.average("total_params"))),
        Column("ms/image", None, "ms/image", lambda row: number(row.average("ms_per_image_32"), 2)),
        *(Column(name, None, None, partial(_other_accuracy, name=name)) for name in comparison.others),
        Column(None, "ms/image (1 / 32)", None, _latency),
        Column("weights", "weights", None, lambda row: row.first.weights),
        Column("status", None, None, lambda row: "ok" if row.status == "ok" else "failed"),
        Column(None, "notes", None, lambda row: "; ".join(notes[row.name])),
    ]


_TRACING = Column("tracing", "tracing", None, lambda row: human_time(row.average("tracing_seconds")))


def _accuracy(row: Row) -> str:
    return number(row.average("test_accuracy"), 4)


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

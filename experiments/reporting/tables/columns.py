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
        cell: the text for a row.
        terminal, markdown, latex: its title in each table, None where a table lacks it.
        priority: where a terminal is too narrow, columns with the lowest go first; None always stays.
        words: whether it holds words, which stand to the left, not numbers.
    """

    cell: Callable[[Row], str]
    terminal: str | None = None
    markdown: str | None = None
    latex: str | None = None
    priority: int | None = None
    words: bool = False


def columns(comparison: Comparison) -> list[Column]:
    """Returns the columns of all tables, from left to right."""
    notes, others = comparison.notes, comparison.others
    adapted = [name for name in others if any(row.other_adapted(name) is not None for row in comparison.rows)]
    starts = _short_weights(comparison)
    return [
        Column(lambda row: row.name, terminal="recipe", markdown="recipe", latex="Recipe", words=True),
        Column(_accuracy, terminal="accuracy"),
        Column(lambda row: interval_text(row).replace(" to ", "–"), terminal="95 %", priority=7),
        Column(_accuracy_with_interval, markdown="test accuracy (95 %)"),
        Column(lambda row: number(row.deviation("test_accuracy"), 4), markdown="± seeds"),
        Column(_accuracy_with_deviation, latex="Test accuracy"),
        Column(lambda row: interval_text(row) or row.status, latex="95 % interval"),
        Column(lambda row: number(row.average("auroc"), 4), markdown="AUROC"),
        *(Column(partial(_other_accuracy, name=name), latex=name) for name in others),
        *(Column(partial(_other_with_area, name=name), markdown=f"{name} (AUROC)") for name in others),
        *(Column(partial(_other_adapted, name=name), markdown=f"{name}, adapted") for name in adapted),
        Column(
            _time("train_seconds"), terminal="training", markdown="training", latex="Training", priority=6
        ),
        *([_TRACING] if comparison.traced else []),
        Column(
            _count("total_params"), terminal="params", markdown="parameters", latex="Parameters", priority=5
        ),
        Column(_batch_latency, terminal="ms/image", latex="ms/image", priority=2),
        *(Column(partial(_other_accuracy, name=name), terminal=name, priority=3) for name in others),
        *(
            Column(partial(_other_adapted, name=name), terminal=f"{name} adapted", priority=2)
            for name in adapted
        ),
        Column(_latency, markdown="ms/image (1 / 32)"),
        Column(lambda row: starts[row.first.weights], terminal="weights", priority=1, words=True),
        Column(lambda row: row.first.weights, markdown="weights"),
        Column(_status, terminal="status", priority=4 if comparison.all_ok else 8, words=True),
        Column(lambda row: "; ".join(notes[row.name]), markdown="notes"),
    ]


def _time(field: str) -> Callable[[Row], str]:
    return lambda row: human_time(row.average(field))


def _count(field: str) -> Callable[[Row], str]:
    return lambda row: human_count(row.average(field))


_TRACING = Column(_time("tracing_seconds"), terminal="tracing", markdown="tracing", priority=0)


def _status(row: Row) -> str:
    return "ok" if row.status == "ok" else "ended early" if row.ended_early else "failed"


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


def _batch_latency(row: Row) -> str:
    return number(row.average("ms_per_image_32"), 2)


def _latency(row: Row) -> str:
    each = [number(row.average(f"ms_per_image_{batch}"), 2) for batch in (1, 32)]
    return " / ".join(each) if row.results else ""


def _other_accuracy(row: Row, name: str) -> str:
    return number(row.other(name, "accuracy"), 4)


def _other_adapted(row: Row, name: str) -> str:
    return number(row.other_adapted(name), 4)


def _other_with_area(row: Row, name: str) -> str:
    accuracy = _other_accuracy(row, name)
    return f"{accuracy} ({number(row.other(name, 'auroc'), 4)})" if accuracy else ""

"""The comparison as Markdown, for a README."""

import re

from cnnzoo.errors import printable
from experiments.reporting.comparison import Comparison
from experiments.reporting.notes import class_notes
from experiments.reporting.sentences import (
    OWN_IMAGES,
    audit_lines,
    commands_of,
    data_lines,
    demonstration,
    machine_lines,
)
from experiments.reporting.surfaces import OverSurfaces
from experiments.reporting.tables.columns import columns
from experiments.style.text import interval_of, number

# What begins something in Markdown, or on GitHub. Stars behind our numbers, the `<` of p-values and
# underscores within names begin nothing, and are left as they are.
_ACTS = re.compile(
    r"[`|$~\[\]]|\\(?=[^\w\s]|_|\Z)|\*(?=\S)|(?<![^\W_])_"
    r"|<(?=[a-zA-Z/!?])|&(?=#|\w+;)|(?<=:)/(?=/)|(?<=www)\.",
    re.IGNORECASE,
)


def markdown(comparison: Comparison) -> str:
    """The comparison as one pastes it into a README."""
    shown = [(column.markdown, column.cell) for column in columns(comparison) if column.markdown is not None]
    lines = [f"| {' | '.join(escaped(title) for title, _ in shown)} |", "| --- " * len(shown) + "|"]
    for row in comparison.rows:
        lines.append("| " + " | ".join(escaped(cell(row)) for _, cell in shown) + " |")
    before = [demonstration(comparison.rows), *comparison.conclusions, *data_lines(comparison.rows)]
    notes = [
        escaped(note) for note in [*before, *audit_lines(comparison.rows), *machine_lines(comparison.rows)]
    ]
    if notes[0]:
        notes.insert(1, f"{OWN_IMAGES} `cnnzoo compare --data DIR --out compared`")
    starred = [
        f"\\* {escaped(row.name)}: {escaped(note)}" for row in comparison.rows for note in class_notes(row)
    ]
    lines += [line for over in comparison.over_surfaces for line in ["", *_surfaces(over)]]
    commands = [f"Command: {code(command)}" for command in commands_of(comparison.rows)]
    return "\n\n".join([note for note in notes if note] + ["\n".join(lines)] + starred + commands) + "\n"


def _surfaces(over: OverSurfaces) -> list[str]:
    """The balanced accuracies on surfaces that each recipe never saw."""
    titles = ["left out of training, balanced accuracy", *over.surfaces, "mean (95 %)"]
    lines = [f"| {' | '.join(map(escaped, titles))} |", "| --- " * len(titles) + "|"]
    for each in over.recipes:
        cells = [number(value, 4) for value in each.values]
        mean = f"{number(each.mean, 4)} ({interval_of(each.interval)})"
        lines.append(f"| {' | '.join([escaped(each.recipe), *cells, mean])} |")
    return lines


def escaped(text: str) -> str:
    """Returns `text` on one line, of which Markdown makes no markup: no HTML, no link, no other cell."""
    return _ACTS.sub(r"\\\g<0>", printable(text))


def code(text: str) -> str:
    """Returns `text` as code, whatever backticks are in it."""
    text = printable(text)
    marks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " * (text.startswith("`") or text.endswith("`"))
    return f"{marks}{blank}{text}{blank}{marks}"

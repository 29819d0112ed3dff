"""The comparison as Markdown, for a README."""

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
from experiments.reporting.tables.columns import columns
from experiments.style.text import plain


def markdown(comparison: Comparison) -> str:
    """The comparison as one pastes it into a README."""
    shown = [(column.markdown, column.cell) for column in columns(comparison) if column.markdown is not None]
    lines = [f"| {' | '.join(title for title, _ in shown)} |", "| --- " * len(shown) + "|"]
    for row in comparison.rows:
        cells = [plain(cell(row)).replace("|", "\\|") for _, cell in shown]
        lines.append("| " + " | ".join(cells) + " |")
    notice = demonstration(comparison.rows)
    notes = [
        notice,
        notice and f"{OWN_IMAGES} `cnnzoo compare --data DIR --out compared`",
        *comparison.conclusions,
        *data_lines(comparison.rows),
        *audit_lines(comparison.rows),
    ]
    notes += machine_lines(comparison.rows)
    starred = [f"\\* {row.name}: {note}" for row in comparison.rows for note in class_notes(row)]
    commands = [f"Command: `{command}`" for command in commands_of(comparison.rows)]
    return "\n\n".join([note for note in notes if note] + ["\n".join(lines)] + starred + commands) + "\n"

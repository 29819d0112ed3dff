"""The comparison as Markdown, for a README."""

from experiments.reporting.comparison import Comparison
from experiments.reporting.sentences import audit_lines, commands_of, data_lines, demonstration, machine_lines
from experiments.reporting.tables.columns import columns
from experiments.style.text import plain


def markdown(comparison: Comparison) -> str:
    """The comparison as one pastes it into a README."""
    shown = [(column.markdown, column.cell) for column in columns(comparison) if column.markdown is not None]
    lines = [f"| {' | '.join(title for title, _ in shown)} |", "| --- " * len(shown) + "|"]
    for row in comparison.rows:
        cells = [plain(cell(row)).replace("|", "\\|") for _, cell in shown]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [
        demonstration(comparison.rows),
        *comparison.conclusions,
        *data_lines(comparison.rows),
        *audit_lines(comparison.rows),
    ]
    notes += machine_lines(comparison.rows)
    commands = [f"Command: `{command}`" for command in commands_of(comparison.rows)]
    return "\n\n".join([note for note in notes if note] + ["\n".join(lines)] + commands) + "\n"

"""The comparison as LaTeX, for a paper."""

import re
from collections.abc import Sequence

from cnnzoo.errors import printable
from experiments.reporting.comparison import Comparison
from experiments.reporting.notes import class_notes
from experiments.reporting.sentences import data_lines, demonstration
from experiments.reporting.tables.columns import columns

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "≥": r"$\geq$",
    "[": "{[}", "]": "{]}", "*": "{*}",  # an option of the line break above, at the beginning of a line
}  # fmt: skip


def latex(comparison: Comparison) -> str:
    """The comparison as one pastes it into a paper: a table of the package booktabs.

    What stands beside the table in Markdown is a comment here.
    """
    shown = [(column.latex, column.cell) for column in columns(comparison) if column.latex is not None]
    beside = [demonstration(comparison.rows), *comparison.conclusions, *data_lines(comparison.rows)]
    lines = [
        r"% \usepackage{booktabs}",
        *(f"% {printable(note)}" for note in beside if note),
        r"\begin{tabular}{l" + "r" * (len(shown) - 1) + "}",
        r"\toprule",
        _tex_line([title for title, _ in shown]),
        r"\midrule",
        *(_tex_line([cell(row) for _, cell in shown]) for row in comparison.rows),
        *_footnotes(comparison, len(shown)),
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _footnotes(comparison: Comparison, width: int) -> list[str]:
    """What the stars of the accuracies mean, below the last row."""
    notes = [f"* {row.name}: {note}" for row in comparison.rows for note in class_notes(row)]
    lines = [rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {tex(note)}}} \\" for note in notes]
    return [r"\midrule", *lines] if lines else []


def _tex_line(cells: Sequence[str]) -> str:
    return " & ".join(tex(cell) for cell in cells) + r" \\"


def tex(text: str) -> str:
    """Returns `text` on one line with what LaTeX would read as a command escaped."""
    return re.sub(r"[\\&%$#_{}~^±≥\[\]]|\A\*", lambda found: _TEX[found[0]], printable(text))

"""The comparison as LaTeX, for a paper."""

import re
from collections.abc import Sequence

from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import interval_text
from experiments.reporting.sentences import data_lines, demonstration
from experiments.style.text import human_count, human_time, number, plain

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "≥": r"$\geq$",
}  # fmt: skip


def latex(comparison: Comparison) -> str:
    """The comparison as one pastes it into a paper: a table of the package booktabs.

    What stands beside the table in Markdown is a comment here.
    """
    others = comparison.others
    titles = ["Recipe", "Test accuracy", "95 % interval", *others, "Training", "Parameters", "ms/image"]
    lines = [
        r"% \usepackage{booktabs}",
        *(
            f"% {note}"
            for note in [
                demonstration(comparison.rows),
                *comparison.conclusions,
                *data_lines(comparison.rows),
            ]
            if note
        ),
        r"\begin{tabular}{l" + "r" * (len(titles) - 1) + "}",
        r"\toprule",
        _tex_line(titles),
        r"\midrule",
    ]
    for row in comparison.rows:
        accuracy, spread = number(row.average("test_accuracy"), 4), row.deviation("test_accuracy")
        cells = [
            row.name,
            accuracy if spread is None else f"{accuracy} ± {number(spread, 4)}",
            interval_text(row) or row.status,
            *(number(row.other(name, "accuracy"), 4) for name in others),
            human_time(row.average("train_seconds")),
            human_count(row.average("total_params")),
            number(row.average("ms_per_image_32"), 2),
        ]
        lines.append(_tex_line(cells))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _tex_line(cells: Sequence[str]) -> str:
    return " & ".join(tex(cell) for cell in cells) + r" \\"


def tex(text: str) -> str:
    """Returns `text` on one line with what LaTeX would read as a command escaped."""
    return re.sub(r"[\\&%$#_{}~^±≥]", lambda found: _TEX[found[0]], plain(text))

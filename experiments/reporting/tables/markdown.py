"""The comparison as Markdown, for a README."""

from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import Row, interval_text
from experiments.reporting.sentences import audit_lines, commands_of, data_lines, demonstration, machine_lines
from experiments.style.text import human_count, human_time, number, plain


def markdown(comparison: Comparison) -> str:
    """The comparison as one pastes it into a README."""
    others = comparison.others
    titles = ["recipe", "test accuracy (95 %)", "± seeds", "AUROC", *(f"{name} (AUROC)" for name in others)]
    titles += ["training", *(["tracing"] if comparison.traced else [])]
    titles += ["parameters", "ms/image (1 / 32)", "weights", "notes"]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for row in comparison.rows:
        accuracy = f"{number(row.average('test_accuracy'), 4)} ({interval_text(row)})" if row.results else ""
        latency = f"{number(row.average('ms_per_image_1'), 2)} / {number(row.average('ms_per_image_32'), 2)}"
        cells = [
            row.name,
            accuracy,
            number(row.deviation("test_accuracy"), 4),
            number(row.average("auroc"), 4),
            *(other_text(row, name) for name in others),
            human_time(row.average("train_seconds")),
            *([human_time(row.average("tracing_seconds"))] if comparison.traced else []),
            human_count(row.average("total_params")),
            latency if row.results else "",
            row.first.weights,
            "; ".join(comparison.notes[row.name]),
        ]
        lines.append("| " + " | ".join(plain(cell).replace("|", "\\|") for cell in cells) + " |")
    notes = [
        demonstration(comparison.rows),
        *comparison.conclusions,
        *data_lines(comparison.rows),
        *audit_lines(comparison.rows),
    ]
    notes += machine_lines(comparison.rows)
    commands = [f"Command: `{command}`" for command in commands_of(comparison.rows)]
    return "\n\n".join([note for note in notes if note] + ["\n".join(lines)] + commands) + "\n"


def other_text(row: Row, name: str) -> str:
    """Accuracy and AUROC on another data set, as `0.6120 (0.7012)`."""
    accuracy, area = row.other(name, "accuracy"), row.other(name, "auroc")
    return f"{number(accuracy, 4)} ({number(area, 4)})" if accuracy is not None else ""

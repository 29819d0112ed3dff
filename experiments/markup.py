"""The comparison as text: Markdown for a README, LaTeX for a paper, and the sentences beside the table."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from experiments.table import (
    SIDES,
    TRUSTED_ACCURACY,
    Row,
    all_others,
    interval_text,
    row_notes,
    split_kind,
    traced,
)
from experiments.text import human_count, human_time, number, plain

SHORT_HASH = 12
TILE = 64  # pixels: cnnzoo.data.synthetic
RESULTS = Path(__file__).parents[1] / "results" / "README.md"  # of the checkout; a wheel has none
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "≥": r"$\geq$",
}  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """The comparison as one pastes it into a README."""
    others = all_others(rows)
    titles = ["recipe", "test accuracy (95 %)", "± seeds", "AUROC", *(f"{name} (AUROC)" for name in others)]
    titles += ["training", *(["tracing"] if traced(rows) else [])]
    titles += ["parameters", "ms/image (1 / 32)", "weights", "notes"]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for row in rows:
        accuracy = f"{number(row.average('test_accuracy'), 4)} ({interval_text(row)})" if row.results else ""
        latency = f"{number(row.average('ms_per_image_1'), 2)} / {number(row.average('ms_per_image_32'), 2)}"
        cells = [
            row.name,
            accuracy,
            number(row.deviation("test_accuracy"), 4),
            number(row.average("auroc"), 4),
            *(other_text(row, name) for name in others),
            human_time(row.average("train_seconds")),
            *([human_time(row.average("tracing_seconds"))] if traced(rows) else []),
            human_count(row.average("total_params")),
            latency if row.results else "",
            row.first.weights,
            "; ".join(row_notes(row, rows)),
        ]
        lines.append("| " + " | ".join(plain(cell).replace("|", "\\|") for cell in cells) + " |")
    notes = [demonstration(rows), *conclusions(rows), *_data_lines(rows), *audit_lines(rows)]
    notes += machine_lines(rows)
    commands = [f"Command: `{command}`" for command in commands_of(rows)]
    return "\n\n".join([note for note in notes if note] + ["\n".join(lines)] + commands) + "\n"


def latex(rows: Sequence[Row]) -> str:
    """The comparison as one pastes it into a paper: a table of the package booktabs.

    What stands beside the table in Markdown is a comment here.
    """
    others = all_others(rows)
    titles = ["Recipe", "Test accuracy", "95 % interval", *others, "Training", "Parameters", "ms/image"]
    lines = [
        r"% \usepackage{booktabs}",
        *(f"% {note}" for note in [demonstration(rows), *conclusions(rows), *_data_lines(rows)] if note),
        r"\begin{tabular}{l" + "r" * (len(titles) - 1) + "}",
        r"\toprule",
        _tex_line(titles),
        r"\midrule",
    ]
    for row in rows:
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


def demonstration(rows: Sequence[Row], compare: str = "cnnzoo compare", results: Path | None = None) -> str:
    """The line that a demonstration's table carries, else nothing.

    `compare` is what starts a comparison; `results` is for this machine's terminal alone: no path of it
    belongs in a file that is passed on.
    """
    if not any(row.first.demonstration for row in rows):
        return ""
    real = f"; those of 19,995 photographs are in {results}" if results else ""
    return (
        f"A demonstration on drawn tiles of {TILE} pixels, the recipes at two fifths of their usual size: it "
        f"shows how a comparison looks, and says nothing about your walls. For real numbers: `{compare} "
        f"--data DIR`, with a folder of images per class, or `--data metu`{real}."
    )


def conclusions(rows: Sequence[Row]) -> list[str]:
    """A sentence for each test set: what can't be told apart, and what to take."""
    from experiments.verdict import verdicts

    return [verdict.sentence for verdict in verdicts(rows)]


def other_text(row: Row, name: str) -> str:
    """Accuracy and AUROC on another data set, as `0.6120 (0.7012)`."""
    accuracy, area = row.other(name, "accuracy"), row.other(name, "auroc")
    return f"{number(accuracy, 4)} ({number(area, 4)})" if accuracy is not None else ""


def audit_lines(rows: Sequence[Row]) -> list[str]:
    """What the latest audit of each data set found, in a sentence."""
    lines: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.first.started):
        audit, data = row.first.data.get("audit"), row.first.data
        if not audit:
            continue
        ordered = "".join(
            f" The files of {plain(name)} are in the order of their photographs." for name in audit["ordered"]
        )
        suspects = (
            f" Doubtful labels: {audit['label_suspects']:,}."
            if (audit["label_accuracy"] or 0) >= TRUSTED_ACCURACY
            else ""
        )
        lines[str(data.get("fingerprint"))] = (
            f"Audit of {plain(data.get('name', ''))}: of {audit['images']:,} images {audit['twins']:,} show "
            f"what another one shows ({audit['identical']:,} are copies of a file); with a random split "
            f"{audit['random_split_leaked']:,} of {audit['random_split_test']:,} test images have a twin in "
            f"training.{ordered}{suspects}"
        )
    return list(lines.values())


def _data_lines(rows: Sequence[Row]) -> list[str]:
    lines: dict[str, str] = {}
    for row in rows:
        data = row.first.data
        counts = ", ".join(f"{row.images(side):,} {side}" for side in SIDES)
        left_out = f"; {len(data['bad'])} files left out" if data.get("bad") else ""
        split = split_kind(row)
        lines[json.dumps([data.get("fingerprint"), data.get("split"), data.get("images")])] = (
            f"Data: {plain(data.get('name', ''))} ({counts} images in {len(row.class_names)} classes; "
            f"{split} split; fingerprint {str(data.get('fingerprint', ''))[:SHORT_HASH]}{left_out})."
        )
    return list(lines.values())


def machine_lines(rows: Sequence[Row]) -> list[str]:
    """The machines and versions behind the rows, a sentence each."""
    lines: dict[str, None] = {}
    for row in rows:
        for record in row.finished:
            e = record.environment
            lines[
                f"Machine: {e['device']} ({e['processor']}, {e['cores']} cores, {e['memory_gib']} GiB), "
                f"Python {e['python']}, TensorFlow {e['tensorflow']}, Keras {e['keras']} on {e['backend']}, "
                f"cnnzoo {e['cnnzoo']} {e['git_commit']}."
            ] = None
    return [plain(line) for line in lines]


def commands_of(rows: Sequence[Row]) -> list[str]:
    """The commands behind the rows, each once."""
    return list(dict.fromkeys(plain(record.command) for row in rows for record in row.records))

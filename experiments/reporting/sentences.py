"""The sentences beside the tables."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from experiments.reporting.rows import Row
from experiments.runs.spec import SIDES
from experiments.style.text import plain

SHORT_HASH = 12
TILE = 64  # pixels: cnnzoo.data.sources.synthetic, which would load OpenCV
RESULTS = Path(__file__).parents[2] / "results" / "README.md"  # of the checkout; a wheel has none


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


def audit_lines(rows: Sequence[Row]) -> list[str]:
    """What the latest audit of each data set found, in a sentence."""
    lines: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.first.started):
        data, audit = row.first.data, row.first.data.audit
        if audit is None:
            continue
        ordered = "".join(
            f" The files of {plain(name)} are in the order of their photographs." for name in audit.ordered
        )
        suspects = f" Doubtful labels: {audit.label_suspects:,}." if audit.labels_judged else ""
        lines[data.fingerprint] = (
            f"Audit of {plain(data.name)}: of {audit.images:,} images {audit.twins:,} show "
            f"what another one shows ({audit.identical:,} are copies of a file); with a random split "
            f"{audit.random_split_leaked:,} of {audit.random_split_test:,} test images have a twin in "
            f"training.{ordered}{suspects}"
        )
    return list(lines.values())


def data_lines(rows: Sequence[Row]) -> list[str]:
    """The data behind the rows, a sentence each."""
    lines: dict[str, str] = {}
    for row in rows:
        data = row.first.data
        counts = ", ".join(f"{row.images(side):,} {side}" for side in SIDES)
        left_out = f"; {len(data.bad)} files left out" if data.bad else ""
        lines[json.dumps([data.fingerprint, asdict(data.split), data.images])] = (
            f"Data: {plain(data.name)} ({counts} images in {len(row.class_names)} classes; "
            f"{data.split.kind} split; fingerprint {data.fingerprint[:SHORT_HASH]}{left_out})."
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

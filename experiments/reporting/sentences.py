"""The sentences beside the tables."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnnzoo.data.audit.summary import AuditFacts
from cnnzoo.errors import printable
from experiments.reporting.rows import Row
from experiments.runs.spec import SIDES, DataFacts
from experiments.style.text import listed

SHORT_HASH = 12
CLASSES_NAMED = 6  # where there are more, the rarest and the most frequent are
TILE = 64  # pixels: cnnzoo.data.sources.synthetic, which would load OpenCV
MACHINE = (
    "Machine: {device} ({processor}, {cores} cores, {memory_gib} GiB), Python {python}, "
    "{backends}, cnnzoo {cnnzoo} {git_commit}."
)
OWN_IMAGES = "With your own images, in a folder for each class:"
RESULTS = Path(__file__).parents[2] / "results" / "README.md"  # of the checkout; a wheel has none


def demonstration(rows: Sequence[Row], results: Path | None = None) -> str:
    """The line that a demonstration's table carries, else nothing.

    `results` is for this machine's terminal alone: no path of it belongs in a file that is passed on.
    """
    shown = [row.name for row in rows if row.first.demonstration]
    if not shown:
        return ""
    # Somebody's own images may be in the same folder, and of them it isn't true.
    which = "" if len(shown) == len(rows) else f" That is said of {listed(shown)} alone."
    real = f" Results on 19,995 photographs: {results}." if results else ""
    return (
        f"A demonstration on synthetic concrete, tiles of {TILE} pixels, with the recipes at two fifths of "
        f"their usual input size: it shows what a comparison looks like and says nothing about your walls."
        f"{which}{real}"
    )


def audit_lines(rows: Sequence[Row]) -> list[str]:
    """What the latest audit of each data set found, in a sentence."""
    lines: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.first.started):
        data, audit = row.first.data, row.first.data.audit
        if audit is None:
            continue
        ordered = "".join(
            f" The files of {printable(name)} are in the order of their photographs."
            for name in audit.ordered
        )
        augmented = f" {audit.augmented}." if audit.augmented else ""
        suspects = f" Labels worth a second look: {audit.label_suspects:,}." if audit.labels_judged else ""
        lines[data.fingerprint] = (
            f"Audit of {printable(data.name)}: {_near_duplicates(audit)}{augmented}{ordered}{suspects}"
        )
    return list(lines.values())


def _near_duplicates(audit: AuditFacts) -> str:
    if not audit.twins:
        return f"none of {audit.images:,} images has a near-duplicate."
    copies = f"{audit.identical:,} are exact copies" if audit.identical else "none is an exact copy"
    said = f"of {audit.images:,} images {audit.twins:,} have a near-duplicate ({copies} of a file)."
    if audit.random_split_leaked:
        said += (
            f" In a random split {audit.random_split_leaked:,} of {audit.random_split_test:,} test images "
            "would have one in training."
        )
    return said


def unlike_line(rows: Sequence[Row]) -> str:
    """Which other data sets are unlike the training images, and what to do; empty where none is."""
    from cnnzoo.evaluation.likeness import FEW_UNLIKE

    shares: dict[str, float] = {}
    for row in rows:
        for name in row.other_names:
            shares[name] = max(shares.get(name, 0.0), row.other(name, "unlike") or 0.0)
    far = [
        f"{100 * share:.0f} % of {printable(name)}" for name, share in shares.items() if share > FEW_UNLIKE
    ]
    if not far:
        return ""
    return (
        f"Unlike the training images: {listed(far)}. Trust no verdict on such images beyond what was "
        "measured here; to train on them too, label those that teach most (cnnzoo suggest)."
    )


def data_lines(rows: Sequence[Row]) -> list[str]:
    """The data behind the rows, with their classes, a sentence each."""
    lines: dict[str, str] = {}
    # Of rows with the same data one that has a result last: it knows the groups of the test images.
    for row in sorted(rows, key=lambda row: row.test_groups is not None):
        data = row.first.data
        count = len(data.bad)
        left_out = f"; {count} file{'s' * (count != 1)} left out" if count else ""
        lines[json.dumps([data.fingerprint, asdict(data.split), data.images])] = (
            f"{class_line(row)[:-1]}; fingerprint {data.fingerprint[:SHORT_HASH]}{left_out}."
        )
    return list(lines.values())


def class_lines(rows: Sequence[Row]) -> list[str]:
    """The classes of each row's data, each data set once."""
    return list(dict.fromkeys(class_line(row) for row in rows))


def class_line(row: Row) -> str:
    """Name and split of a row's data, and the images of each class; of many classes, of two of them."""
    data = row.first.data
    sides = ("test",) if data.split.folds else SIDES  # which are all images of the other folds too
    totals = {name: sum(data.images.get(side, {}).get(name, 0) for side in sides) for name in row.class_names}
    if len(totals) <= CLASSES_NAMED:
        classes = "; ".join(_class(data, name, totals[name]) for name in totals)
    else:
        ordered = sorted(totals, key=lambda name: totals[name])
        classes = f"{len(totals)} classes, the rarest {_class(data, ordered[0], totals[ordered[0]])}"
        classes += f", the most frequent {_class(data, ordered[-1], totals[ordered[-1]])}"
    return f"Data: {printable(data.name)}, {data.split.named}. {classes}{test_groups(row)}."


def test_groups(row: Row) -> str:
    """From how many groups the test images come; empty where each is one of its own."""
    groups = row.test_groups
    if groups is None or groups == row.results[0].test_images:
        return ""
    return f"; the {row.results[0].test_images:,} test images come from {groups:,} group{'s' * (groups != 1)}"


def _class(data: DataFacts, name: str, total: int) -> str:
    positive = ", the positive class" if name == data.positive else ""
    sides, each = (SIDES[:2], " in a fold, each image tested once") if data.split.folds else (SIDES, "")
    counts = ", ".join(f"{data.images.get(side, {}).get(name, 0):,} {side}" for side in sides)
    return f"{printable(name)}{positive}: {total:,} images ({counts}{each})"


def machine_lines(rows: Sequence[Row]) -> list[str]:
    """The machines and versions behind the rows, a sentence each."""
    lines: dict[str, None] = {}
    for row in rows:
        for record in row.finished:
            lines[_machine_line(record.environment)] = None
    return [printable(line) for line in lines]


def _machine_line(environment: Mapping[str, Any]) -> str:
    known = defaultdict(lambda: "?", environment)
    backends = "Keras {keras} on {backend}".format_map(known)
    if known["backend"] != "tensorflow" and "backend_version" in environment:
        backends += f" {known['backend_version']}"
    if known["tensorflow"]:
        backends = f"TensorFlow {known['tensorflow']}, {backends}"
    if environment.get("precision", "float32") != "float32":
        backends += f" in {environment['precision']}"
    return MACHINE.format_map(defaultdict(lambda: "?", environment, backends=backends))


def commands_of(rows: Sequence[Row]) -> list[str]:
    """The commands behind the rows, each once, spelt as in the README however they were started."""
    commands = [printable(record.command) for row in rows for record in row.records]
    return list(dict.fromkeys(re.sub(r"^python -m experiments\.", "cnnzoo ", each) for each in commands))

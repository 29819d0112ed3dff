"""Another tool: ultralytics' yolo11n-cls beside crack_net, on the same split, from random weights."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cnnzoo.data.manifest import Manifest
from cnnzoo.errors import InputError
from cnnzoo.files import cache_dir
from experiments.benchmarks.compared import finished_of, machine_of, seconds_of
from experiments.benchmarks.images import link_images
from experiments.benchmarks.registry import Request, Tell, unsaid
from experiments.benchmarks.rivals import yolo_script
from experiments.benchmarks.rows import Row
from experiments.runs.data_plan import prepare_data
from experiments.runs.records import RunRecord
from experiments.runs.sides import DataRequest
from experiments.runs.spec import DataFacts

RECIPE = "crack_net"
EPOCHS, BATCH, PIXELS = 6, 64, 160
SIDES = {"train": "train", "validation": "val", "test": "test"}
PACKAGE = "ultralytics"


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields seconds, accuracy and parameters of both, on the images of the grouped split."""
    python = request.python or Path(sys.executable)
    check_importable(python, PACKAGE)
    tell("splitting the images as compare does")
    folder = request.out / PACKAGE
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    plan = prepare_data(DataRequest(request.data, folder, limit=request.limit), unsaid)
    manifest = Manifest.load(plan.manifest_file)
    split = json.loads(plan.parts[0].split_file.read_text(encoding="utf-8"))
    records = finished_of(request, [RECIPE], tell)
    ours = [record for record in records if _split_of(record.data) == _split_of(plan.parts[0].data)]
    if not ours:
        raise InputError(f"--runs: {RECIPE} was trained on other images or another split there")
    epochs = min(EPOCHS, request.epochs or EPOCHS)
    yolo = train_yolo(python, manifest, split, epochs, folder, tell)
    yield from rows(ours[0], yolo, epochs, len(split["train"]))


def _split_of(data: DataFacts) -> tuple[object, ...]:
    split = data.split
    return data.fingerprint, split.kind, split.groups, split.seed, split.fractions


def check_importable(python: Path, package: str) -> None:
    """Checks that an interpreter has a package.

    Raises:
        InputError: it has not, or it can't be started.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user names
            [python, "-c", f"import {package}"], capture_output=True, check=False
        )
    except OSError as error:
        raise InputError(f"--python {python}: {error.strerror}") from None
    if done.returncode:
        raise InputError(
            f"{python} can't import {package}: pip install {package} into an environment of its own, and "
            "name its interpreter with --python"
        )


def train_yolo(
    python: Path, manifest: Manifest, split: dict[str, list[int]], epochs: int, folder: Path, tell: Tell
) -> dict[str, Any]:
    """Trains yolo11n-cls on the split in a process of its own; returns what its script wrote."""
    folder = folder.resolve()
    log, answer = folder / "yolo.log", folder / "yolo.json"
    answer.unlink(missing_ok=True)
    with TemporaryDirectory(prefix="cnnzoo-bench-", dir=cache_dir()) as name:
        for side, theirs in SIDES.items():
            images = tuple(manifest.images[i] for i in split[side])
            link_images(replace(manifest, images=images), Path(name, "images", theirs))
        tell(f"training yolo11n-cls for {epochs} epochs; for progress see {log}")
        command = [python, yolo_script.__file__, name, epochs, BATCH, PIXELS, answer]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with log.open("wb") as file:
            done = subprocess.run(  # noqa: S603 - the interpreter that the user names
                list(map(str, command)), stdout=file, stderr=file, cwd=name, env=environment, check=False
            )
    if done.returncode or not answer.exists():
        raise InputError(f"ultralytics ended with exit code {done.returncode}; see {log}")
    return json.loads(answer.read_text(encoding="utf-8"))


def rows(record: RunRecord, yolo: dict[str, Any], epochs: int, images: int) -> Iterator[Row]:
    """Yields crack_net's figures beside those of yolo11n-cls."""
    result = record.result
    assert result is not None
    row = partial(Row, rival_name=f"yolo11n-cls, {epochs} epochs")
    versions = ", ".join(f"{name} {version}" for name, version in yolo["versions"].items())
    training = seconds_of(result.history)
    yield row(
        f"{RECIPE}: {len(result.history)} epochs, from the start of the process",
        result.start_seconds + result.decode_seconds + training,
        "s",
        rival=yolo["start_seconds"] + yolo["train_seconds"],
        less_is_better=True,
        note=f"{RECIPE} on {machine_of(record)}; {versions}",
    )
    yield row(
        f"{RECIPE}: training with validation",
        len(result.history) * images / training,
        "images/s",
        rival=epochs * images / yolo["train_seconds"],
    )
    yield row(
        f"{RECIPE}: accuracy on {result.test_images:,} test images",
        result.test_accuracy,
        "",
        rival=yolo["test_accuracy"],
    )
    yield row(f"{RECIPE}: parameters", result.total_params, "", rival=yolo["parameters"], less_is_better=True)

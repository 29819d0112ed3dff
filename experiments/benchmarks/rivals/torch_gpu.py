"""PyTorch on a GPU, in whatever interpreter has it: networks of timm, else of torchvision."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.benchmarks.rivals.pytorch import has_torch

if TYPE_CHECKING:
    from experiments.benchmarks.parts.networks import Scale

HOW = "channels_last, torch.compile"
NETWORKS = ("resnet50", "mobilenet_v2")
SCRIPT = Path(__file__).with_name("torch_gpu_script.py")  # not imported: this interpreter may lack torch


class NoRival(Exception):
    """Why PyTorch measured nothing."""


def missing(python: Path | None) -> str:
    """Says that an interpreter lacks PyTorch; nothing where it has it."""
    return (
        "" if has_torch(python) else "PyTorch with torchvision is not installed here (--python names where)"
    )


def speeds(
    name: str, pixels: int, batch: int, precision: str, scale: "Scale", *, python: Path | None
) -> tuple[str, dict[str, float]]:
    """Returns who made the network and how it ran, and images a second in training and inference.

    Raises:
        NoRival: PyTorch has no such network, or failed on it.
    """
    if name not in NETWORKS:
        raise NoRival(f"neither timm nor torchvision has {name}")
    numbers = pixels, batch, precision, scale.steps, scale.rounds
    done = subprocess.run(  # noqa: S603 - the interpreter that the user names
        [str(python or sys.executable), str(SCRIPT), name, *map(str, numbers)],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
    )
    if done.returncode:
        raise NoRival(f"PyTorch failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return f"{found.pop('maker')}, {HOW}", found

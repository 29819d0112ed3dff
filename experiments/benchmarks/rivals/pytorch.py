"""PyTorch, in whatever interpreter has it: networks of torchvision, channels last, images in memory."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from cnnzoo.errors import InputError
from cnnzoo.training.config import Phase
from experiments.benchmarks.clock import Lap
from experiments.recipes.recipe import Recipe

NAME = "PyTorch channels_last, no augmentation"
NETWORKS = ("three_conv", "mobilenet_v2", "resnet50")
SCRIPT = Path(__file__).with_name("torch_script.py")  # not imported: this interpreter may lack torch

# `train` or `predict`, and how many images.
Ask = Callable[[str, int], Lap]


def has_torch(python: Path | None) -> bool:
    """Whether an interpreter has PyTorch and torchvision; None is the one that runs this."""
    done = subprocess.run(  # noqa: S603 - the interpreter that the user names
        [python or sys.executable, "-c", "import torch, torchvision"], capture_output=True, check=False
    )
    return done.returncode == 0


@contextmanager
def process(python: Path | None, recipe: Recipe, phase: Phase) -> Iterator[Ask]:
    """Gives what has a process of PyTorch train the phase, or predict, and waits for it.

    Raises:
        InputError: it ended before its time; the message has the last line that it said.
    """
    command = [
        python or sys.executable,
        SCRIPT,
        recipe.model,
        recipe.image_size,
        recipe.batch_size,
        phase.trainable,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with subprocess.Popen(  # noqa: S603 - the interpreter that the user names
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        try:
            yield partial(_ask, child)
        finally:
            child.kill()


def _ask(child: subprocess.Popen[str], action: str, count: int) -> Lap:
    assert child.stdin and child.stdout and child.stderr
    with suppress(BrokenPipeError):  # it has ended, and its stderr says why
        print(action, count, file=child.stdin, flush=True)
    answer = child.stdout.readline().split()
    if len(answer) != 2:
        said = child.stderr.read().strip().rpartition("\n")[2]
        raise InputError(f"PyTorch ended before its time: {said}")
    return Lap(float(answer[0]), float(answer[1]))

"""Tests of other files again, in a process with JAX as the backend: what a GPU runs, on the processor."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ON_JAX = ("data/test_on_device.py", "training/test_fit_on_device.py")

pytestmark = pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed here")


@pytest.mark.slow
def test_batches_and_training_on_the_device_are_right_on_jax():
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *(str(TESTS / file) for file in ON_JAX)]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]

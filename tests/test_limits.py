"""What memory a process has had."""

import subprocess
import sys

import numpy as np

from cnnzoo.limits import peak_memory

MB = 2**20


def test_memory_that_was_given_back_counts():
    before = peak_memory()
    np.ones(300 * MB, np.uint8)
    assert peak_memory() > 300 * MB and peak_memory() >= before


def test_what_the_parent_holds_is_not_counted():
    held = np.ones(300 * MB, np.uint8)
    code = "from cnnzoo.limits import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 * MB < int(done.stdout) < 200 * MB < held.size

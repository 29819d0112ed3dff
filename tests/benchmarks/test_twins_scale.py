"""Seconds and memory of the search for twins as images become more; `--record` writes them."""

import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from time import perf_counter

import numpy as np
import pytest

from experiments.benchmarks.stages import rough_tiles

COUNTS = (5_000, 20_000, 100_000)


def measure(count):
    """Indexes `count` tiles and looks for twins; returns seconds of both and GiB at the peak."""
    import cv2

    from cnnzoo.data.audit.twins import TwinIndex

    cv2.setNumThreads(1)
    index = TwinIndex(count)
    seconds = np.zeros(count)

    def add(item):
        i, tile = item
        start = perf_counter()
        index.add(i, tile)
        seconds[i] = perf_counter() - start

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tiles = enumerate(islice(rough_tiles(), count))
        while batch := list(islice(tiles, 1000)):
            list(pool.map(add, batch))
    start = perf_counter()
    twins = index.find(progress=False).twins
    found = perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return seconds.sum() / os.cpu_count(), found, memory, len(twins)


@pytest.mark.slow
def test_time_grows_about_linearly_and_memory_stays_small(record):
    each = {}
    for count in COUNTS:
        # A process each: the peak of memory is the process's.
        code = f"from tests.benchmarks.test_twins_scale import measure; print(*measure({count}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        added, found, memory, twins = map(float, done.stdout.split())
        each[count] = 1000 * (added + found) / count
        record(
            images=count,
            index_seconds=added,
            search_seconds=found,
            ms_per_image=each[count],
            gib=memory,
            false_pairs=int(twins),
        )
        assert twins <= count / 1000
        if count <= 40_000:
            assert memory < 2
            assert added + found < 600
    # Twenty times the images, less than fifty times the seconds: a little more than linear.
    assert each[100_000] < 2.5 * each[5_000]


@pytest.mark.slow
def test_an_audit_of_forty_thousand_images_takes_ten_minutes_at_most(shared, tmp_path, record):
    """METU's half beside itself, every image mirrored and encoded again: each has a twin at least."""
    import cv2

    for folder in sorted((shared / "data" / "metu_half").iterdir()):
        for path in sorted(folder.glob("*.jpg")):
            copy = tmp_path / "images" / folder.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(path)
            cv2.imwrite(str(copy.with_stem("mirrored_" + path.stem)), cv2.imread(str(path))[:, ::-1])
    images = sum(1 for _ in tmp_path.glob("images/*/*"))
    command = [sys.executable, "-m", "experiments.audit", str(tmp_path / "images"), "--out", str(tmp_path)]
    start = perf_counter()
    audit = subprocess.Popen(command, env=os.environ | {"CNNZOO_CACHE": str(tmp_path / "cache")})
    _, status, usage = os.wait4(audit.pid, 0)
    seconds, memory = perf_counter() - start, usage.ru_maxrss / 2**20
    audit.returncode = os.waitstatus_to_exitcode(status)  # Popen knows of its own wait alone
    assert audit.returncode == 0
    record(images=images, seconds=seconds, gib=memory)
    assert images > 39_000
    assert seconds < 600
    assert memory < 2

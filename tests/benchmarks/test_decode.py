"""Reading files against plain Pillow: `pytest tests/benchmarks --benchmark-enable --benchmark-only`."""

from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnzoo.data.images import load_images, read_image, resize_image

COUNT = 200


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """JPEGs of 227 x 227 pixels and about 8 kB, as those of METU."""
    folder = tmp_path_factory.mktemp("jpeg")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        rough = cv2.resize(rng.normal(150, 14, (114, 114, 3)), (227, 227), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(rough.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.jpg", quality=75)
    return sorted(folder.iterdir())


def pillow_alone(path):
    """What any reading by Pillow costs: neither EXIF nor modes nor size."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("read", [pillow_alone, read_image], ids=["pillow_alone", "read_image"])
def test_read(benchmark, paths, read):
    cv2.setNumThreads(1)

    def all_of_them():
        with ThreadPoolExecutor(cpu_count()) as pool:
            return sum(image.shape == (227, 227, 3) for image in pool.map(read, paths))

    assert benchmark(all_of_them) == COUNT
    note_speed(benchmark)


def test_resize(benchmark, paths):
    images = [read_image(path) for path in paths]
    assert len(benchmark(lambda: [resize_image(image, 160) for image in images])) == COUNT
    note_speed(benchmark)


def test_read_and_resize(benchmark, paths):
    out = np.empty((COUNT, 160, 160, 3), np.uint8)
    assert benchmark(lambda: load_images(paths, 160, progress=False, out=out)) is out
    note_speed(benchmark)


def note_speed(benchmark):
    if benchmark.stats is not None:
        benchmark.extra_info["images_per_second"] = COUNT / benchmark.stats.stats.median

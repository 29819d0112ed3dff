"""What `cnnzoo bench --only pipeline` measures; `pytest tests/benchmarks --benchmark-enable` times it too."""

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnzoo.data.images import load_images, read_image, resize_image
from experiments.benchmarks.parts import pipeline

COUNT = 100


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """JPEGs of 227 x 227 pixels and about 8 kB, as those of METU."""
    folder = tmp_path_factory.mktemp("jpeg")
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        rough = cv2.resize(rng.normal(150, 14, (114, 114, 3)), (227, 227), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(rough.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.jpg", quality=75)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def pixels(paths):
    return load_images(paths, pipeline.SIZE, progress=False)


def measured(benchmark, action):
    """Times an action, or does it once with `--benchmark-disable`; returns what it returns."""
    result = benchmark(action)
    if benchmark.stats is not None:
        benchmark.extra_info["images_per_second"] = COUNT / benchmark.stats.stats.median
    return result


def test_first_pass(benchmark, paths):
    images = measured(benchmark, pipeline.first_pass(paths))
    assert (images[3] == resize_image(read_image(paths[3]), pipeline.SIZE)).all()


def test_decoding_alone(benchmark, paths):
    assert measured(benchmark, pipeline.decode_alone(paths)) == COUNT * 227 * 227 * 3


def test_a_damaged_file_stops_decoding_alone(tmp_path):
    (tmp_path / "damaged.jpg").write_bytes(b"no JPEG")
    with pytest.raises(ValueError):
        pipeline.decode_alone([tmp_path / "damaged.jpg"])()


def test_later_pass(benchmark, pixels):
    assert measured(benchmark, pipeline.later_pass(pixels)) == COUNT


def test_copying_memory(benchmark, pixels):
    assert (measured(benchmark, pipeline.copy_memory(pixels)) == pixels).all()


@pytest.mark.parametrize("kind", pipeline.KINDS)
def test_augmentation(benchmark, kind, pixels):
    before = pixels.copy()
    assert measured(benchmark, pipeline.augment_all(pixels, pipeline.KINDS[kind])) == COUNT
    assert (pixels == before).all()

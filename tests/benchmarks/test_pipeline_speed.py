"""How fast the pipeline delivers; `pytest tests/benchmarks --benchmark-enable --benchmark-only` measures."""

import numpy as np
import pytest

from cnnzoo.data.augment import Augmentation
from cnnzoo.data.pipeline import ImageSet

COUNT, SIZE = 256, 160


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
    return ImageSet(pixels, np.zeros(COUNT, np.int32), tuple(map(str, range(COUNT))), 32)


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(), Augmentation(horizontal_flip=True, rotation=0.2)],
    ids=["plain", "flip_and_rotation"],
)
def test_an_epoch(benchmark, images, augmentation):
    def epoch():
        dataset = images.training_dataset(epochs=1, seed=0, augmentation=augmentation)
        return sum(len(labels) for _, labels in dataset)

    assert benchmark(epoch) == COUNT
    if benchmark.stats is not None:
        benchmark.extra_info["images_per_second"] = COUNT / benchmark.stats.stats.median

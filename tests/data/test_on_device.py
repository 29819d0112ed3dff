"""Batches cut and augmented on the device equal those that OpenCV makes.

Run with the backend that the tests run with; `tests/test_jax.py` runs this file again on JAX.
"""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cnnzoo import gpu
from cnnzoo.data import augment as on_host
from cnnzoo.data.augment import Augmentation, draw
from cnnzoo.data.device import augment as on_device
from cnnzoo.data.pipeline import ImageSet
from cnnzoo.errors import InputError

SIZE, COUNT = 48, 24


@pytest.fixture(scope="module")
def pictures():
    """Smooth ones with edges, as photographs are: noise would say little about interpolation."""
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.uniform(0, 255, (COUNT, SIZE, SIZE, 3)), (0, 3, 3, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    smooth[:, 10:20, 5:40] = rng.uniform(0, 255, (COUNT, 1, 1, 3))
    return smooth.astype(np.uint8)


def differences(pictures, augmentation):
    """How far each value of the pictures made on the device is from that of OpenCV, in levels."""
    draws = draw(augmentation, count=COUNT, size=SIZE, seed=0, epoch=1)
    wanted = on_host.augment(pictures, augmentation, draws)
    assert not np.array_equal(wanted, pictures)
    tensors = on_device.to_device(draws, augmentation)
    made = on_device.augment(keras.ops.convert_to_tensor(pictures), augmentation, tensors)
    made = keras.ops.convert_to_numpy(made)
    assert made.dtype == np.uint8
    return np.abs(made.astype(int) - wanted.astype(int))


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(horizontal_flip=True),
        Augmentation(vertical_flip=True),
        Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True),
    ],
)
def test_flips_and_quarter_turns_are_the_same(pictures, augmentation):
    assert differences(pictures, augmentation).max() == 0


@pytest.mark.parametrize(
    ("augmentation", "mean", "most"),
    [
        (Augmentation(rotation=0.5), 0.01, 1),
        (Augmentation(zoom=0.5), 0.01, 1),
        (Augmentation(light=0.4), 0.01, 1),
        (Augmentation(colour=0.3), 0.01, 1),
        (Augmentation(gamma=0.5), 0.01, 1),
        (Augmentation(blur=3.0), 0.1, 1),  # OpenCV rounds the kernel to a 256th
        (Augmentation(noise=12.0), 0.01, 1),
        (Augmentation(True, True, 0.5, True, 0.5, 0.4, 0.3, 3.0, 12.0, 0.5), 0.1, 3),
    ],
    ids=lambda value: (
        "-".join(k for k, v in vars(value).items() if v) if isinstance(value, Augmentation) else ""
    ),
)
def test_what_changes_values_is_the_same_up_to_rounding(pictures, augmentation, mean, most):
    found = differences(pictures, augmentation)
    print(f"mean {found.mean():.4f}, most {found.max()}")
    assert found.mean() < mean
    assert found.max() <= most


def image_set(pictures, *, on_device):
    labels = np.arange(COUNT, dtype=np.int32)
    images = ImageSet(pictures, labels, tuple(map(str, labels)), batch_size=7)
    vars(images)["on_device"] = on_device  # decided, as at first use
    return images


def as_arrays(batches):
    return [tuple(keras.ops.convert_to_numpy(part) for part in batch) for batch in batches]


@pytest.mark.parametrize(
    "kept", ["training", "training from the middle", "a view", "in order", "for prediction"]
)
def test_batches_from_the_device_are_those_of_tf_data(pictures, kept):
    augmentation = Augmentation(horizontal_flip=True, quarter_turns=True)
    make = {
        "training": lambda images: images.training_dataset(epochs=3, seed=4, augmentation=augmentation),
        "training from the middle": lambda images: images.training_dataset(
            epochs=1, seed=4, augmentation=augmentation, first_epoch=1, first_batch=2
        ),
        "a view": lambda images: images.view(epoch=2, seed=4, augmentation=augmentation),
        "in order": lambda images: images.dataset(),
        "for prediction": lambda images: images.dataset(labels=False),
    }[kept]
    on_device = make(image_set(pictures, on_device=True))
    wanted = list(make(image_set(pictures, on_device=False)).as_numpy_iterator())
    found = as_arrays(on_device[i] for i in range(len(on_device)))
    assert len(found) == len(wanted)
    for batch, other in zip(found, wanted, strict=True):
        assert len(batch) == len(other)
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(batch, other, strict=True))


def test_images_stay_on_the_device_by_what_the_backend_has(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(gpu, "_free_on_jax_device", lambda: 1000)
    monkeypatch.setattr(gpu, "gpus", lambda: [])
    assert not gpu.room_on_device(500), "tf.data is faster on a processor"
    monkeypatch.setattr(gpu, "gpus", lambda: [gpu.Gpu("a GPU", bfloat16=True)])
    assert gpu.room_on_device(500)
    assert not gpu.room_on_device(501)
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    assert not gpu.room_on_device(500)


def test_without_tensorflow_images_that_do_not_fit_are_a_line_with_ways_out(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(gpu, "_free_on_jax_device", lambda: 4e9)
    monkeypatch.setattr(gpu, "gpus", lambda: [])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert gpu.room_on_device(2e9)
    with pytest.raises(InputError, match=r"3\.0 GB, and 4\.0 GB are free .* 50%: .*tensorflow-cpu"):
        gpu.room_on_device(3e9)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([], "float32"),
        ([gpu.Gpu("H100", bfloat16=True)], "mixed_bfloat16"),
        ([gpu.Gpu("H100", bfloat16=True), gpu.Gpu("V100", bfloat16=False)], "float32"),
    ],
)
def test_precision_is_what_all_devices_have(monkeypatch, found, wanted):
    monkeypatch.setattr(gpu, "gpus", lambda: found)
    assert gpu.precision() == wanted


@pytest.mark.parametrize(
    ("capability", "wanted"), [("9.0", True), ("8.0", True), ("7.5", False), ("gfx90a", False), ("", False)]
)
def test_bfloat16_goes_by_the_compute_capability(capability, wanted):
    assert gpu._has_bfloat16(SimpleNamespace(compute_capability=capability)) is wanted

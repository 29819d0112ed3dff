"""Speeds of one network, and of the matrix units, on the device of the backend: each in a fresh process."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.benchmarks.clock import Lap, Timing, lap

PRODUCTS = 20  # of matrices, in a lap
LAPS = 3
IMAGE_BATCHES = 4  # of different images, which are trained on again and again


@dataclass(frozen=True)
class Speed:
    """Images a second, multiply-adds that each image takes, and how far the laps lie apart."""

    images_per_second: float
    flops: int
    noise: float


def matrix_product_rate(precision: str, side: int) -> float:
    """Returns the multiply-adds a second of a product of random square matrices, of `side` rows each."""
    import keras

    values = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    matrix = keras.ops.cast(keras.ops.convert_to_tensor(values), keras.DTypePolicy(precision).compute_dtype)
    seconds = []
    for _ in range(1 + LAPS):
        start = time.perf_counter()
        for _ in range(PRODUCTS):
            product = keras.ops.matmul(matrix, matrix)
        keras.ops.convert_to_numpy(product[0, :1])  # waits for it
        seconds.append((time.perf_counter() - start) / PRODUCTS)
    return side**3 / float(np.median(seconds[1:]))


def speeds(name: str, pixels: int, batch: int, precision: str, steps: int, rounds: int) -> dict[str, Speed]:
    """Trains a network from random weights, and asks it, as `fit` and `evaluate` do, in laps of `steps`."""
    import keras

    import cnnzoo
    from cnnzoo.models.flops import count_flops
    from cnnzoo.training.config import Phase
    from cnnzoo.training.fit import compile_phase
    from experiments.benchmarks.arithmetic import training_flops

    keras.config.set_dtype_policy(precision)
    model = cnnzoo.create_model(name, input_shape=(pixels, pixels, 3), num_classes=2)
    compile_phase(model, Phase(epochs=1, optimizer="sgd"), steps=steps)
    images = _random_images(batch, pixels)
    laps = {
        "training": _training_laps(model, images, steps, rounds),
        "inference": _inference_laps(model, images, steps, rounds),
    }
    flops = {"training": training_flops(model), "inference": count_flops(model)}
    timings = {what: Timing.of(done[1:]) for what, done in laps.items()}
    return {
        what: Speed(steps * batch / timing.seconds, flops[what], timing.noise)
        for what, timing in timings.items()
    }


def _random_images(batch: int, pixels: int) -> Any:
    from cnnzoo.data.pipeline import ImageSet

    count = IMAGE_BATCHES * batch
    values = np.random.default_rng(0).integers(0, 256, (count, pixels, pixels, 3), dtype=np.uint8)
    return ImageSet(values, np.arange(count, dtype=np.int32) % 2, tuple(map(str, range(count))), batch)


def _batches(images: Any, steps: int) -> Any:
    """At least so many batches."""
    return images.training_dataset(epochs=-(-steps // images.steps), seed=0)


def _training_laps(model: Any, images: Any, steps: int, rounds: int) -> list[Lap]:
    from cnnzoo.training.recorder import Callbacks
    from experiments.benchmarks.side_by_side import EpochClock

    clock, laps = EpochClock(), []
    for _ in range(1 + rounds):
        model.fit(
            _batches(images, steps),
            steps_per_epoch=steps,
            callbacks=Callbacks(model, [clock]),
            shuffle=False,
            verbose=0,
        )
        laps.append(clock.lap)
    return laps


def _inference_laps(model: Any, images: Any, steps: int, rounds: int) -> list[Lap]:
    return [
        lap(lambda: model.predict(_batches(images, steps), steps=steps, verbose=0)) for _ in range(1 + rounds)
    ]

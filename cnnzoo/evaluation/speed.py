"""How long a trained model takes for an image."""

from collections.abc import Callable
from time import perf_counter

import keras
import numpy as np

from cnnzoo.backend import trace_prediction

REPEATS = 20  # of which the median counts


def milliseconds_per_image(model: keras.Model, *, batch_size: int, repeats: int = REPEATS) -> float:
    """Returns the median time of one compiled prediction of `batch_size` images, per image.

    Input in host memory, output back in host memory, as an application would see it.
    """
    trace_prediction(model)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *model.input_shape[1:]), dtype=np.uint8)
    return median_milliseconds(lambda: np.asarray(model.predict_on_batch(images)), repeats) / batch_size


def median_milliseconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Returns the median time of a call, after two that warm up."""
    seconds = []
    for _ in range(repeats + 2):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return 1000 * float(np.median(seconds[2:]))

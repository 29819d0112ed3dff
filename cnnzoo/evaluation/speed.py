"""How long a trained model takes for an image."""

from time import perf_counter

import keras
import numpy as np

from cnnzoo.backend import trace_prediction


def milliseconds_per_image(model: keras.Model, *, batch_size: int, repeats: int = 20) -> float:
    """Returns the median time of one compiled prediction of `batch_size` images, per image.

    Input in host memory, output back in host memory, as an application would see it.
    """
    trace_prediction(model)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *model.input_shape[1:]), dtype=np.uint8)
    seconds = []
    for _ in range(repeats + 2):  # the first calls warm up
        start = perf_counter()
        np.asarray(model.predict_on_batch(images))
        seconds.append(perf_counter() - start)
    return 1000 * float(np.median(seconds[2:])) / batch_size

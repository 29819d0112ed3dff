"""The same model on JAX and PyTorch: equal outputs from a saved file, and a step of training."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from parity import OURS, images, predict

from cnnzoo.registry import create_model

SIZE = 64
CODE = """
import sys
import keras
import numpy as np
import cnnzoo

name = sys.argv[1]
x = np.load("x.npy")
loaded = keras.saving.load_model("model.keras")
np.save("y.npy", keras.ops.convert_to_numpy(loaded(x, training=False)))
model = cnnzoo.create_model(name, input_shape=x.shape[1:])
model.compile("adam", "binary_crossentropy", jit_compile=False)
loss = model.train_on_batch(x, np.zeros((len(x), model.output_shape[-1]), "float32"))
assert np.isfinite(loss), loss
assert keras.backend.backend() == sys.argv[2]
"""


def on_backend(backend, code, *arguments, folder):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module", params=["jax", "torch"])
def backend(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if on_backend(request.param, f"import {request.param}", folder=folder).returncode:
        pytest.skip(f"{request.param} is not installed here")
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_outputs_are_those_of_tensorflow_and_it_trains(name, backend, tmp_path):
    keras.utils.set_random_seed(0)
    model = create_model(name, input_shape=(SIZE, SIZE, 3))
    x = images(4, SIZE)
    # A step of training gives batch norm statistics with which the features do not vanish.
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    model.train_on_batch(x, np.zeros((len(x), model.output_shape[-1]), "float32"))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    done = on_backend(backend, CODE, name, backend, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), predict(model, x), atol=1e-4)

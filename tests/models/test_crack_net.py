"""The small network: its size, and what its options for the input promise."""

import subprocess
import sys
from itertools import pairwise

import keras
import numpy as np
import pytest
from parity import images, predict

from cnnzoo.errors import InputError
from cnnzoo.models.catalogue import create_model

SHAPE = (64, 64, 3)


def test_it_keeps_to_the_parameters_that_it_promises():
    # Kernels 3x3 (the first 7x7) without offsets, four numbers a channel for each norm, the dense layer.
    widths = [3, 16, 24, 24, 44, 44, 80, 80]
    kernels = 49 * 3 * 16 + sum(9 * a * b for a, b in pairwise(widths[1:]))
    count = create_model("crack_net").count_params()
    assert count == kernels + 4 * sum(widths[1:]) + 80 * 2 + 2
    assert count <= 130_000


def test_standardised_it_does_not_see_exposure_and_contrast():
    keras.utils.set_random_seed(0)
    model = create_model("crack_net", input_shape=SHAPE, standardise=True)
    dark = np.random.default_rng(0).uniform(20, 120, (4, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(predict(model, dark), predict(model, 2 * dark + 10), atol=1e-3)
    plain = predict(model, np.full((1, *SHAPE), 130, np.uint8))
    assert np.isfinite(plain).all()


def test_on_gray_it_sees_luma_alone():
    keras.utils.set_random_seed(0)
    model = create_model("crack_net", input_shape=SHAPE, gray=True)
    x = images(4)
    luma = (x @ np.array([0.299, 0.587, 0.114])).astype(np.float32)
    gray = np.repeat(luma[..., None], 3, axis=3)
    np.testing.assert_allclose(predict(model, x), predict(model, gray), atol=1e-4)
    assert create_model("crack_net", input_shape=(64, 64, 1), gray=True).output_shape == (None, 2)


def test_its_saved_file_needs_keras_alone(tmp_path):
    model = create_model("crack_net", input_shape=SHAPE, gray=True, standardise=True, max_pooling=True)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", images(2))
    code = (
        "import keras, numpy, sys; model = keras.saving.load_model('model.keras');"
        "numpy.save('y.npy', model(numpy.load('x.npy'))); assert 'cnnzoo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), predict(model, images(2)))


@pytest.mark.parametrize(
    ("widths", "depths"), [((8, 16), (1,)), ((), ()), ((8, 0), (1, 1)), ((8, 16), (1, 0))]
)
def test_stages_need_a_width_and_a_depth_each(widths, depths):
    with pytest.raises(InputError, match="whole number"):
        create_model("crack_net", widths=widths, depths=depths)

"""The same model on JAX and PyTorch: equal outputs and maps from a saved file, and a step of training.

One process a backend takes all models: starting one and compiling for it is most of the work.
"""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from parity import OURS, images

from cnnzoo.evaluation.explain import grad_cam
from cnnzoo.models.catalogue import create_model

SIZE = 64
COUNT = 4
CODE = Path(__file__).with_name("on_backend.py")


def on_backend(backend, *arguments, folder):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Code that runs once need not be fast: it saves XLA a quarter of the time.
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def save_with_outputs(name, x, folder):
    keras.utils.set_random_seed(0)
    model = create_model(name, input_shape=(SIZE, SIZE, 3))
    model(x, training=True)  # gives batch norm statistics with which the features do not vanish
    model.save(folder / f"{name}.keras")
    # Random weights may see nothing that speaks for a class: both are asked about.
    maps = grad_cam(model, np.concatenate([x, x]), np.repeat([0, 1], len(x)))
    np.savez(folder / f"{name}.npz", x=x, outputs=model.predict_on_batch(x), maps=maps)


def asked_for(session):
    """The models that this session was asked to test, not all of them."""
    asked = {getattr(item, "callspec", None) and item.callspec.params.get("name") for item in session.items}
    return [name for name in OURS if name in asked]


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for name in asked_for(request.session):
        save_with_outputs(name, images(COUNT, SIZE), folder)
        gc.collect()  # what refers to itself, as models do, would add up to gigabytes
    return folder


@pytest.fixture(scope="module", params=["jax", "torch"])
def results(request, folder):
    """What `on_backend.py` wrote of each model."""
    backend = request.param
    if on_backend(backend, "-c", f"import {backend}", folder=folder).returncode:
        pytest.skip(f"{backend} is not installed here")
    out = folder / backend
    out.mkdir()
    done = on_backend(backend, str(CODE), str(out), *asked_for(request.session), folder=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_outputs_and_maps_are_those_of_tensorflow_and_it_trains(name, results, folder):
    report = json.loads((results / f"{name}.json").read_text())
    print(f"\n{name} on {results.name}: {report}")
    assert report["backend"] == results.name
    assert "error" not in report, report["error"]
    assert np.isfinite(report["loss"])
    assert report["changed"] > 0
    here, there = (np.load(path / f"{name}.npz") for path in (folder, results))
    assert np.ptp(here["outputs"]) > 0
    np.testing.assert_allclose(there["outputs"], here["outputs"], atol=1e-4)
    assert here["maps"].any()
    np.testing.assert_allclose(there["maps"], here["maps"], atol=1e-2)

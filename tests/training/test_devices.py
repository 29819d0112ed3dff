"""A training on two devices against the same training on one, each in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnzoo.training import devices

CODE = Path(__file__).with_name("on_two_devices.py")
ROOT = Path(__file__).parents[2]


def trained(backend, devices, *arguments, out, stopped=False):
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(paths),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    batch, folder, *rest = map(str, arguments)
    command = [sys.executable, CODE, str(devices), batch, folder, str(out), *rest]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if stopped:
        assert "KeyboardInterrupt" in done.stderr and not out.exists()
        return None
    assert done.returncode == 0, done.stderr
    with np.load(out) as file:
        return dict(file)


def alike(ours, theirs, *, without=()):
    assert set(ours) == set(theirs)
    for name in set(ours) - {"shares", *without}:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture(params=["tensorflow", "jax"])
def backend(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed here")
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("batch", [14, 13], ids=["even", "odd"])
def test_two_devices_give_the_weights_of_one(backend, batch, image_folder, tmp_path):
    one = trained(backend, 1, batch, image_folder, out=tmp_path / "one.npz")
    two = trained(backend, 2, batch, image_folder, out=tmp_path / "two.npz")
    assert set(one["shares"]) == {1} and set(two["shares"]) == {2}
    # What is shown of an epoch's training counts a batch that was filled up as a whole one.
    alike(two, one, without=["training"] if batch % 2 else [])


@pytest.mark.slow
def test_a_stopped_training_on_two_devices_goes_on(backend, image_folder, tmp_path):
    whole = trained(backend, 2, 14, image_folder, out=tmp_path / "whole.npz")
    state = tmp_path / "state.npz"
    trained(backend, 2, 14, image_folder, state, 1, out=tmp_path / "stopped.npz", stopped=True)
    rest = trained(backend, 2, 14, image_folder, state, out=tmp_path / "rest.npz")
    assert len(rest["shares"]) < len(whole["shares"]), "it goes on, and does not begin anew"
    alike(rest, whole)


def test_a_single_device_shares_out_nothing_and_needs_no_tensorflow(monkeypatch):
    monkeypatch.setattr(devices, "sharing", lambda: 1)
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # importing it would fail
    batches = [1, 2]
    assert devices.shared_out(batches) is batches

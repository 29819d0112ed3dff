"""The backend of Keras that the environment names."""

import importlib.util
import os

from cnnzoo.errors import InputError

_PACKAGES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def check_backend() -> None:
    """Checks that the backend of Keras that the environment names is installed.

    Raises:
        InputError: it is unknown, or it isn't.
    """
    backend = os.environ.get("KERAS_BACKEND")
    if not backend:
        return
    if backend not in _PACKAGES:
        raise InputError(f"KERAS_BACKEND={backend}: there are {', '.join(_PACKAGES)}; or unset it")
    if importlib.util.find_spec(backend) is None:
        raise InputError(
            f"KERAS_BACKEND={backend}: {_PACKAGES[backend]} is not installed here; pip install {backend}, or "
            "unset KERAS_BACKEND to use TensorFlow"
        )

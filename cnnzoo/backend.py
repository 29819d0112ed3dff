"""The backend of Keras that the environment, or its configuration file, names."""

import importlib.util
import json
import os
from pathlib import Path

from cnnzoo.errors import InputError

_PACKAGES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def check_backend() -> None:
    """Checks that the backend of Keras is installed.

    Raises:
        InputError: it is unknown, or it isn't.
    """
    backend, named = os.environ.get("KERAS_BACKEND"), f"KERAS_BACKEND={os.environ.get('KERAS_BACKEND')}"
    if not backend:
        file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
        backend, named = _configured(file), f"{file}"
    if not backend:
        return
    if backend not in _PACKAGES:
        raise InputError(f"{named}: unknown backend {backend!r}; there are {', '.join(_PACKAGES)}")
    if importlib.util.find_spec(backend) is None:
        raise InputError(
            f"{named}: {_PACKAGES[backend]} is not installed here; pip install {backend}, or set "
            "KERAS_BACKEND=tensorflow"
        )


def _configured(file: Path) -> str:
    """What Keras' configuration names; empty where there is none."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("backend", ""))
    except (OSError, ValueError, AttributeError):
        return ""

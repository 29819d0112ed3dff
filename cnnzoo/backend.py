"""Keras as the models here need it: an installed backend, and its settings whatever a user's file says."""

import importlib.util
import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from cnnzoo.errors import InputError, one_line, printable

_PACKAGES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
_EPSILON = 1e-7  # Keras' own default, which results were measured with


def keras_home() -> Path:
    """Returns the folder of Keras' configuration and cache, found the way that Keras finds it."""
    if home := os.environ.get("KERAS_HOME"):
        return Path(home).expanduser()
    user = os.path.expanduser("~")
    fallback = "/tmp"  # noqa: S108 - Keras' own, and no secret goes there
    return Path(user if os.access(user, os.W_OK) else fallback, ".keras")


def check_backend() -> None:
    """Checks Keras' configuration file, and that the backend it or the environment names is installed.

    Raises:
        InputError: the file is damaged, which Keras would fail on, or the backend is unknown or not there.
    """
    file = keras_home() / "keras.json"
    configured = _configuration(file)
    backend, named = os.environ.get("KERAS_BACKEND"), f"KERAS_BACKEND={os.environ.get('KERAS_BACKEND')}"
    if not backend:
        backend, named = configured.get("backend"), printable(file)
    if not backend:
        return
    if backend not in _PACKAGES:
        raise InputError(f"{named}: unknown backend {backend!r}; there are {', '.join(_PACKAGES)}")
    if importlib.util.find_spec(backend) is None:
        raise InputError(
            f"{named}: {_PACKAGES[backend]} is not installed here; pip install {backend}, or set "
            "KERAS_BACKEND=tensorflow"
        )


@cache
def use_own_settings() -> None:
    """Undoes what the configuration file said of layouts and precision when Keras was imported.

    The models take channels last and compute in float32 but where a program asks for something else. What it
    has set itself, with `keras.config`, stays.
    """
    keras = sys.modules["keras"]
    try:
        configured = _configuration(keras_home() / "keras.json")
    except InputError:
        return  # damaged since then
    if keras.config.image_data_format() == configured.get("image_data_format"):
        keras.config.set_image_data_format("channels_last")
    if keras.config.epsilon() == configured.get("epsilon"):
        keras.config.set_epsilon(_EPSILON)
    floats = configured.get("floatx")
    if floats not in (None, "float32") and keras.config.floatx() == floats:
        keras.config.set_floatx("float32")
        if keras.config.dtype_policy().name == floats:
            keras.config.set_dtype_policy("float32")


def trace_prediction(model: Any, dtype: str = "uint8") -> None:
    """Has TensorFlow trace a Keras model's `predict` once for batches of any size, else it does so for each.

    Args:
        model: takes a single array.
        dtype: of what it will be given.
    """
    if sys.modules["keras"].backend.backend() != "tensorflow" or model.run_eagerly:
        return
    import tensorflow as tf

    model.make_predict_function()
    spec = tf.TensorSpec((None, *model.input_shape[1:]), dtype)
    model.predict_function.get_concrete_function([(spec,)])


def _configuration(file: Path) -> dict[str, Any]:
    """What Keras' configuration file says; nothing where there is none."""
    if not file.exists():
        return {}
    if not file.is_file():
        raise _damaged(file, "no regular file")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, error.strerror if isinstance(error, OSError) else one_line(error)) from error
    if not isinstance(found, dict):
        raise _damaged(file, "it is no object")
    for name, known in (
        ("floatx", ("float16", "float32", "float64")),
        ("image_data_format", ("channels_last", "channels_first")),
        ("backend", None),
    ):
        value = found.get(name)
        if name in found and (not isinstance(value, str) or (known and value not in known)):
            raise _damaged(file, f"{name} is {value!r}")
    if not isinstance(found.get("epsilon", _EPSILON), float):
        raise _damaged(file, f"epsilon is {found['epsilon']!r}")
    return found


def _damaged(file: Path, why: str | None) -> InputError:
    return InputError(f"{printable(file)}: Keras can't use this file ({why}); delete it, Keras makes it anew")

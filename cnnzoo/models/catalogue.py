"""Models by name: the only module that loads all families."""

import inspect
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.backend import check_backend, use_own_settings
from cnnzoo.errors import InputError, suggest
from cnnzoo.models import registry
from cnnzoo.models.checks import is_whole
from cnnzoo.models.registry import ModelInfo
from cnnzoo.models.weights import PublishedFile, download_weights

if TYPE_CHECKING:
    import keras

SMALLEST_SIZE = 32  # five halvings leave one pixel


def list_models(pattern: str = "*") -> list[str]:
    """Returns the sorted names that match a shell pattern such as "*resnet*"."""
    return sorted(name for name in _models() if fnmatchcase(name, pattern))


def model_info(name: str) -> ModelInfo:
    """Returns what is known of a model.

    Raises:
        InputError: no model has this name.
    """
    models = _models()
    if name not in models:
        own = [own for own in models if "/" not in own]
        raise InputError(f"unknown model {name!r}; {suggest(name, models, listed=[*own, 'keras/...'])}")
    return models[name]


def create_model(
    name: str,
    *,
    input_shape: tuple[int, int, int] | None = None,
    num_classes: int = 2,
    weights: str | Path | None = None,
    **arguments: Any,
) -> "keras.Model":
    """Builds an uncompiled model.

    Args:
        name: one of `list_models()`.
        input_shape: (height, width, channels), by default RGB of the size that `model_info` names.
        num_classes: at least 2.
        weights: None for random ones, "imagenet" for the published ones, or a file.
        **arguments: of the entry point, `model_info(name).arguments`.

    Returns:
        Takes (n, height, width, channels) in [0, 255], uint8 or float32, and gives (n, units) float32:
        one sigmoid unit, P(class 1), or a softmax over the classes.

    Raises:
        InputError: an argument is unknown or has no usable value, or the weights can't be had or don't fit.
    """
    info = model_info(name)
    shape = (info.image_size, info.image_size, 3) if input_shape is None else tuple(input_shape)
    _check_shape(shape)
    if not is_whole(num_classes, least=2):
        raise InputError(f"num_classes is {num_classes!r}; it must be a whole number, at least 2")
    for argument in arguments:
        if argument not in info.arguments:
            raise InputError(f"{name} has no argument {argument!r}; known: {', '.join(info.arguments)}")
    if "weights" in info.arguments:
        arguments["weights"] = weights
    elif weights is not None:
        raise InputError(f"{name} takes no pretrained weights; leave out weights={str(weights)!r}")
    return info.entry_point(input_shape=shape, num_classes=num_classes, **arguments)


def published_file(
    name: str, *, input_shape: tuple[int, int, int] | None = None, **arguments: Any
) -> PublishedFile:
    """Picks the published weights file for the arguments that `create_model` would get.

    Raises:
        InputError: nothing is published for the model or for these arguments.
    """
    info = model_info(name)
    if info.weights_file is None:
        raise InputError(f"no weights are published for {name}; train it from random ones")
    accepted = inspect.signature(info.weights_file).parameters
    chosen = {key: value for key, value in arguments.items() if key in accepted}
    return info.weights_file(input_shape=input_shape or (info.image_size, info.image_size, 3), **chosen)


def download_published(
    name: str, *, input_shape: tuple[int, int, int] | None = None, **arguments: Any
) -> Path:
    """Fetches the published weights file for the arguments that `create_model` would get.

    Raises:
        InputError: as `published_file` and `download_weights`.
    """
    return download_weights(name, published_file(name, input_shape=input_shape, **arguments))


def _models() -> dict[str, ModelInfo]:
    check_backend()
    # The model files import Keras, which takes seconds: not before somebody asks for a model.
    import_module("cnnzoo.models.families")
    import_module("cnnzoo.models.keras_applications")
    use_own_settings()
    return registry.MODELS


def _check_shape(shape: tuple[Any, ...]) -> None:
    if len(shape) != 3 or not all(is_whole(side) for side in shape):
        raise InputError(f"input_shape is {shape}; it must be three whole numbers: height, width, channels")
    if min(shape[:2]) < SMALLEST_SIZE or shape[2] < 1:
        raise InputError(f"input_shape is {shape}; height and width must be at least {SMALLEST_SIZE} pixels")

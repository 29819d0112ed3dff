"""Every backbone that keras.applications offers, as `keras/NAME`; importing this module registers them.

None is listed here: what Keras adds is there with it. A backbone is built by Keras's own function; its
normalisation goes in front, its head is that of our other models.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Any

import keras
from keras import layers

from cnnzoo.errors import InputError, one_line
from cnnzoo.models.blocks import BATCH_NORM_MOMENTUM, Head
from cnnzoo.models.keras_facts import default_size, nothing_fetched, reference
from cnnzoo.models.normalisation import normalisation_for
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model
from cnnzoo.models.weights import PublishedFile, find_weights, load_weights

PREFIX = "keras/"

Application = Callable[..., keras.Model]

# What every function of keras.applications that builds a network takes, and nothing else there does.
_COMMON = {"include_top", "weights", "input_tensor", "input_shape", "pooling", "classes"}

# What belongs to the top that is left out, or to the input: `transfer_model` sees to both.
_NOT_OURS = {*_COMMON, "classifier_activation", "name", "include_preprocessing", "dropout", "dropout_rate"}


def find_applications() -> dict[str, Application]:
    """Returns the functions of keras.applications and its modules that build a network, by name."""
    home = keras.applications
    modules = [home, *(module for _, module in inspect.getmembers(home, inspect.ismodule))]
    return {
        name: function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if set(inspect.signature(function).parameters) >= _COMMON
    }


def preprocess_input_of(function: Application) -> Callable[..., Any]:
    """Returns the official `preprocess_input` that stands beside an application."""
    module = function.__module__.rsplit(".", 1)[1]
    return getattr(keras.applications, module).preprocess_input


def build_backbone(
    function: Application,
    *,
    input_shape: tuple[int, int, int],
    weights: Path | None = None,
    **architecture: Any,
) -> tuple[keras.Model, list[layers.Layer]]:
    """Builds an application without its top.

    Args:
        function: of keras.applications.
        input_shape: (height, width, channels).
        weights: file of the network without its top.
        **architecture: what else the function takes, such as `alpha`.

    Returns:
        The model up to the features of rank 4, and the layers that Keras puts behind their pooling.

    Raises:
        InputError: the function refuses an argument, or the weights don't fit.
    """
    build = partial(function, include_top=False, pooling="avg", input_shape=input_shape, **architecture)
    with _one_line_errors(function, input_shape):
        pooled = build(weights=None) if weights is None else _build_for_weights(build)
    if weights is not None:
        load_weights(pooled, weights)
    # Gates pool too: the last one is that of the features.
    position = max(
        place for place, layer in enumerate(pooled.layers) if isinstance(layer, layers.GlobalAveragePooling2D)
    )
    features = pooled.layers[position].input
    return keras.Model(pooled.input, features, name=pooled.name), pooled.layers[position + 1 :]


def _build_for_weights(build: Callable[..., keras.Model]) -> keras.Model:
    """Builds what ImageNet's weights fit: EfficientNet has a layer more, without weights, for them alone."""
    try:
        with nothing_fetched():
            return build(weights="imagenet")
    except ValueError:
        # Nothing is published for these arguments, but the file may be the user's own.
        return build(weights=None)


@contextmanager
def _one_line_errors(function: Application, input_shape: tuple[int, int, int]) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # It warns of 4 channels, say, which is what was asked for.
            warnings.simplefilter("ignore")
            yield
    except (ValueError, TypeError) as error:
        name = PREFIX + function.__name__
        message = f"{name} can't be built for input_shape={input_shape}: {one_line(error)}"
        raise InputError(message) from error


def _entry_point(function: Application) -> Callable[..., keras.Model]:
    name = PREFIX + function.__name__

    def build(
        *,
        input_shape: tuple[int, int, int] | None = None,
        num_classes: int = 2,
        weights: str | Path | None = None,
        dropout: float = 0.0,
        head: Head = "softmax",
        **architecture: Any,
    ) -> keras.Model:
        size = default_size(function) if input_shape is None else 0
        shape = input_shape or (size, size, 3)
        published = partial(_weights_file(function), input_shape=shape, **architecture)
        file = find_weights(name, weights, channels=shape[2], published=published)
        backbone, after_pooling = build_backbone(function, input_shape=shape, weights=file, **architecture)
        if file is None:
            _follow_statistics_faster(backbone)
        return transfer_model(
            backbone,
            normalise=normalisation_for(preprocess_input_of(function), backbone),
            num_classes=num_classes,
            dropout=dropout,
            head=head,
            pretrained=file is not None,
            neck=lambda pooled: reduce(lambda x, layer: layer(x), after_pooling, pooled),
        )

    build.__doc__ = f"Builds `keras.applications.{function.__name__}` with a new head; see `transfer_model`."
    return _with_arguments(build, function)


def _weights_file(function: Application) -> Callable[..., PublishedFile]:
    def pick(*, input_shape: tuple[int, int, int], **architecture: Any) -> PublishedFile:
        build = partial(function, include_top=False, pooling="avg", weights="imagenet")
        # Keras names the file when it has built the network, which is of no use here.
        with _one_line_errors(function, input_shape), keras.device("cpu"), nothing_fetched() as asked:
            build(input_shape=input_shape, **architecture)
        if not asked:
            raise InputError(f"keras.applications.{function.__name__} fetches no weights for these arguments")
        return asked[0]

    return _with_arguments(pick, function)


def _with_arguments(ours: Callable[..., Any], function: Application) -> Callable[..., Any]:
    """Gives a function that passes `**architecture` on the signature with these arguments named."""
    own = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in _NOT_OURS
    ]
    signature = inspect.signature(ours)
    common = [each for each in signature.parameters.values() if each.kind is each.KEYWORD_ONLY]
    ours.__signature__ = signature.replace(parameters=[*common, *own])  # type: ignore[attr-defined]
    return ours


def _follow_statistics_faster(backbone: keras.Model) -> None:
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = min(layer.momentum, BATCH_NORM_MOMENTUM)


def _register(name: str, function: Application) -> None:
    source, url, year = reference(function)
    register_model(
        name=PREFIX + name,
        image_size=partial(default_size, function),
        year=year,
        source=source,
        url=url,
        weights_file=_weights_file(function),
        weights_licence="its makers'; see https://keras.io/api/applications",
    )(_entry_point(function))


for _name, _function in find_applications().items():
    _register(_name, _function)

"""Every backbone that keras.applications offers, as `keras/NAME`; importing this module registers them.

`keras_facts` lists them; what a newer Keras adds is added there, and a test says so. A backbone is built by
Keras's own function; its normalisation goes in front, its head is that of our other models.
"""

import math
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
from cnnzoo.models.keras_facts import APPLICATIONS, Facts
from cnnzoo.models.normalisation import normalisation_for
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model
from cnnzoo.models.weights import find_weights, load_weights

PREFIX = "keras/"

Application = Callable[..., keras.Model]


def preprocess_input_of(name: str) -> Callable[..., Any]:
    """Returns the official `preprocess_input` that stands beside an application."""
    module = _function(name).__module__.rsplit(".", 1)[1]
    return getattr(keras.applications, module).preprocess_input


def build_backbone(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    weights: Path | None = None,
    **architecture: Any,
) -> tuple[keras.Model, list[layers.Layer]]:
    """Builds an application without its top.

    Args:
        name: of `APPLICATIONS`.
        input_shape: (height, width, channels).
        weights: file of the network without its top, for three channels.
        **architecture: what else Keras's function takes, such as `alpha`.

    Returns:
        The model up to the features of rank 4, and the layers that Keras puts behind their pooling.

    Raises:
        InputError: Keras refuses an argument, or the weights don't fit.
    """
    build = partial(_function(name), include_top=False, pooling="avg", weights=None)
    with _one_line_errors(name, input_shape):
        pooled = build(input_shape=input_shape, **architecture)
    if weights is not None:
        if deviation := APPLICATIONS[name].deviation:
            pooled = _dividing_by_root_of(deviation, pooled)
        load_weights(pooled, weights)
    # Gates pool too: the last one is that of the features.
    position = max(
        place for place, layer in enumerate(pooled.layers) if isinstance(layer, layers.GlobalAveragePooling2D)
    )
    features = pooled.layers[position].input
    return keras.Model(pooled.input, features, name=pooled.name), pooled.layers[position + 1 :]


def _function(name: str) -> Application:
    function: Application = getattr(keras.applications, name)
    return function


def _dividing_by_root_of(deviation: tuple[float, ...], network: keras.Model) -> keras.Model:
    """Returns a copy with the layer behind the normalisation that Keras builds for weights="imagenet" alone.

    It is a layer and no change of the normalisation's weights: what is saved from the copy is what it takes.
    """
    scale = [1 / math.sqrt(each) for each in deviation]

    def call(layer: layers.Layer, *inputs: Any, **more: Any) -> Any:
        outputs = layer(*inputs, **more)
        return layers.Rescaling(scale)(outputs) if isinstance(layer, layers.Normalization) else outputs

    return keras.models.clone_model(network, call_function=call)


@contextmanager
def _one_line_errors(name: str, input_shape: tuple[int, int, int]) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # It warns of 4 channels, say, which is what was asked for.
            warnings.simplefilter("ignore")
            yield
    except (ValueError, TypeError) as error:
        message = f"{PREFIX}{name} can't be built for input_shape={input_shape}: {one_line(error)}"
        raise InputError(message) from error


def _entry_point(name: str, facts: Facts) -> Callable[..., keras.Model]:
    def build(
        *,
        input_shape: tuple[int, int, int] | None = None,
        num_classes: int = 2,
        weights: str | Path | None = None,
        dropout: float = 0.0,
        head: Head = "softmax",
        **architecture: Any,
    ) -> keras.Model:
        shape = input_shape or (facts.size, facts.size, 3)
        published = partial(facts.weights_file, input_shape=shape, **architecture)
        file = find_weights(PREFIX + name, weights, channels=shape[2], published=published)
        backbone, after_pooling = build_backbone(name, input_shape=shape, weights=file, **architecture)
        if file is None:
            _follow_statistics_faster(backbone)
        return transfer_model(
            backbone,
            normalise=normalisation_for(preprocess_input_of(name), backbone),
            num_classes=num_classes,
            dropout=dropout,
            head=head,
            pretrained=file is not None,
            neck=lambda pooled: reduce(lambda x, layer: layer(x), after_pooling, pooled),
        )

    build.__doc__ = f"Builds `keras.applications.{name}` with a new head; see `transfer_model`."
    return build


def _follow_statistics_faster(backbone: keras.Model) -> None:
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = min(layer.momentum, BATCH_NORM_MOMENTUM)


for _name, _facts in APPLICATIONS.items():
    register_model(
        name=PREFIX + _name,
        image_size=_facts.size,
        year=_facts.paper.year,
        source=_facts.paper.source,
        url=_facts.paper.url,
        weights_file=_facts.weights_file,
        weights_licence="that of its authors; see https://keras.io/api/applications",
        passed_on=_facts.arguments,
    )(_entry_point(_name, _facts))

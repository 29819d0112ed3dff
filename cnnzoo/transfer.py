"""Backbone, normalisation and head in one model; what of it trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import KerasTensor, layers

from cnnzoo.blocks import Head, classification_head, dropout_layer
from cnnzoo.errors import InputError
from cnnzoo.registry import suggest
from cnnzoo.weights import find_weights, load_weights


def transfer_model(
    backbone: keras.Model,
    *,
    normalise: Callable[[KerasTensor], KerasTensor],
    num_classes: int,
    dropout: float = 0.0,
    head: Head = "softmax",
    pretrained: bool = True,
    convolution: bool = False,
    neck: Callable[[KerasTensor], KerasTensor] | None = None,
) -> keras.Model:
    """Wraps a headless model, one of ours or any of keras.applications, into a classifier.

    A pretrained backbone is called with `training=False`. Keras alone does not keep to that (see
    `set_trainable`), so its batch normalisation is put in inference mode for good: while it is fine-tuned,
    and after the model was saved and loaded.

    Args:
        backbone: maps (n, height, width, channels) to features of rank 4.
        normalise: layer or function from images in [0, 255] to what the backbone expects.
        num_classes: at least 2.
        dropout: share of the features left out before the head.
        head: "softmax" over the classes, or one "sigmoid" unit, P(class 1).
        pretrained: whether the backbone has weights to keep the statistics of.
        convolution: whether a 1x1 convolution takes the features before they are pooled, not a dense layer
            afterwards.
        neck: applied to the pooled features, (n, channels), and trained with the head; None for nothing.

    Returns:
        An uncompiled model, images in [0, 255] to (n, units) in float32.

    Raises:
        InputError: `dropout`, `head` or `num_classes` has no usable value.
    """
    images = keras.Input(backbone.input_shape[1:], name="image")
    x = normalise(images)
    x = backbone(x, training=False) if pretrained else backbone(x)
    if not convolution:
        x = layers.GlobalAveragePooling2D(name="pooling")(x)
        x = x if neck is None else neck(x)
    x = dropout_layer(dropout, name="dropout")(x)
    outputs = classification_head(x, num_classes=num_classes, head=head, convolution=convolution)
    model = keras.Model(images, outputs, name=f"{backbone.name}_classifier")
    set_trainable(model, "all")
    return model


def load_pretrained(
    backbone: keras.Model,
    weights: str | Path | None,
    *,
    model: str,
    input_shape: tuple[int, int, int],
    **arguments: Any,
) -> None:
    """Finds the weights of a registered model and loads them into its backbone; None leaves it as it is.

    Args:
        backbone: of that model.
        weights: None, "imagenet" or a file.
        model: registered name.
        input_shape: (height, width, channels).
        **arguments: of the model that pick the published file, such as `alpha`.

    Raises:
        InputError: see `find_weights` and `load_weights`.
    """
    path = find_weights(model, weights, input_shape=input_shape, **arguments)
    if path is not None:
        load_weights(backbone, path)


def backbone_of(model: keras.Model) -> keras.Model | None:
    """Returns the model nested in a transfer model, None where there is none."""
    return next((layer for layer in model.layers if isinstance(layer, keras.Model)), None)


def set_trainable(model: keras.Model, trainable: str | float) -> None:
    """Chooses what trains. Compile the model afterwards: a compiled one keeps to the earlier choice.

    Where the backbone is called with `training=False`, the statistics of its batch normalisation never
    change; scale and offset train like other weights. Keras 3 replaces that `training=False` by the
    `training=True` of `fit`, so each such layer is marked as not trainable, which Keras takes for inference
    mode, and its scale and offset as trainable.

    Args:
        model: from `create_model` or `transfer_model`.
        trainable: "all"; "head", which freezes the backbone; or the name of the first backbone layer to
            train, which frees that layer, those after it in `backbone.layers`, and the head.

    Raises:
        InputError: the model has no backbone, or the backbone has no such layer.
    """
    frozen = [] if trainable == "all" else _layers_before(model, trainable)
    backbone = backbone_of(model)
    # Layer by layer: setting a model to what it is already changes nothing inside it.
    for layer in [model, *model.layers, *(backbone.layers if backbone else [])]:
        layer.trainable = True
    for layer in frozen:
        layer.trainable = False
    if backbone is not None and _called_for_inference(model, backbone):
        for layer in backbone.layers:
            if isinstance(layer, layers.BatchNormalization):
                _keep_statistics(layer)


def _called_for_inference(model: keras.Model, backbone: keras.Model) -> bool:
    """Says whether the model calls its backbone with `training=False`; a saved model still does."""
    entry = next(entry for entry in model.get_config()["layers"] if entry["name"] == backbone.name)
    return any(node["kwargs"].get("training") is False for node in entry["inbound_nodes"])


def _keep_statistics(norm: layers.BatchNormalization) -> None:
    chosen = norm.trainable_weights
    norm.trainable = False
    for weight in chosen:
        weight.trainable = True


def _layers_before(model: keras.Model, trainable: str | float) -> list[layers.Layer]:
    backbone = backbone_of(model)
    if backbone is None:
        raise InputError(f"{model.name} has no backbone to freeze; trainable={trainable!r} must be 'all'")
    if trainable == "head":
        return [backbone, *backbone.layers]
    names = [layer.name for layer in backbone.layers]
    if not isinstance(trainable, str) or trainable not in names:
        raise InputError(f"{backbone.name} has no layer {trainable!r}; {suggest(str(trainable), names)}")
    return backbone.layers[: names.index(trainable)]

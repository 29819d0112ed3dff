"""Backbone, normalisation and head in one model; what of it trains."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError, suggest
from cnnzoo.models.blocks import Head, classification_head, dropout_layer
from cnnzoo.models.weights import PublishedFile, find_weights, load_weights


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
    published: Callable[[], PublishedFile] | None = None,
) -> None:
    """Finds pretrained weights and loads them into a backbone; None leaves it as it is.

    Args:
        backbone: named as the model that it is of.
        weights: None, "imagenet" or a file.
        published: picks the published file, and is asked for "imagenet" alone.

    Raises:
        InputError: see `find_weights` and `load_weights`.
    """
    path = find_weights(backbone.name, weights, channels=backbone.input_shape[-1], published=published)
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
        trainable: "all"; "head", which freezes the backbone; or where in `backbone.layers` training starts,
            from there to the end and the head: the name of a layer; the name of a stage, with which the names
            of several layers begin, as in "conv5", "block_11" or "block5"; or a share above 0 and at most 1
            of the layers that have weights, 0.25 for the last quarter.

    Raises:
        InputError: the model has no backbone, the backbone has no such layer or stage, or the share is none.
    """
    frozen = [] if trainable == "all" else _layers_before(model, trainable)
    backbone = backbone_of(model)
    # Layer by layer: setting a model to what it is already changes nothing inside it.
    for layer in [model, *model.layers, *(backbone.layers if backbone else [])]:
        layer.trainable = True
    for layer in frozen:
        layer.trainable = False
    if backbone is not None and called_for_inference(model, backbone):
        for layer in backbone.layers:
            if isinstance(layer, layers.BatchNormalization):
                _keep_statistics(layer)


def called_for_inference(model: keras.Model, backbone: keras.Model) -> bool:
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
    if isinstance(trainable, str):
        return backbone.layers[: _first_of_stage(backbone, trainable)]
    return backbone.layers[: _first_of_share(backbone, trainable)]


def _first_of_share(backbone: keras.Model, share: float) -> int:
    if isinstance(share, bool) or not 0 < share <= 1:
        raise InputError(f"trainable={share!r}: a share of the layers must be above 0 and at most 1")
    weighted = [position for position, layer in enumerate(backbone.layers) if layer.weights]
    return weighted[-max(1, round(share * len(weighted)))]


def _first_of_stage(backbone: keras.Model, name: str) -> int:
    """Where a layer of this name is, or the first one of a stage of this name."""
    names = [layer.name for layer in backbone.layers]
    if name in names:
        return names.index(name)
    for position, layer_name in enumerate(names):
        if name in _stages_of(layer_name):
            return position
    counts = Counter(stage for layer_name in names for stage in _stages_of(layer_name))
    stages = [stage for stage, count in counts.items() if count > 1]
    # Hundreds of layer names help nobody; the outermost numbered stages give the lie of the land.
    numbered = {stage for stage in stages if stage[-1].isdigit()}
    outermost = [stage for stage in numbered if numbered.isdisjoint(_stages_of(stage))]
    near = suggest(name, {*names, *stages}, listed=outermost or names)
    raise InputError(f"{backbone.name} has no layer {name!r} and no such stage; {near}")


def _stages_of(layer_name: str) -> Iterator[str]:
    """The beginnings of a name that end before "_", or between a number and a letter, as in block5a."""
    for end in range(1, len(layer_name)):
        before, after = layer_name[end - 1], layer_name[end]
        if after == "_" or (before.isdigit() and after.isalpha()):
            yield layer_name[:end]

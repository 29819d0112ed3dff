"""How much a model computes for one image, from the shapes of its layers."""

import math
from collections.abc import Sequence
from itertools import chain

import keras

_LAYERS = keras.layers

# Each of these applies its kernels once at every position of its output.
_AT_EVERY_POSITION = (
    *(_LAYERS.Conv1D, _LAYERS.Conv2D, _LAYERS.Conv3D, _LAYERS.Dense),
    *(_LAYERS.DepthwiseConv1D, _LAYERS.DepthwiseConv2D, _LAYERS.SeparableConv1D, _LAYERS.SeparableConv2D),
)

_TRANSPOSED = (_LAYERS.Conv1DTranspose, _LAYERS.Conv2DTranspose, _LAYERS.Conv3DTranspose)


def count_flops(model: keras.Model, *, trainable_only: bool = False) -> int:
    """Counts the multiply-adds of convolutions and dense layers for one image.

    One multiplication with its addition counts as one, which is what papers call FLOPs (ResNet-50: 3.9 G,
    MobileNetV2: 300 M); hardware sheets count two. Biases, batch normalisation, activations and pooling are
    left out, as they leave them out, and so are operations without a layer. A nested model
    counts for one image. Of a model that looks at several views pass one (`cnnzoo.evaluation.several_views`).

    Args:
        model: functional or sequential, built for a fixed image size, channels last; models nested in it
            count too.
        trainable_only: count the layers that train.

    Raises:
        ValueError: the model has no fixed input size, or a layer is no such model but has layers in it.
    """
    total = 0
    for node in chain.from_iterable(_graph(model)._nodes_by_depth.values()):
        operation = node.operation
        if isinstance(operation, keras.Model):
            total += count_flops(operation, trainable_only=trainable_only)
        elif isinstance(operation, keras.layers.Layer) and (
            operation.trainable_weights or not trainable_only
        ):
            total += _layer_flops(operation, node.input_tensors, node.outputs)
    return total


def _graph(model: keras.Model) -> keras.Model:
    """The functional model, which is inside where the model is sequential."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(f"{model.name} is no functional model: its shapes are not known")
    return graph


def _layer_flops(
    layer: keras.layers.Layer, inputs: Sequence[keras.KerasTensor], outputs: Sequence[keras.KerasTensor]
) -> int:
    if isinstance(layer, _TRANSPOSED):
        positions = inputs[0].shape[1:-1]
    elif isinstance(layer, _AT_EVERY_POSITION):
        positions = outputs[0].shape[1:-1]
    elif any(inner.weights for inner in layer._layers):
        raise ValueError(f"{layer.name}: the shapes of the layers in {type(layer).__name__} are not known")
    else:
        return 0
    if None in positions:
        raise ValueError(f"{layer.name} works on images of any size; build the model for one size")
    kernels = (weight for weight in layer.weights if weight.name.endswith("kernel"))
    return math.prod(positions) * sum(math.prod(kernel.shape) for kernel in kernels)

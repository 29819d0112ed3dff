"""What a model has to be, so that it can be asked about images."""

import math
from collections.abc import Collection, Iterator
from typing import Any

import keras
import numpy as np

from cnnzoo.deploy.parts import are_probabilities

TAKES = "(None, side, side, 3), square images with the channels last"
GIVES = "(None, classes), a probability for each"
LARGEST_OUTPUT = 1 << 27  # numbers that a layer may give for one image; VGG16's give 3 million at most


def check_fit(model: Any) -> None:
    """Checks that a model takes square RGB images and gives a row of probabilities for each.

    Raises:
        ValueError: it doesn't; says what was expected and what it is.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"expected a model, it is a {type(model).__name__}")
    if not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            "the model is not built: nothing says what it takes; call it once, and save it again"
        )
    _check_ends("input", model.inputs, TAKES)
    _check_ends("output", model.outputs, GIVES)
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or not shape[1] or shape[1] != shape[2]:
        raise ValueError(f"expected an input of {TAKES}; it is {shape}")
    given = tuple(model.outputs[0].shape)
    if len(given) != 2 or not given[1]:
        raise ValueError(f"expected an output of {GIVES}; it is {given}")
    _check_ending(_activation(model), given[1])


def check_size(model: keras.Model, weights_size: int) -> None:
    """Checks a model that was built without memory for its weights.

    Raises:
        ValueError: it has more weights than `weights_size` bytes can be, or one image takes too much of it.
    """
    numbers = sum(math.prod(weight.shape) for weight in model.weights)
    if numbers > weights_size:
        raise ValueError(f"the model has {numbers:,} weights, more than fit in {weights_size:,} bytes")
    largest = max((math.prod(shape) for shape in _shapes(model)), default=0)
    if largest > LARGEST_OUTPUT:
        raise ValueError(f"a layer in it gives {largest:,} numbers for one image; at most {LARGEST_OUTPUT:,}")


def check_weights(model: keras.Model) -> None:
    """Checks that all weights are numbers.

    Raises:
        ValueError: names the variable that holds NaN or infinity.
    """
    for weight in model.weights:
        if not bool(keras.ops.all(keras.ops.isfinite(weight))):
            raise ValueError(f"the weight {weight.path} holds NaN or infinity: training diverged, or damage")


def check_answers(model: keras.Model) -> None:
    """Asks a model about fixed images: one, or several where its last layer doesn't show probabilities.

    Raises:
        ValueError: what it gives are none.
    """
    side, shown = model.inputs[0].shape[1], _activation(model) in ("softmax", "sigmoid")
    images = np.random.default_rng(0).integers(0, 256, (1 if shown else 6, side, side, 3), dtype=np.uint8)
    images[1:2], images[2:3] = 0, 255
    answers = keras.ops.convert_to_numpy(model(images, training=False)).astype(np.float64)
    if not are_probabilities(answers):
        raise ValueError(
            "expected probabilities from 0 to 1, a softmax or a sigmoid unit at the end; the model "
            f"gives {np.array2string(answers[0], precision=3, threshold=5)}"
        )


def _check_ends(what: str, tensors: object, expected: str) -> None:
    if not isinstance(tensors, list) or len(tensors) != 1:
        count = len(tensors) if isinstance(tensors, Collection) else 0
        raise ValueError(f"expected one {what} of {expected}; it has {count}")


def _check_ending(activation: str | None, units: int) -> None:
    if activation == "sigmoid" and units > 1:
        raise ValueError(f"expected a softmax over the classes, or one sigmoid unit; it has {units} of them")
    if activation == "softmax" and units == 1:
        raise ValueError("expected a softmax over two classes or more; it is over one, which is always 1")
    if activation not in (None, "softmax", "sigmoid"):
        raise ValueError(
            f"expected probabilities, a softmax or a sigmoid unit at the end; it ends in {activation!r}"
        )


def _activation(model: keras.Model) -> str | None:
    """The activation that the output comes from; None where the last layer doesn't show it."""
    last = getattr(model, "operations", model.layers)[-1]
    if isinstance(last, keras.Model):
        return _activation(last)
    if isinstance(last, keras.layers.Softmax):
        return "softmax" if last.axis in (-1, 1) else None
    activation = getattr(last, "activation", None)
    # An `Activation` that changes nothing only turns what comes before it into float32.
    if activation in (None, keras.activations.linear) and not isinstance(last, keras.layers.Dense):
        return None
    return str(getattr(activation, "__name__", type(activation).__name__))


def _output(layer: keras.Operation) -> object:
    try:
        return layer.output
    except (AttributeError, ValueError):  # never called, or called more than once
        return None


def _shapes(model: keras.Model) -> Iterator[list[int]]:
    """What each layer gives for one image, as far as it is known."""
    for layer in getattr(model, "operations", model.layers):
        if isinstance(layer, keras.Model):
            yield from _shapes(layer)
        for tensor in keras.tree.flatten(_output(layer)):
            if hasattr(tensor, "shape"):
                yield [side for side in tensor.shape if side]

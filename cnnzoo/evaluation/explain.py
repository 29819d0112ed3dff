"""Where in an image a model sees what it decides: Grad-CAM, and its map laid over the image to look at.

R. R. Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, ICCV
2017, https://arxiv.org/abs/1610.02391
"""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt
from keras import KerasTensor, ops

from cnnzoo.errors import InputError
from cnnzoo.evaluation.several_views import one_view

_BATCH = 32  # images at a time; hundreds may be asked about
_OPACITY = 0.6  # of the highest place of a map: what lies below stays visible

# They may make many places of one, all alike.
_REPEATING = (
    *(keras.layers.AdaptiveAveragePooling2D, keras.layers.AdaptiveMaxPooling2D),
    keras.layers.UpSampling2D,
)

# A backend's tensors go in and out; what it differentiates gives one number.
_Function = Callable[[Any], Any]


def grad_cam(
    model: keras.Model, images: npt.ArrayLike, class_ids: npt.ArrayLike | None = None
) -> npt.NDArray[np.float32]:
    """Computes where in each image the evidence for a class lies (Selvaraju et al. 2017, equations 1 and 2).

    The last feature map that has more than one place is summed over its channels, each with the mean of its
    gradient as its weight; what is below zero is cut off. What is differentiated are the log-odds of the
    class before the softmax or sigmoid: its score minus the logsumexp of the others, for a sigmoid unit plus
    or minus its score. Unlike a probability they never saturate, and of two classes each has as its map what
    speaks against the other.

    A map has no scale of its own, so a model that is unsure gives as bright a one as a model that is sure.

    Args:
        model: from `create_model` or `load_model(…).model`, or any functional or sequential model that ends
            with a dense or an activation layer with a softmax or one sigmoid unit.
        images: (n, height, width, channels) in [0, 255], of the model's input size.
        class_ids: (n,) the class to explain of each image, or one for all; by default the predicted ones.

    Returns:
        (n, height, width) in [0, 1] at the resolution of the images, interpolated between the places of the
        feature map. The highest of each is 1; where nothing speaks for the class, all of it is 0.

    Raises:
        InputError: the images have another shape, there is no such class, or the model has no such end or
            no feature map of more than one place.
    """
    features, scores = split_at_last_map(model)
    batch = _checked_images(model, images)
    chosen = None if class_ids is None else _checked_classes(model, class_ids, len(batch))
    height, width = batch.shape[1:3]
    maps = np.empty((len(batch), height, width), np.float32)
    for first in range(0, len(batch), _BATCH):
        part = slice(first, first + _BATCH)
        values = np.asarray(features.predict_on_batch(batch[part]), np.float32)
        found = ops.convert_to_numpy(scores(ops.convert_to_tensor(values)))
        ids = found.argmax(axis=1) if chosen is None else chosen[part]
        gradient = _gradient_of_log_odds(scores, values, np.eye(found.shape[1], dtype=bool)[ids])
        coarse = np.maximum(np.einsum("nhwc,nc->nhw", values, gradient.mean(axis=(1, 2))), 0)
        maps[part] = [_enlarged(places, height, width) for places in coarse]
    return maps


def overlay(image: npt.NDArray, cam: npt.NDArray) -> npt.NDArray[np.uint8]:
    """Lays a map over its image: the higher, the more colour, from dark violet to bright yellow.

    Where the map is zero the image is as it was. The colours (matplotlib's plasma) also differ in lightness,
    for print in gray and for the colour-blind.

    Args:
        image: (height, width, 3), or 1 channel, in [0, 255].
        cam: (height, width) in [0, 1].

    Returns:
        (height, width, 3) RGB.
    """
    from matplotlib import colormaps

    colours = 255 * colormaps["plasma"](cam)[..., :3]
    alpha = _OPACITY * cam[..., None]
    return np.asarray(np.rint((1 - alpha) * image + alpha * colours), np.uint8)


def split_at_last_map(model: keras.Model) -> tuple[keras.Model, _Function]:
    """Returns the model up to its last feature map, and the function from there to the scores.

    The scores are (n, classes), two where the model has one sigmoid unit. The function takes tensors alone
    and calls no layer with symbolic ones, so asking often leaves nothing behind in the model's graph.

    Raises:
        InputError: as `grad_cam`.
    """
    model = one_view(model)
    try:
        graph = keras.Function(model.inputs, model.outputs)
    except (AttributeError, ValueError) as error:
        name = getattr(model, "name", type(model).__name__)
        raise InputError(
            f"{name} is no functional Keras model: it can't be explained by Grad-CAM; of what load_model "
            "gives, take .model"
        ) from error
    history = model.outputs[0]._keras_history
    last = history.operation
    penultimate = last._inbound_nodes[history.node_index].input_tensors[0]
    linear = _without_activation(model, last, penultimate)
    features = _last_map(model, graph)
    middle = (lambda x: x) if features is penultimate else _function(model, features, penultimate)

    def scores(values: Any) -> Any:
        result = linear(middle(values))
        if result.shape[-1] == 1:  # of a sigmoid unit, which is a softmax whose first score is 0
            result = ops.concatenate([ops.zeros_like(result), result], axis=-1)
        return result

    front = keras.Model(model.inputs[0], features)
    # Tracing the graph or compiling it pays on the backend alone where running op by op is slow.
    front.compile(run_eagerly=keras.backend.backend() == "tensorflow")
    return front, scores


def _function(model: keras.Model, features: KerasTensor, penultimate: KerasTensor) -> _Function:
    try:
        return keras.Function(features, penultimate)
    except ValueError as error:
        message = f"{model.name}: not all that its end computes goes through the feature map {features.name}"
        raise InputError(message) from error


def _last_map(model: keras.Model, graph: keras.Function) -> KerasTensor:
    """The last tensor of the outer graph that something is done to and that has more than one place.

    Nodes, not layers, are asked: a layer may have been called elsewhere too, as `frozen_twin` does.
    """
    for tensor in _backwards(graph):
        origin = tensor._keras_history.operation
        if len(tensor.shape) != 4 or isinstance(origin, _REPEATING):
            continue
        if tuple(tensor.shape[1:3]) != (1, 1):
            return tensor
        if isinstance(origin, keras.Model):
            break  # before a backbone there are pixels alone
    size = " x ".join(str(side) for side in model.input_shape[1:3])
    raise InputError(
        f"{model.name} has no feature map of more than one place for {size} pixels; "
        "build it for larger images"
    )


def _backwards(graph: keras.Function) -> Iterator[KerasTensor]:
    for _, nodes in sorted(graph._nodes_by_depth.items()):
        for node in nodes:
            yield from node.input_tensors


def _without_activation(model: keras.Model, last: keras.layers.Layer, penultimate: KerasTensor) -> _Function:
    """What the last layer does before its softmax or sigmoid."""
    activation, units = getattr(last, "activation", None), model.output_shape[-1]
    known = activation is keras.activations.softmax or (
        activation is keras.activations.sigmoid and units == 1
    )
    if not known or not isinstance(last, keras.layers.Activation | keras.layers.Dense):
        raise InputError(
            f"{model.name} ends with {last.name}; Grad-CAM wants a dense or an activation layer with a "
            "softmax or one sigmoid unit"
        )
    if isinstance(last, keras.layers.Activation):
        return lambda x: x
    linear = type(last).from_config({**last.get_config(), "activation": "linear"})
    linear.build(penultimate.shape)
    linear.set_weights(last.get_weights())
    return linear


def _checked_images(model: keras.Model, images: npt.ArrayLike) -> npt.NDArray:
    batch = np.asarray(images)
    wanted = model.input_shape[1:]
    if batch.ndim != 4 or any(
        side not in (None, have) for side, have in zip(wanted, batch.shape[1:], strict=True)
    ):
        raise InputError(
            f"images have the shape {batch.shape}; {model.name} takes (n, {', '.join(map(str, wanted))})"
        )
    return batch


def _checked_classes(model: keras.Model, class_ids: npt.ArrayLike, count: int) -> npt.NDArray:
    ids, classes = np.asarray(class_ids), max(2, model.output_shape[-1])
    whole = np.issubdtype(ids.dtype, np.integer)
    if ids.shape not in ((), (count,)) or not whole or ((ids < 0) | (ids >= classes)).any():
        raise InputError(f"class_ids must be {count} whole numbers from 0 to {classes - 1}, or one for all")
    return np.broadcast_to(ids, count)


def _gradient_of_log_odds(scores: _Function, values: npt.NDArray, is_class: npt.NDArray) -> npt.NDArray:
    """The gradient of each image's log-odds of its class with respect to its features, shaped as these."""

    def total(x: Any) -> Any:
        found = scores(x)
        others = ops.logsumexp(ops.where(is_class, -np.inf, found), axis=-1)
        # The images are independent of each other: the gradient of the sum is that of each.
        return ops.sum(ops.where(is_class, found, 0.0)) - ops.sum(others)

    differentiate = _GRADIENTS[keras.backend.backend()]
    return np.asarray(ops.convert_to_numpy(differentiate(total, ops.convert_to_tensor(values))))


def _tensorflow_gradient(function: _Function, x: Any) -> Any:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        total = function(x)
    return tape.gradient(total, x)


def _jax_gradient(function: _Function, x: Any) -> Any:
    import jax

    return jax.grad(function)(x)


def _torch_gradient(function: _Function, x: Any) -> Any:
    import torch

    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x), x)[0]


_GRADIENTS = {"tensorflow": _tensorflow_gradient, "jax": _jax_gradient, "torch": _torch_gradient}


def _enlarged(places: npt.NDArray, height: int, width: int) -> npt.NDArray:
    """A map at the image's resolution, its highest at 1."""
    enlarged = cv2.resize(places, (width, height), interpolation=cv2.INTER_LINEAR)
    highest = enlarged.max()
    return enlarged / highest if highest > 0 else enlarged

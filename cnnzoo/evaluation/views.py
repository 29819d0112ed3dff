"""A trained model that looks at each image eight times: mirrored and at three sizes."""

import keras
from keras import KerasTensor, ops

from cnnzoo.evaluation.calibration import TINY

_Views = tuple[tuple[float, tuple[tuple[int, ...], ...]], ...]

_SUFFIX = "_several_views"
_SUFFIXES = (_SUFFIX, "_mirrored")  # the second in files written in November 2026
# How large the model sees an image, and of which of rows and columns the order is turned round in each view.
_MIRRORED = ((), (1,), (2,), (1, 2))
_VIEWS: _Views = ((0.7, _MIRRORED), (1.0, ((), (1, 2))), (1.4, ((1,), (2,))))
_OWN_SIZE: _Views = ((1.0, _MIRRORED),)


def several_views(model: keras.Model) -> keras.Model:
    """Returns a model whose log-odds are the mean of those of eight views of each image.

    A crack is one in a mirror too, and near or far, but a network has learnt that only nearly; errors of
    chance are fewer in the mean (Krizhevsky et al. 2012, section 4.1; several sizes: Simonyan and Zisserman
    2015, section 4.2). Four views are mirrored at 0.7 of the size that the model learnt, two at that size and
    two at 1.4 of it, which costs eight times the computation of one. A model that takes images of one size
    alone looks at four mirrored views. Training sees one view, so this is for models that are trained.

    Args:
        model: takes (n, height, width, channels) and gives probabilities, of a softmax or one sigmoid unit.

    Returns:
        with the same input, output and weights, which it shares.
    """
    height, width, channels = model.input_shape[1:]
    images = keras.Input((height, width, channels), name="image")
    network, views = model, _OWN_SIZE
    if _takes(model, (height // 2, width // 2, channels)):
        network, views = _with_input(model, (None, None, channels)), _VIEWS
    odds = []
    for share, turned in views:
        sides = round(share * height), round(share * width)
        # Not a Resizing layer: it would bring the layers behind it into training mode (Keras 3.15).
        seen = images if share == 1 else ops.image.resize(images, sides)
        mirrored = [ops.flip(seen, axis=axes) if axes else seen for axes in turned]
        each = _log_odds(network(ops.concatenate(mirrored, axis=0)))
        odds.append(ops.reshape(each, (len(turned), -1, each.shape[-1])))
    mean = ops.mean(ops.concatenate(odds, axis=0), axis=0)
    activation = "softmax" if mean.shape[-1] > 1 else "sigmoid"
    outputs = keras.layers.Activation(activation, dtype="float32", name="probabilities")(mean)
    return keras.Model(images, outputs, name=f"{model.name}{_SUFFIX}")


def one_view(model: keras.Model) -> keras.Model:
    """Returns the model that `several_views` was given, or any other as it is."""
    inner = [layer for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model)]
    if len(inner) != 1 or model.name not in [f"{inner[0].name}{suffix}" for suffix in _SUFFIXES]:
        return model
    fixed: keras.Model = _with_input(inner[0], model.input_shape[1:])
    return fixed


def _takes(model: keras.Model, shape: tuple[int, ...]) -> bool:
    """Whether a model takes images of this size, too."""
    try:
        _with_input(model, shape)
    except ValueError:  # of a dense layer that gets all places, for one
        return False
    return True


def _with_input(model: keras.Model, shape: tuple[int | None, ...]) -> keras.Model:
    """The same layers, and so the same weights, for images of another size."""
    inputs = keras.Input(shape)
    return keras.models.clone_model(model, inputs, clone_function=lambda layer: layer)


def _log_odds(probabilities: KerasTensor) -> KerasTensor:
    p = ops.maximum(probabilities, TINY)
    return ops.log(p) if p.shape[-1] > 1 else ops.log(p) - ops.log(ops.maximum(1 - p, TINY))

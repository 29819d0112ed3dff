"""A trained model that looks at each image nine times: mirrored and at three sizes."""

from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras import KerasTensor, ops

from cnnzoo.evaluation.calibration import TINY

_Views = tuple[tuple[float, tuple[tuple[int, ...], ...]], ...]

_SUFFIX = "_several_views"
_SUFFIXES = (_SUFFIX, "_mirrored")  # the second in files written in November 2026
# How large the model sees an image, and of which of rows and columns the order is turned round in each view.
_MIRRORED = ((), (1,), (2,), (1, 2))
# Others are another VIEWS_VERSION.
_VIEWS: _Views = ((0.5, ((), (1,), (2,))), (1.0, ((1,), (1, 2))), (1.4, _MIRRORED))
_OWN_SIZE: _Views = ((1.0, _MIRRORED),)

# Each model made anew leaves something behind in the layers that it shares: so one is enough.
_one_view: WeakKeyDictionary[keras.Model, keras.Model] = WeakKeyDictionary()


def several_views(model: keras.Model) -> keras.Model:
    """Returns a model whose log-odds are the mean of those of nine views of each image.

    A crack is one in a mirror too, and near or far, but a network has learnt that only nearly; errors of
    chance are fewer in the mean (Krizhevsky et al. 2012, section 4.1; several sizes: Simonyan and Zisserman
    2015, section 4.2). Three views are of half the size that the model learnt, two are of that size and four
    are of 1.4 of it, each turned over in another way; that costs eleven times the computation of one. A model
    that takes images of one size alone, as all do that have another one inside, looks at it in four ways.
    Training sees one view, so this is for models that are trained.

    Args:
        model: takes (n, height, width, channels) and gives probabilities, of a softmax or one sigmoid unit.

    Returns:
        with the same input, output and weights, which it shares.
    """
    height, width, channels = model.input_shape[1:]
    images = keras.Input((height, width, channels), name="image")
    network, views = (model, _OWN_SIZE) if height is None else _at_all_sizes(model)
    odds = []
    for share, turned in views:
        # Not a Resizing layer: it would bring the layers behind it into training mode (Keras 3.15).
        seen = images if share == 1 else ops.image.resize(images, _sides(model, share))
        mirrored = [ops.flip(seen, axis=axes) if axes else seen for axes in turned]
        each = _log_odds(network(ops.concatenate(mirrored, axis=0)))
        odds.append(ops.reshape(each, (len(turned), -1, each.shape[-1])))
    mean = ops.mean(ops.concatenate(odds, axis=0), axis=0)
    activation = "softmax" if mean.shape[-1] > 1 else "sigmoid"
    outputs = keras.layers.Activation(activation, dtype="float32", name="probabilities")(mean)
    whole = keras.Model(images, outputs, name=f"{model.name}{_SUFFIX}")
    _one_view[whole] = model
    return whole


def one_view(model: keras.Model) -> keras.Model:
    """Returns the model that `several_views` was given, or any other as it is."""
    inner = [layer for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model)]
    if len(inner) != 1 or model.name not in [f"{inner[0].name}{suffix}" for suffix in _SUFFIXES]:
        return model
    if model not in _one_view:
        same = inner[0].input_shape == model.input_shape
        _one_view[model] = inner[0] if same else _with_input(inner[0], model.input_shape[1:])
    return _one_view[model]


def _at_all_sizes(model: keras.Model) -> tuple[keras.Model, _Views]:
    """The model as it takes images of any size, and the views that it can look at."""
    channels = model.input_shape[-1]
    try:
        network = _with_input(model, (None, None, channels))
        for share, _ in _VIEWS:
            answer = network(np.zeros((2, *_sides(model, share), channels), np.float32), training=False)
            finite = np.isfinite(ops.convert_to_numpy(answer)).all()
            if answer.shape != (2, model.output_shape[-1]) or not finite:
                return model, _OWN_SIZE
    except Exception:  # each backend has its own for a size that does not fit
        return model, _OWN_SIZE
    return network, _VIEWS


def _sides(model: keras.Model, share: float) -> tuple[int, int]:
    height, width = model.input_shape[1:3]
    return round(share * height), round(share * width)


def _with_input(model: keras.Model, shape: tuple[int | None, ...]) -> keras.Model:
    """The same layers, and so the same weights, for images of another size."""
    return keras.models.clone_model(model, keras.Input(shape), clone_function=lambda layer: layer)


def _log_odds(probabilities: KerasTensor) -> KerasTensor:
    p = ops.maximum(probabilities, TINY)
    return ops.log(p) if p.shape[-1] > 1 else ops.log(p) - ops.log(ops.maximum(1 - p, TINY))

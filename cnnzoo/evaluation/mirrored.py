"""A trained model that looks at each image four times, mirrored: four opinions for the weights of one."""

import keras
from keras import ops

from cnnzoo.evaluation.calibration import TINY

_SUFFIX = "_mirrored"
_AXES = ((), (1,), (2,), (1, 2))  # rows and columns, whose order is turned round in each view


def mirrored(model: keras.Model) -> keras.Model:
    """Returns a model whose log-odds are the mean of those of four mirrored views of each image.

    A crack is one in a mirror too, but a network has learnt that only nearly; errors of chance are fewer in
    the mean (Krizhevsky et al. 2012, section 4.1, averaged ten views). It costs four times the computation.
    Training sees one view, so this is for models that are trained.

    Args:
        model: takes (n, height, width, channels) and gives probabilities, of a softmax or one sigmoid unit.

    Returns:
        with the same input, output and weights, which it shares.
    """
    images = keras.Input(model.input_shape[1:], name="image")
    views = [ops.flip(images, axis=axes) if axes else images for axes in _AXES]
    p = ops.maximum(model(ops.concatenate(views, axis=0)), TINY)
    units = p.shape[-1]
    scores = ops.log(p) if units > 1 else ops.log(p) - ops.log(ops.maximum(1 - p, TINY))
    mean = ops.mean(ops.reshape(scores, (len(_AXES), -1, units)), axis=0)
    activation = "softmax" if units > 1 else "sigmoid"
    outputs = keras.layers.Activation(activation, dtype="float32", name="probabilities")(mean)
    return keras.Model(images, outputs, name=f"{model.name}{_SUFFIX}")


def one_view(model: keras.Model) -> keras.Model:
    """Returns the model that `mirrored` was given, or any other as it is."""
    inner = [layer for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model)]
    return inner[0] if len(inner) == 1 and model.name == f"{inner[0].name}{_SUFFIX}" else model

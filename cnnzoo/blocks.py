"""What two or more architectures share."""

from typing import Literal

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError

Head = Literal["softmax", "sigmoid"]

# A random network trained for a few hundred steps needs statistics that follow within tens of steps: with
# the 0.99 and 0.999 of keras.applications, inference mode still sees mostly the initial ones. No weight
# depends on it, and with pretrained weights batch norm stays in inference mode.
BATCH_NORM_MOMENTUM = 0.9


def conv_norm_act(
    x: KerasTensor,
    convolution: layers.Layer,
    *,
    norm: str,
    epsilon: float,
    activation: str | None = None,
    relu_limit: float | None = None,
) -> KerasTensor:
    """Applies a convolution, batch normalisation and, if `activation` names one, a ReLU.

    Args:
        x: (n, height, width, channels).
        convolution: the layer, with its name, stride and padding.
        norm: name of the batch normalisation layer.
        epsilon: added to the variance; pretrained weights go with one value of it.
        activation: name of the ReLU layer, None for a linear output.
        relu_limit: upper limit of the ReLU, such as 6.
    """
    x = convolution(x)
    x = layers.BatchNormalization(epsilon=epsilon, momentum=BATCH_NORM_MOMENTUM, name=norm)(x)
    return x if activation is None else layers.ReLU(relu_limit, name=activation)(x)


def classification_head(x: KerasTensor, *, num_classes: int, head: Head) -> KerasTensor:
    """Ends a model with one sigmoid unit, P(class 1), or a softmax over the classes, always in float32.

    Raises:
        InputError: `head` is unknown, or a sigmoid unit is to tell more than two classes apart.
    """
    if head not in ("softmax", "sigmoid"):
        raise InputError(f"unknown head {head!r}; known: softmax, sigmoid")
    if head == "sigmoid" and num_classes != 2:
        raise InputError(f"one sigmoid unit tells 2 classes apart, not {num_classes}; use head='softmax'")
    units = 1 if head == "sigmoid" else num_classes
    return layers.Dense(units, activation=head, dtype="float32", name="predictions")(x)


def dropout_layer(rate: float, *, name: str) -> layers.Layer:
    """Returns a dropout layer.

    Raises:
        InputError: the rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise InputError(f"dropout is {rate}; it must be at least 0 and below 1")
    return keras.layers.Dropout(rate, name=name)

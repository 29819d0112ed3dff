"""What two or more architectures share."""

from typing import Literal

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError
from cnnzoo.models.checks import check_rate

Head = Literal["softmax", "sigmoid"]

# A random network trained for a few hundred steps needs statistics that follow within tens of steps: with
# the 0.99 and 0.999 of keras.applications, inference mode still sees mostly the initial ones. No weight
# depends on it, and with pretrained weights batch norm stays in inference mode.
BATCH_NORM_MOMENTUM = 0.9
IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)

# Of pixels in [0, 1], as PyTorch's models and the DenseNet of keras.applications have them.
IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)

IMAGENET_DEVIATION_RGB = (0.229, 0.224, 0.225)


def imagenet_bgr(images: KerasTensor) -> KerasTensor:
    """Turns RGB in [0, 255] into BGR minus the ImageNet mean, as networks that come from Caffe expect it."""
    if images.shape[-1] != 3:
        # There is no mean for other channels; mid-gray centres them as well as can be.
        return layers.Rescaling(1.0, offset=-127.5, dtype="float32", name="rescaling")(images)
    offset = [-mean for mean in IMAGENET_MEAN_BGR]
    bgr = keras.ops.take(images, [2, 1, 0], axis=-1)
    return layers.Rescaling(1.0, offset=offset, dtype="float32", name="rescaling")(bgr)


def imagenet_rgb(images: KerasTensor) -> KerasTensor:
    """Turns RGB in [0, 255] into channels of mean 0 and deviation 1 on ImageNet; others into [-2, 2]."""
    if images.shape[-1] != 3:
        return unit_range(images, limit=2.0)
    pairs = list(zip(IMAGENET_MEAN_RGB, IMAGENET_DEVIATION_RGB, strict=True))
    scale = [1 / (255 * deviation) for _, deviation in pairs]
    offset = [-mean / deviation for mean, deviation in pairs]
    return layers.Rescaling(scale, offset=offset, dtype="float32", name="rescaling")(images)


def unit_range(images: KerasTensor, *, limit: float = 1.0) -> KerasTensor:
    """Turns [0, 255] into [-limit, limit]."""
    return layers.Rescaling(limit / 127.5, offset=-limit, dtype="float32", name="rescaling")(images)


def residual_stem(
    x: KerasTensor, *, channels: int, use_bias: bool, epsilon: float | None = None
) -> KerasTensor:
    """Quarters the image: a 7x7 convolution, batch norm and ReLU if there is an `epsilon`, max pooling.

    Padding is explicit: "same" would pad even sizes unequally, and published weights expect it equal.
    """
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(channels, 7, strides=2, use_bias=use_bias, name="conv1_conv")(x)
    if epsilon is not None:
        x = norm_act(x, norm="conv1_bn", epsilon=epsilon, activation="conv1_relu")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


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
    return norm_act(convolution(x), norm=norm, epsilon=epsilon, activation=activation, relu_limit=relu_limit)


def norm_act(
    x: KerasTensor,
    *,
    norm: str,
    epsilon: float,
    activation: str | None = None,
    relu_limit: float | None = None,
) -> KerasTensor:
    """Applies batch normalisation and, if `activation` names one, a ReLU; see `conv_norm_act`."""
    x = layers.BatchNormalization(epsilon=epsilon, momentum=BATCH_NORM_MOMENTUM, name=norm)(x)
    return x if activation is None else layers.ReLU(relu_limit, name=activation)(x)


def classification_head(
    x: KerasTensor, *, num_classes: int, head: Head, convolution: bool = False
) -> KerasTensor:
    """Ends a model with one sigmoid unit, P(class 1), or a softmax over the classes, always in float32.

    Args:
        x: (n, features), or (n, height, width, features) for a convolution.
        num_classes: at least 2.
        head: "softmax" or "sigmoid".
        convolution: whether a 1x1 convolution scores each place and the mean over the places counts.

    Raises:
        InputError: `head` is unknown, or a sigmoid unit is to tell more than two classes apart.
    """
    if head not in ("softmax", "sigmoid"):
        raise InputError(f"unknown head {head!r}; known: softmax, sigmoid")
    if head == "sigmoid" and num_classes != 2:
        raise InputError(f"one sigmoid unit tells 2 classes apart, not {num_classes}; use head='softmax'")
    units = 1 if head == "sigmoid" else num_classes
    if not convolution:
        return layers.Dense(units, activation=head, dtype="float32", name="predictions")(x)
    x = layers.Conv2D(units, 1, dtype="float32", name="class_conv")(x)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pooling")(x)
    return layers.Activation(head, dtype="float32", name="predictions")(x)


def dropout_layer(rate: float, *, name: str) -> layers.Layer:
    """Returns a dropout layer.

    Raises:
        InputError: the rate is not in [0, 1).
    """
    check_rate("dropout", rate)
    return keras.layers.Dropout(rate, name=name)


def stochastic_depth(x: KerasTensor, rate: float, *, name: str) -> KerasTensor:
    """Leaves out all of `x` for a share of the images in training (Huang et al. 2016).

    Dropout with one number an image is exactly that, on every backend, and saved files need no code of ours.
    """
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x) if rate > 0 else x

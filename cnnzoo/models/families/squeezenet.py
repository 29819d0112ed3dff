"""SqueezeNet 1.1 (Iandola et al. 2016), compatible with the weights that rcmalli published for Keras."""

from functools import partial
from pathlib import Path

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import Head, imagenet_bgr
from cnnzoo.models.checks import check_count
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import load_pretrained, transfer_model
from cnnzoo.models.weights import PublishedFile

FIRE_MODULES = range(2, 10)  # the paper counts them from 2

POOLED_AFTER = (3, 5)

BYPASSED = (3, 5, 7, 9)  # those that have as many channels as their input


def imagenet_file(*, input_shape: tuple[int, int, int]) -> PublishedFile:
    """Names the one file there is; it serves every image size."""
    return PublishedFile(
        "https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/"
        "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5="80b66c92d79d4310e07fb60a297bf0d1",
    )


@register_model(
    image_size=224,
    year=2016,
    source="Iandola et al., SqueezeNet: AlexNet-Level Accuracy with 50x Fewer Parameters, 2016",
    url="https://arxiv.org/abs/1602.07360",
    weights_file=imagenet_file,
    weights_licence="MIT",
)
def squeezenet(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    weights: str | Path | None = None,
    base: int = 128,
    increment: int = 128,
    squeeze_ratio: float = 0.125,
    share_3x3: float = 0.5,
    bypass: bool = False,
    dropout: float = 0.5,
    head: Head = "softmax",
) -> keras.Model:
    """Builds SqueezeNet 1.1 with a new head: a 1x1 convolution whose scores are averaged over the image.

    As in the paper no ReLU follows that convolution. The authors' Caffe file has one, with which a score
    could never fall below 0 nor a sigmoid unit below 1/2.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        weights: None, "imagenet" or a file.
        base: channels that the first two fire modules put out.
        increment: channels by which each further pair is wider.
        squeeze_ratio: channels of a squeeze layer for each that its module puts out.
        share_3x3: part of these that 3x3 convolutions make; 1x1 convolutions make the rest.
        bypass: whether every other fire module adds its input (section 6, simple bypass).
        dropout: share of the features left out before the head.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value, or the weights can't be had or don't fit.
    """
    backbone = squeezenet_backbone(
        input_shape=input_shape,
        base=base,
        increment=increment,
        squeeze_ratio=squeeze_ratio,
        share_3x3=share_3x3,
        bypass=bypass,
    )
    load_pretrained(backbone, weights, published=partial(imagenet_file, input_shape=input_shape))
    return transfer_model(
        backbone,
        normalise=imagenet_bgr,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=weights is not None,
        convolution=True,
    )


def squeezenet_backbone(
    *,
    input_shape: tuple[int, int, int],
    base: int = 128,
    increment: int = 128,
    squeeze_ratio: float = 0.125,
    share_3x3: float = 0.5,
    bypass: bool = False,
) -> keras.Model:
    """Builds SqueezeNet 1.1 without head, for `imagenet_bgr`.

    Layers with weights have the order of the published file, which is how its weights find them.

    Raises:
        InputError: an argument has no usable value.
    """
    for name, value, least in (("base", base, 2), ("increment", increment, 0)):
        check_count(name, value, least=least)
    if not 0 < squeeze_ratio <= 1:
        raise InputError(f"squeeze_ratio is {squeeze_ratio}; it must be above 0 and at most 1")
    if not 0 < share_3x3 < 1:
        raise InputError(f"share_3x3 is {share_3x3}; it must be above 0 and below 1")
    inputs = keras.Input(input_shape, name="features_in")
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for number in FIRE_MODULES:
        expanded = base + increment * ((number - 2) // 2)
        y = _fire(x, expanded, squeeze_ratio=squeeze_ratio, share_3x3=share_3x3, name=f"fire{number}")
        x = layers.Add(name=f"fire{number}_add")([x, y]) if bypass and number in BYPASSED else y
        if number in POOLED_AFTER:
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    return keras.Model(inputs, x, name="squeezenet")


def _fire(x: KerasTensor, channels: int, *, squeeze_ratio: float, share_3x3: float, name: str) -> KerasTensor:
    """Squeezes to few channels, then filters these with 1x1 and 3x3 kernels side by side (section 3.2)."""
    large = min(max(1, round(channels * share_3x3)), channels - 1)
    squeezed = max(1, round(channels * squeeze_ratio))
    x = layers.Conv2D(squeezed, 1, activation="relu", name=f"{name}_squeeze")(x)
    left = layers.Conv2D(channels - large, 1, activation="relu", name=f"{name}_expand1x1")(x)
    right = layers.Conv2D(large, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return layers.Concatenate(name=f"{name}_concat")([left, right])

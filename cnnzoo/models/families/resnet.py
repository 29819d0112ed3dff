"""ResNet (He et al. 2015): 18 and 34 layers as in torchvision, 50, 101 and 152 as in keras.applications."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import keras
from keras import KerasTensor, layers

from cnnzoo.models.blocks import Head, conv_norm_act, imagenet_bgr, imagenet_rgb, residual_stem
from cnnzoo.models.checks import check_count, check_counts
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import load_pretrained, transfer_model
from cnnzoo.models.weights import PublishedFile

_Conv = Callable[..., KerasTensor]


class Variant(NamedTuple):
    """Residual blocks of each stage, and the MD5 of the published file where there is one."""

    blocks: tuple[int, ...]
    md5: str = ""


# Table 1 of the paper.
PLAIN = {"resnet18": Variant((2, 2, 2, 2)), "resnet34": Variant((3, 4, 6, 3))}
BOTTLENECK = {
    "resnet50": Variant((3, 4, 6, 3), md5="4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": Variant((3, 4, 23, 3), md5="88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": Variant((3, 8, 36, 3), md5="ee4c566cf9a93f14d82f913c2dc6dd0c"),
}


def imagenet_file(name: str, /, *, input_shape: tuple[int, int, int]) -> PublishedFile:
    """Names the one file that there is of a network; it serves every image size."""
    return PublishedFile(
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
        f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5=BOTTLENECK[name].md5,
    )


def plain_resnet(
    name: str,
    /,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    blocks: tuple[int, ...],
    width: int = 64,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds ResNet-18 or 34, of pairs of 3x3 convolutions; see `bottleneck_resnet` for the arguments."""
    return transfer_model(
        resnet_backbone(name, input_shape=input_shape, blocks=blocks, width=width, bottleneck=False),
        normalise=imagenet_rgb,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
    )


def bottleneck_resnet(
    name: str,
    /,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    weights: str | Path | None = None,
    blocks: tuple[int, ...],
    width: int = 64,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds ResNet-50, 101 or 152, version 1 (stride in the first 1x1), with a new head.

    Args:
        name: of the variant.
        input_shape: (height, width, channels).
        num_classes: at least 2.
        weights: None, "imagenet" or a file.
        blocks: residual blocks of each stage; each stage after the first halves the size.
        width: channels of the first stage; each further stage has twice as many.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value, or the weights can't be had or don't fit.
    """
    backbone = resnet_backbone(name, input_shape=input_shape, blocks=blocks, width=width)
    load_pretrained(backbone, weights, published=partial(imagenet_file, name, input_shape=input_shape))
    return transfer_model(
        backbone,
        normalise=imagenet_bgr,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=weights is not None,
    )


_register = partial(
    register_model,
    image_size=224,
    year=2015,
    source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
    url="https://arxiv.org/abs/1512.03385",
)
for _name, _variant in PLAIN.items():
    _register(name=_name)(partial(plain_resnet, _name, blocks=_variant.blocks))
for _name, _variant in BOTTLENECK.items():
    _register(name=_name, weights_file=partial(imagenet_file, _name), weights_licence="MIT")(
        partial(bottleneck_resnet, _name, blocks=_variant.blocks)
    )


def resnet_backbone(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    blocks: tuple[int, ...],
    width: int = 64,
    bottleneck: bool = True,
) -> keras.Model:
    """Builds a ResNet without pooling and head.

    With bottlenecks, layers with weights have the names and the order that they have in keras.applications,
    and the input is that of `imagenet_bgr`; with pairs of 3x3 convolutions, it is that of `imagenet_rgb`.

    Raises:
        InputError: `blocks` or `width` has no usable value.
    """
    check_counts("blocks", blocks)
    check_count("width", width)
    epsilon = 1.001e-5 if bottleneck else 1e-5  # of keras.applications, of torchvision
    conv = partial(_conv, use_bias=bottleneck, epsilon=epsilon)
    inputs = keras.Input(input_shape, name="features_in")
    x = residual_stem(inputs, channels=width, use_bias=bottleneck, epsilon=epsilon)
    for stage, count in enumerate(blocks):
        for number in range(1, count + 1):
            block = _bottleneck if bottleneck else _basic
            stride = 2 if stage > 0 and number == 1 else 1
            x = block(x, width << stage, conv, stride=stride, name=f"conv{stage + 2}_block{number}")
    return keras.Model(inputs, x, name=name)


def _basic(x: KerasTensor, channels: int, conv: _Conv, *, stride: int, name: str) -> KerasTensor:
    """Filters twice and adds the input, projected where the shape changes (figure 5, left)."""
    shortcut = x
    if stride > 1 or x.shape[-1] != channels:
        shortcut = conv(x, channels, 1, name=f"{name}_0", stride=stride, relu=False)
    x = conv(x, channels, 3, name=f"{name}_1", stride=stride)
    x = conv(x, channels, 3, name=f"{name}_2", relu=False)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _bottleneck(x: KerasTensor, channels: int, conv: _Conv, *, stride: int, name: str) -> KerasTensor:
    """Narrows, filters, widens, and adds the input (figure 5, right)."""
    shortcut = x
    if stride > 1 or x.shape[-1] != 4 * channels:
        shortcut = conv(x, 4 * channels, 1, name=f"{name}_0", stride=stride, relu=False)
    x = conv(x, channels, 1, name=f"{name}_1", stride=stride)
    x = conv(x, channels, 3, name=f"{name}_2")
    x = conv(x, 4 * channels, 1, name=f"{name}_3", relu=False)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _conv(
    x: KerasTensor,
    channels: int,
    kernel: int,
    *,
    name: str,
    use_bias: bool,
    epsilon: float,
    stride: int = 1,
    relu: bool = True,
) -> KerasTensor:
    padding = "same"
    if stride > 1 and kernel > 1:  # see residual_stem
        x, padding = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
    convolution = layers.Conv2D(
        channels, kernel, strides=stride, padding=padding, use_bias=use_bias, name=f"{name}_conv"
    )
    activation = f"{name}_relu" if relu else None
    return conv_norm_act(x, convolution, norm=f"{name}_bn", epsilon=epsilon, activation=activation)

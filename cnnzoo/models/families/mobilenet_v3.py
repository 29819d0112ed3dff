"""MobileNetV3 (Howard et al. 2019), weight-compatible with its two versions in keras.applications."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import keras
from keras import KerasTensor, layers

from cnnzoo.models.blocks import Head, unit_range
from cnnzoo.models.checks import check_multiplier
from cnnzoo.models.inverted_residual import BlockStyle, UnitNames, inverted_residual, round_width, unit
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model

SOURCE = "Howard et al., Searching for MobileNetV3, ICCV 2019"
URL = "https://arxiv.org/abs/1905.02244"


class Block(NamedTuple):
    """A line of the tables: width as a factor of the input's, squeeze-and-excitation, hard-swish or ReLU."""

    expansion: float
    channels: int
    kernel: int
    stride: int
    squeeze: bool
    swish: bool


# Tables 1 and 2 of the paper; they give the expanded width, which alpha needs as a factor.
LARGE = (
    Block(1, 16, 3, 1, False, False),
    Block(4, 24, 3, 2, False, False),
    Block(3, 24, 3, 1, False, False),
    Block(3, 40, 5, 2, True, False),
    *(Block(3, 40, 5, 1, True, False),) * 2,
    Block(6, 80, 3, 2, False, True),
    Block(2.5, 80, 3, 1, False, True),
    *(Block(2.3, 80, 3, 1, False, True),) * 2,
    *(Block(6, 112, 3, 1, True, True),) * 2,
    Block(6, 160, 5, 2, True, True),
    *(Block(6, 160, 5, 1, True, True),) * 2,
)

SMALL = (
    Block(1, 16, 3, 2, True, False),
    Block(72 / 16, 24, 3, 2, False, False),
    Block(88 / 24, 24, 3, 1, False, False),
    Block(4, 40, 5, 2, True, True),
    *(Block(6, 40, 5, 1, True, True),) * 2,
    *(Block(3, 48, 5, 1, True, True),) * 2,
    Block(6, 96, 5, 2, True, True),
    *(Block(6, 96, 5, 1, True, True),) * 2,
)

RELU = BlockStyle(
    expand=UnitNames("expand", "expand_bn", "expand_activation"),
    depthwise=UnitNames("depthwise", "depthwise_bn", "depthwise_activation"),
    project=UnitNames("project", "project_bn"),
    activation="relu",
    squeeze=("squeeze_excite_conv", "squeeze_excite_conv_1"),
    gate="hard_sigmoid",
)

HARD_SWISH = replace(RELU, activation="hard_swish")


@register_model(image_size=224, year=2019, source=SOURCE, url=URL)
def mobilenet_v3_small(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    alpha: float = 1.0,
    minimalistic: bool = False,
    dropout: float = 0.2,
    head: Head = "softmax",
) -> keras.Model:
    """Builds MobileNetV3-Small; see `transfer_model`.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        alpha: width multiplier.
        minimalistic: whether to do without squeeze-and-excitation, hard-swish and 5x5 filters, for hardware
            that is slow at them.
        dropout: share of the features before the last layer left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    backbone = mobilenet_v3_backbone(
        SMALL, input_shape=input_shape, alpha=alpha, minimalistic=minimalistic, name="mobilenet_v3_small"
    )
    neck = partial(_neck, units=_last_width(1024, alpha), minimalistic=minimalistic)
    return _classifier(backbone, neck, num_classes=num_classes, dropout=dropout, head=head)


@register_model(image_size=224, year=2019, source=SOURCE, url=URL)
def mobilenet_v3_large(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    alpha: float = 1.0,
    minimalistic: bool = False,
    dropout: float = 0.2,
    head: Head = "softmax",
) -> keras.Model:
    """Builds MobileNetV3-Large; the arguments are those of `mobilenet_v3_small`.

    Raises:
        InputError: an argument has no usable value.
    """
    backbone = mobilenet_v3_backbone(
        LARGE, input_shape=input_shape, alpha=alpha, minimalistic=minimalistic, name="mobilenet_v3_large"
    )
    neck = partial(_neck, units=_last_width(1280, alpha), minimalistic=minimalistic)
    return _classifier(backbone, neck, num_classes=num_classes, dropout=dropout, head=head)


def _classifier(
    backbone: keras.Model,
    neck: Callable[[KerasTensor], KerasTensor],
    *,
    num_classes: int,
    dropout: float,
    head: Head,
) -> keras.Model:
    return transfer_model(
        backbone,
        normalise=unit_range,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
        neck=neck,
    )


def mobilenet_v3_backbone(
    blocks: tuple[Block, ...],
    *,
    input_shape: tuple[int, int, int],
    alpha: float = 1.0,
    minimalistic: bool = False,
    name: str,
) -> keras.Model:
    """Builds MobileNetV3 without pooling and head, for input in [-1, 1].

    Layers with weights have the names and the order that they have in keras.applications.

    Raises:
        InputError: `alpha` is not above 0.
    """
    check_multiplier("alpha", alpha)
    style = RELU if minimalistic else HARD_SWISH
    inputs = keras.Input(input_shape, name="features_in")
    stem = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="conv")
    x = unit(inputs, stem, style, UnitNames("conv", "conv_bn", "conv_activation"))
    for number, block in enumerate(blocks):
        x = _block(x, block, alpha=alpha, minimalistic=minimalistic, number=number)
    last = layers.Conv2D(round_width(6 * x.shape[-1]), 1, use_bias=False, name="conv_1")
    x = unit(x, last, style, UnitNames("conv_1", "conv_1_bn", "conv_1_activation"))
    return keras.Model(inputs, x, name=name)


def _block(x: KerasTensor, block: Block, *, alpha: float, minimalistic: bool, number: int) -> KerasTensor:
    # The squeezed width follows the wide part, which the paper fixes to a quarter of it.
    expanded = round_width(block.expansion * x.shape[-1])
    return inverted_residual(
        x,
        HARD_SWISH if block.swish and not minimalistic else RELU,
        prefix=f"expanded_conv_{number}_" if number else "expanded_conv_",
        expanded=expanded if number else None,
        channels=round_width(block.channels * alpha),
        kernel=3 if minimalistic else block.kernel,
        stride=block.stride,
        squeezed=round_width(expanded / 4) if block.squeeze and not minimalistic else None,
    )


def _last_width(units: int, alpha: float) -> int:
    # A narrow network keeps the full width of its last layer.
    return round_width(units * alpha) if alpha > 1 else units


def _neck(x: KerasTensor, *, units: int, minimalistic: bool) -> KerasTensor:
    """Widens the pooled features (figure 5); keras.applications does it with a 1x1 convolution."""
    x = layers.Dense(units, name="conv_2")(x)
    return layers.Activation("relu" if minimalistic else "hard_swish", name="conv_2_activation")(x)

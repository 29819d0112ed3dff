"""EfficientNet (Tan and Le 2019) and EfficientNetV2 (2021), weight-compatible with keras.applications."""

import math
from dataclasses import replace
from functools import partial
from string import ascii_lowercase
from typing import NamedTuple

import keras
from keras import KerasTensor, layers

from cnnzoo.models.blocks import Head, imagenet_rgb
from cnnzoo.models.checks import check_multiplier, check_rate
from cnnzoo.models.inverted_residual import (
    BlockStyle,
    UnitNames,
    add_shortcut,
    inverted_residual,
    pointwise,
    round_width,
    unit,
)
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model


class Stage(NamedTuple):
    """Some blocks, of which the first has the stride; fused ones have a full convolution and no squeezing."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int = 3
    fused: bool = False


# Table 1 of the first paper.
V1_STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 40, 2, 2, kernel=5),
    Stage(6, 80, 3, 2),
    Stage(6, 112, 3, 1, kernel=5),
    Stage(6, 192, 4, 2, kernel=5),
    Stage(6, 320, 1, 1),
)

# The base of the second paper, as its authors' code has it.
V2_STAGES = (
    Stage(1, 16, 1, 1, fused=True),
    Stage(4, 32, 2, 2, fused=True),
    Stage(4, 48, 2, 2, fused=True),
    Stage(4, 96, 3, 2),
    Stage(6, 112, 5, 1),
    Stage(6, 192, 8, 2),
)

V1_STYLE = BlockStyle(
    expand=UnitNames("expand_conv", "expand_bn", "expand_activation"),
    depthwise=UnitNames("dwconv", "bn", "activation"),
    project=UnitNames("project_conv", "project_bn"),
    activation="swish",
    squeeze_activation="swish",
    initializer={
        "class_name": "VarianceScaling",
        "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
    },
)

V2_STYLE = replace(V1_STYLE, depthwise=UnitNames("dwconv2", "bn", "activation"))


@register_model(
    image_size=224,
    year=2019,
    source="Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019",
    url="https://arxiv.org/abs/1905.11946",
)
def efficientnet_b0(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    width: float = 1.0,
    depth: float = 1.0,
    drop_connect: float = 0.2,
    dropout: float = 0.2,
    head: Head = "softmax",
) -> keras.Model:
    """Builds EfficientNet-B0, or a larger one by its multipliers; see `transfer_model`.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        width: multiplier of the channels.
        depth: multiplier of the blocks in a stage.
        drop_connect: share of the images for which training leaves out the last block; earlier ones less.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    backbone = efficientnet_backbone(
        V1_STAGES,
        V1_STYLE,
        input_shape=input_shape,
        width=width,
        depth=depth,
        drop_connect=drop_connect,
        name="efficientnet_b0",
    )
    return _classifier(backbone, num_classes=num_classes, dropout=dropout, head=head)


@register_model(
    image_size=224,
    year=2021,
    source="Tan and Le, EfficientNetV2: Smaller Models and Faster Training, ICML 2021",
    url="https://arxiv.org/abs/2104.00298",
)
def efficientnet_v2_b0(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    width: float = 1.0,
    depth: float = 1.0,
    drop_connect: float = 0.2,
    dropout: float = 0.2,
    head: Head = "softmax",
) -> keras.Model:
    """Builds EfficientNetV2-B0, or a larger one; the arguments are those of `efficientnet_b0`.

    Raises:
        InputError: an argument has no usable value.
    """
    backbone = efficientnet_backbone(
        V2_STAGES,
        V2_STYLE,
        input_shape=input_shape,
        width=width,
        depth=depth,
        drop_connect=drop_connect,
        name="efficientnet_v2_b0",
        least_share=0.0,  # the second version rounds to the nearest multiple, however far below
    )
    return _classifier(backbone, num_classes=num_classes, dropout=dropout, head=head)


def _classifier(backbone: keras.Model, *, num_classes: int, dropout: float, head: Head) -> keras.Model:
    return transfer_model(
        backbone,
        # keras.applications holds the same constants of the first version in 7 weights, to be loaded.
        normalise=imagenet_rgb,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
    )


def efficientnet_backbone(
    stages: tuple[Stage, ...],
    style: BlockStyle,
    *,
    input_shape: tuple[int, int, int],
    width: float = 1.0,
    depth: float = 1.0,
    drop_connect: float = 0.0,
    name: str,
    least_share: float = 0.9,
) -> keras.Model:
    """Builds either version without pooling and head, for channels of mean 0 and deviation 1.

    Layers with weights have the names and the order that they have in keras.applications, where a layer
    that normalises comes before those of the first version.

    Raises:
        InputError: a multiplier is not above 0, or `drop_connect` not in [0, 1).
    """
    check_multiplier("width", width)
    check_multiplier("depth", depth)
    check_rate("drop_connect", drop_connect)
    inputs = keras.Input(input_shape, name="features_in")
    stem, top = (round_width(channels * width, least_share=least_share) for channels in (32, 1280))
    x = _conv(inputs, style=style, channels=stem, name="stem_", stride=2)
    plan = _plan(stages, width=width, depth=depth, least_share=least_share)
    for position, (stage, prefix) in enumerate(plan):
        x = _block(x, stage, style, prefix=prefix, drop=drop_connect * position / len(plan))
    x = _conv(x, style=style, channels=top, name="top_", kernel=1)
    return keras.Model(inputs, x, name=name)


def _plan(
    stages: tuple[Stage, ...], *, width: float, depth: float, least_share: float
) -> list[tuple[Stage, str]]:
    """Returns for each block its own scaled stage and the prefix of its names."""
    plan = []
    for number, stage in enumerate(stages, start=1):
        first = stage._replace(channels=round_width(stage.channels * width, least_share=least_share))
        for block in range(math.ceil(depth * stage.blocks)):
            plan.append((first._replace(stride=1) if block else first, f"block{number}{_letter(block)}_"))
    return plan


def _block(x: KerasTensor, stage: Stage, style: BlockStyle, *, prefix: str, drop: float) -> KerasTensor:
    if stage.fused:
        return _fused(x, stage, style, prefix=prefix, drop=drop)
    return inverted_residual(
        x,
        style,
        prefix=prefix,
        expanded=stage.expansion * x.shape[-1] if stage.expansion > 1 else None,
        channels=stage.channels,
        kernel=stage.kernel,
        stride=stage.stride,
        # A quarter of the input's channels, not of the wide part's as in MobileNetV3.
        squeezed=max(1, x.shape[-1] // 4),
        drop=drop,
    )


def _fused(x: KerasTensor, stage: Stage, style: BlockStyle, *, prefix: str, drop: float) -> KerasTensor:
    """Widens and filters in one convolution (figure 2 of the second paper), or filters alone."""
    inputs = x
    conv = partial(_conv, style=style, kernel=stage.kernel, stride=stage.stride)
    if stage.expansion > 1:
        x = conv(x, channels=stage.expansion * x.shape[-1], name=f"{prefix}expand_")
        project = pointwise(stage.channels, style, prefix=prefix, names=style.project)
        x = unit(x, project, style, style.project)
    else:
        x = conv(x, channels=stage.channels, name=f"{prefix}project_")
    return add_shortcut(x, inputs, prefix=prefix, drop=drop) if stage.stride == 1 else x


def _conv(
    x: KerasTensor, *, style: BlockStyle, channels: int, name: str, kernel: int = 3, stride: int = 1
) -> KerasTensor:
    convolution = layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=style.initializer,
        name=f"{name}conv",
    )
    return unit(x, convolution, style, UnitNames("conv", "bn", "activation"))


def _letter(block: int) -> str:
    # A depth multiplier may ask for more blocks than there are letters.
    return ascii_lowercase[block] if block < 26 else f"z{block}"

"""ConvNeXt (Liu et al. 2022), with the weights of `keras.applications.ConvNeXtTiny` but for their layout."""

from typing import Any

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import Head, imagenet_rgb, stochastic_depth
from cnnzoo.models.checks import check_rate
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model

# Blocks and channels of the four stages.
TINY = ((3, 96), (3, 192), (9, 384), (3, 768))

FEMTO = ((2, 48), (2, 96), (6, 192), (2, 384))

EPSILON = 1e-6

# Appendix A of the paper.
INITIALIZER: dict[str, Any] = {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}


@register_model(
    image_size=224,
    year=2022,
    source="Liu et al., A ConvNet for the 2020s, CVPR 2022",
    url="https://arxiv.org/abs/2201.03545",
)
def convnext_tiny(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    kernel_size: int = 7,
    layer_scale: float | None = 1e-6,
    drop_path: float = 0.1,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds ConvNeXt-T; see `transfer_model`.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        kernel_size: side of the depthwise filters, odd (table 10 compares 3 to 11).
        layer_scale: initial factor of what each block adds, None to leave it out.
        drop_path: share of the images for which training leaves out the last block; earlier ones less.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    backbone = convnext_backbone(
        TINY,
        input_shape=input_shape,
        kernel_size=kernel_size,
        layer_scale=layer_scale,
        drop_path=drop_path,
        name="convnext_tiny",
    )
    return _classifier(backbone, num_classes=num_classes, dropout=dropout, head=head)


@register_model(
    image_size=224,
    year=2022,
    source="Wightman's smaller ConvNeXt (timm) after Liu et al., A ConvNet for the 2020s, CVPR 2022",
    url="https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/convnext.py",
)
def convnext_femto(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    kernel_size: int = 7,
    layer_scale: float | None = 1e-6,
    drop_path: float = 0.0,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds ConvNeXt-F, a fifth of ConvNeXt-T; the arguments are those of `convnext_tiny`.

    Raises:
        InputError: an argument has no usable value.
    """
    backbone = convnext_backbone(
        FEMTO,
        input_shape=input_shape,
        kernel_size=kernel_size,
        layer_scale=layer_scale,
        drop_path=drop_path,
        name="convnext_femto",
    )
    return _classifier(backbone, num_classes=num_classes, dropout=dropout, head=head)


def _classifier(backbone: keras.Model, *, num_classes: int, dropout: float, head: Head) -> keras.Model:
    return transfer_model(
        backbone,
        normalise=imagenet_rgb,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
        # Unlike the other families, ConvNeXt normalises once more behind the pooling.
        neck=_norm(f"{backbone.name}_head_layernorm"),
    )


def convnext_backbone(
    stages: tuple[tuple[int, int], ...],
    *,
    input_shape: tuple[int, int, int],
    kernel_size: int = 7,
    layer_scale: float | None = 1e-6,
    drop_path: float = 0.0,
    name: str,
) -> keras.Model:
    """Builds ConvNeXt without pooling and head, for channels of mean 0 and deviation 1.

    Weights have the order and as many numbers as in keras.applications, but two kinds have more axes there
    or here: see `_block`.

    Raises:
        InputError: an argument has no usable value.
    """
    _check(kernel_size, layer_scale, drop_path)
    inputs = keras.Input(input_shape, name="features_in")
    x = _conv(inputs, stages[0][1], 4, name=f"{name}_stem_conv")
    x = _norm(f"{name}_stem_layernorm")(x)
    last, number = sum(blocks for blocks, _ in stages) - 1, 0
    for stage, (blocks, channels) in enumerate(stages):
        if stage > 0:
            x = _norm(f"{name}_downsampling_layernorm_{stage - 1}")(x)
            x = _conv(x, channels, 2, name=f"{name}_downsampling_conv_{stage - 1}")
        for block in range(blocks):
            x = _block(
                x,
                kernel_size=kernel_size,
                layer_scale=layer_scale,
                drop=drop_path * number / last,
                name=f"{name}_stage_{stage}_block_{block}",
            )
            number += 1
    return keras.Model(inputs, x, name=name)


def _block(
    x: KerasTensor, *, kernel_size: int, layer_scale: float | None, drop: float, name: str
) -> KerasTensor:
    """Filters each channel, normalises, widens, narrows, and adds the input (figure 4)."""
    inputs, channels = x, x.shape[-1]
    # keras.applications takes a convolution in groups, whose kernel has two axes swapped. On a CPU its
    # gradient takes 30 times as long.
    x = layers.DepthwiseConv2D(
        kernel_size, padding="same", depthwise_initializer=INITIALIZER, name=f"{name}_depthwise_conv"
    )(x)
    x = _norm(f"{name}_layernorm")(x)
    x = layers.Dense(4 * channels, kernel_initializer=INITIALIZER, name=f"{name}_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Dense(channels, kernel_initializer=INITIALIZER, name=f"{name}_pointwise_conv_2")(x)
    if layer_scale is not None:
        x = _layer_scale(layer_scale, name=f"{name}_layer_scale")(x)
    x = stochastic_depth(x, drop, name=f"{name}_stochastic_depth")
    return layers.Add(name=f"{name}_add")([inputs, x])


def _layer_scale(initial: float, *, name: str) -> layers.Layer:
    """Returns a layer that multiplies each channel by a factor of its own.

    A depthwise 1x1 convolution does that: a layer class of ours would make saved models unreadable where
    this package is not imported.
    """
    constant = {"class_name": "Constant", "config": {"value": initial}}
    return layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=constant, name=name)


def _conv(x: KerasTensor, channels: int, size: int, *, name: str) -> KerasTensor:
    """Turns patches side by side into pixels."""
    return layers.Conv2D(channels, size, strides=size, kernel_initializer=INITIALIZER, name=name)(x)


def _norm(name: str) -> layers.Layer:
    return layers.LayerNormalization(epsilon=EPSILON, name=name)


def _check(kernel_size: int, layer_scale: float | None, drop_path: float) -> None:
    check_rate("drop_path", drop_path)
    if isinstance(kernel_size, bool) or not isinstance(kernel_size, int) or kernel_size < 1:
        raise InputError(f"kernel_size is {kernel_size!r}; it must be a whole number, at least 1")
    if kernel_size % 2 == 0:
        raise InputError(f"kernel_size is {kernel_size}; an even filter has no middle, take an odd one")
    if layer_scale is not None and not 0 < layer_scale <= 1:
        raise InputError(f"layer_scale is {layer_scale}; it must be above 0 and at most 1, or None")

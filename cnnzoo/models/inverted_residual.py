"""The block of MobileNetV2, MobileNetV3 and EfficientNet: widen, filter each channel, project down."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from keras import KerasTensor, layers

from cnnzoo.models.blocks import conv_norm_act, stochastic_depth

EPSILON = 1e-3
_RELU_LIMITS = {"relu": None, "relu6": 6.0}


class UnitNames(NamedTuple):
    """Names of a convolution, its batch normalisation and its activation, "" for a linear output.

    In a `BlockStyle` they go behind the prefix of the block.
    """

    convolution: str
    norm: str
    activation: str = ""


@dataclass(frozen=True)
class BlockStyle:
    """What the inverted residuals of a family have in common.

    Attributes:
        expand: names of the widening 1x1 convolution.
        depthwise: names of the convolution that filters each channel.
        project: names of the narrowing 1x1 convolution, which has no activation.
        activation: of Keras, such as "relu6".
        squeeze: names of the two convolutions of squeeze-and-excitation.
        squeeze_activation: between those two.
        gate: makes factors of what the second of them gives.
        initializer: of every kernel; a name or configuration, as an instance would repeat its numbers.
    """

    expand: UnitNames
    depthwise: UnitNames
    project: UnitNames
    activation: str = "relu6"
    squeeze: tuple[str, str] = ("se_reduce", "se_expand")
    squeeze_activation: str = "relu"
    gate: str = "sigmoid"
    initializer: str | dict[str, Any] = "glorot_uniform"


def inverted_residual(
    x: KerasTensor,
    style: BlockStyle,
    *,
    prefix: str,
    expanded: int | None,
    channels: int,
    kernel: int = 3,
    stride: int = 1,
    squeezed: int | None = None,
    drop: float = 0.0,
) -> KerasTensor:
    """Adds its input where the shape allows it (Sandler et al. 2018, section 3.3).

    Args:
        x: (n, height, width, channels).
        style: of the family.
        prefix: of the names of all layers.
        expanded: channels of the wide part, None to filter the input as it is.
        channels: of the output.
        kernel: side of the depthwise filters.
        stride: of the depthwise convolution.
        squeezed: channels inside squeeze-and-excitation, None to leave it out.
        drop: share of the images for which training leaves out the block, where it has a shortcut.
    """
    inputs = x
    if expanded is not None:
        x = unit(x, pointwise(expanded, style, prefix=prefix, names=style.expand), style, style.expand)
    x = unit(x, _depthwise(kernel, stride, style, prefix=prefix), style, style.depthwise)
    if squeezed is not None:
        x = squeeze_excite(x, style, prefix=prefix, squeezed=squeezed)
    project = pointwise(channels, style, prefix=prefix, names=style.project)
    x = unit(x, project, style, style.project)
    return add_shortcut(x, inputs, prefix=prefix, drop=drop) if stride == 1 else x


def _depthwise(kernel: int, stride: int, style: BlockStyle, *, prefix: str) -> layers.Layer:
    # "same" pads like the separate padding layers of keras.applications, without copying the features.
    return layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=style.initializer,
        name=prefix + style.depthwise.convolution,
    )


def pointwise(channels: int, style: BlockStyle, *, prefix: str, names: UnitNames) -> layers.Layer:
    """Returns a 1x1 convolution without bias."""
    return layers.Conv2D(
        channels, 1, use_bias=False, kernel_initializer=style.initializer, name=prefix + names.convolution
    )


def unit(x: KerasTensor, convolution: layers.Layer, style: BlockStyle, names: UnitNames) -> KerasTensor:
    """Applies a convolution, batch normalisation and, if it has a name, the activation of the family.

    Norm and activation get the prefix that the name of the convolution has.
    """
    prefix = convolution.name.removesuffix(names.convolution)
    norm = prefix + names.norm
    activation = prefix + names.activation if names.activation else None
    if style.activation in _RELU_LIMITS:
        limit = _RELU_LIMITS[style.activation]
        return conv_norm_act(
            x, convolution, norm=norm, epsilon=EPSILON, activation=activation, relu_limit=limit
        )
    x = conv_norm_act(x, convolution, norm=norm, epsilon=EPSILON)
    return x if activation is None else layers.Activation(style.activation, name=activation)(x)


def squeeze_excite(x: KerasTensor, style: BlockStyle, *, prefix: str, squeezed: int) -> KerasTensor:
    """Weighs the channels by what their means say (Hu et al. 2018)."""
    reduce, expand = style.squeeze
    gates = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}squeeze")(x)
    for channels, activation, name in (
        (squeezed, style.squeeze_activation, reduce),
        (x.shape[-1], style.gate, expand),
    ):
        gates = layers.Conv2D(
            channels, 1, activation=activation, kernel_initializer=style.initializer, name=prefix + name
        )(gates)
    return layers.Multiply(name=f"{prefix}excite")([x, gates])


def add_shortcut(x: KerasTensor, inputs: KerasTensor, *, prefix: str, drop: float = 0.0) -> KerasTensor:
    """Adds the input of a block to its output if they have as many channels."""
    if inputs.shape[-1] != x.shape[-1]:
        return x
    x = stochastic_depth(x, drop, name=f"{prefix}drop")
    return layers.Add(name=f"{prefix}add")([inputs, x])


def round_width(wanted: float, *, least_share: float = 0.9) -> int:
    """Rounds channels to a multiple of 8, at least 8 and never below a share of what is wanted."""
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= least_share * wanted else rounded + 8

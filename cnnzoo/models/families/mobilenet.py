"""MobileNet (Howard et al. 2017), weight-compatible with `keras.applications.MobileNet`."""

import keras
from keras import KerasTensor, layers

from cnnzoo.models.blocks import Head, conv_norm_act, unit_range
from cnnzoo.models.checks import check_multiplier
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model

# Table 1 of the paper: channels and stride of each depthwise separable convolution.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


@register_model(
    image_size=224,
    year=2017,
    source="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision "
    "Applications, 2017",
    url="https://arxiv.org/abs/1704.04861",
)
def mobilenet(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    alpha: float = 1.0,
    dropout: float = 0.001,
    head: Head = "softmax",
) -> keras.Model:
    """Builds MobileNet, version 1; see `transfer_model`.

    Args:
        input_shape: (height, width, channels); the size is the resolution multiplier of the paper.
        num_classes: at least 2.
        alpha: width multiplier.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    return transfer_model(
        mobilenet_backbone(input_shape=input_shape, alpha=alpha),
        normalise=unit_range,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
    )


def mobilenet_backbone(*, input_shape: tuple[int, int, int], alpha: float = 1.0) -> keras.Model:
    """Builds MobileNet without pooling and head, for input in [-1, 1].

    Layers with weights have the names and the order that they have in keras.applications.

    Raises:
        InputError: `alpha` is not above 0.
    """
    check_multiplier("alpha", alpha)
    inputs = keras.Input(input_shape, name="features_in")
    stem = layers.Conv2D(_width(32, alpha), 3, strides=2, padding="same", use_bias=False, name="conv1")
    x = _norm_act(inputs, stem)
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        x = _separable(x, _width(channels, alpha), stride=stride, number=number)
    return keras.Model(inputs, x, name="mobilenet")


def _separable(x: KerasTensor, channels: int, *, stride: int, number: int) -> KerasTensor:
    """Filters each channel on its own, then mixes the channels (figure 3, right)."""
    if stride == 2:
        # Odd sizes too are padded at the end alone, which "same" would not do: the published weights
        # expect it.
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    depthwise = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"conv_dw_{number}",
    )
    x = _norm_act(x, depthwise)
    return _norm_act(x, layers.Conv2D(channels, 1, use_bias=False, name=f"conv_pw_{number}"))


def _norm_act(x: KerasTensor, convolution: layers.Layer) -> KerasTensor:
    name = convolution.name
    return conv_norm_act(
        x, convolution, norm=f"{name}_bn", epsilon=1e-3, activation=f"{name}_relu", relu_limit=6.0
    )


def _width(channels: int, alpha: float) -> int:
    """Rounds down, as the first MobileNet did; the later ones keep to multiples of 8."""
    return max(1, int(channels * alpha))

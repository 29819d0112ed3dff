"""DenseNet (Huang et al. 2016), weight-compatible with `keras.applications.DenseNet121`."""

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import Head, conv_norm_act, dropout_layer, imagenet_rgb, norm_act, residual_stem
from cnnzoo.models.checks import check_count, check_counts
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model

EPSILON = 1.001e-5
BOTTLENECK = 4  # times the growth rate: channels that the 1x1 convolution leaves to the 3x3 one


@register_model(
    image_size=224,
    year=2016,
    source="Huang et al., Densely Connected Convolutional Networks, CVPR 2017",
    url="https://arxiv.org/abs/1608.06993",
)
def densenet121(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    blocks: tuple[int, ...] = (6, 12, 24, 16),
    growth_rate: int = 32,
    reduction: float = 0.5,
    block_dropout: float = 0.0,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds DenseNet-121 (DenseNet-BC in the paper): each layer sees the outputs of all before it.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        blocks: layers of each dense block, at most four blocks.
        growth_rate: channels that each layer adds; the stem makes twice as many.
        reduction: share of the channels that the transition between two blocks keeps.
        block_dropout: share left out of what each layer adds (0.2 in the paper without augmentation).
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    backbone = densenet_backbone(
        "densenet121",
        input_shape=input_shape,
        blocks=blocks,
        growth_rate=growth_rate,
        reduction=reduction,
        block_dropout=block_dropout,
    )
    return transfer_model(
        backbone,
        normalise=imagenet_rgb,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
    )


def densenet_backbone(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    blocks: tuple[int, ...],
    growth_rate: int = 32,
    reduction: float = 0.5,
    block_dropout: float = 0.0,
) -> keras.Model:
    """Builds a DenseNet without pooling and head, for `imagenet_rgb`.

    Layers with weights have the names and the order that they have in keras.applications.

    Raises:
        InputError: an argument has no usable value.
    """
    check_counts("blocks", blocks, most=4)  # a fourth halving would have nothing left of 32 pixels
    check_count("growth_rate", growth_rate)
    if not 0 < reduction <= 1:
        raise InputError(f"reduction is {reduction}; it must be above 0 and at most 1")
    inputs = keras.Input(input_shape, name="features_in")
    x = residual_stem(inputs, channels=2 * growth_rate, use_bias=False, epsilon=EPSILON)
    for stage, count in enumerate(blocks, start=2):
        if stage > 2:
            x = _transition(x, reduction, name=f"pool{stage - 1}")
        for number in range(1, count + 1):
            x = _dense_layer(x, growth_rate, block_dropout, name=f"conv{stage}_block{number}")
    x = norm_act(x, norm="bn", epsilon=EPSILON, activation="relu")
    return keras.Model(inputs, x, name=name)


def _dense_layer(x: KerasTensor, growth_rate: int, dropout: float, *, name: str) -> KerasTensor:
    """Adds `growth_rate` channels to those that there are (section 3, bottleneck layers)."""
    y = norm_act(x, norm=f"{name}_0_bn", epsilon=EPSILON, activation=f"{name}_0_relu")
    narrow = layers.Conv2D(BOTTLENECK * growth_rate, 1, use_bias=False, name=f"{name}_1_conv")
    y = conv_norm_act(y, narrow, norm=f"{name}_1_bn", epsilon=EPSILON, activation=f"{name}_1_relu")
    y = layers.Conv2D(growth_rate, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
    if dropout:
        y = dropout_layer(dropout, name=f"{name}_dropout")(y)
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def _transition(x: KerasTensor, reduction: float, *, name: str) -> KerasTensor:
    """Drops channels and halves the size."""
    x = norm_act(x, norm=f"{name}_bn", epsilon=EPSILON, activation=f"{name}_relu")
    channels = max(1, int(x.shape[-1] * reduction))
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_conv")(x)
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)

"""ResNet version 2 (He et al. 2016), weight-compatible with `keras.applications.ResNet50V2`."""

import keras
from keras import KerasTensor, layers

from cnnzoo.models.blocks import Head, conv_norm_act, norm_act, residual_stem, unit_range
from cnnzoo.models.checks import check_count, check_counts
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import transfer_model

EPSILON = 1.001e-5


@register_model(
    image_size=224,
    year=2016,
    source="He et al., Identity Mappings in Deep Residual Networks, ECCV 2016",
    url="https://arxiv.org/abs/1603.05027",
)
def resnet50_v2(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    blocks: tuple[int, ...] = (3, 4, 6, 3),
    width: int = 64,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds ResNet-50 with batch norm and ReLU before the convolutions: nothing follows the addition.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        blocks: residual blocks of each stage; each stage before the last halves the size at its end.
        width: channels of the first stage; each further stage has twice as many.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    return transfer_model(
        resnet_v2_backbone("resnet50_v2", input_shape=input_shape, blocks=blocks, width=width),
        normalise=unit_range,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
    )


def resnet_v2_backbone(
    name: str, *, input_shape: tuple[int, int, int], blocks: tuple[int, ...], width: int = 64
) -> keras.Model:
    """Builds a ResNet of version 2 without pooling and head, for input in [-1, 1].

    Layers with weights have the names and the order that they have in keras.applications.

    Raises:
        InputError: an argument has no usable value.
    """
    check_counts("blocks", blocks)
    check_count("width", width)
    inputs = keras.Input(input_shape, name="features_in")
    x = residual_stem(inputs, channels=width, use_bias=True)
    for stage, count in enumerate(blocks):
        for number in range(1, count + 1):
            x = _bottleneck(
                x,
                width << stage,
                # Unlike the paper's, these halve the size in the last block of a stage.
                stride=2 if number == count and stage + 1 < len(blocks) else 1,
                project=number == 1,
                name=f"conv{stage + 2}_block{number}",
            )
    x = norm_act(x, norm="post_bn", epsilon=EPSILON, activation="post_relu")
    return keras.Model(inputs, x, name=name)


def _bottleneck(x: KerasTensor, channels: int, *, stride: int, project: bool, name: str) -> KerasTensor:
    """Normalises, then narrows, filters, widens, and adds the input (figure 1b)."""
    active = norm_act(x, norm=f"{name}_preact_bn", epsilon=EPSILON, activation=f"{name}_preact_relu")
    if project:
        shortcut = layers.Conv2D(4 * channels, 1, strides=stride, name=f"{name}_0_conv")(active)
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    else:
        shortcut = x
    narrow = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_1_conv")
    x = conv_norm_act(active, narrow, norm=f"{name}_1_bn", epsilon=EPSILON, activation=f"{name}_1_relu")
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    spatial = layers.Conv2D(channels, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")
    x = conv_norm_act(x, spatial, norm=f"{name}_2_bn", epsilon=EPSILON, activation=f"{name}_2_relu")
    x = layers.Conv2D(4 * channels, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])

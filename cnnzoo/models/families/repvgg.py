"""RepVGG (Ding et al. 2021): trained with parallel branches, used as plain 3x3 convolutions."""

import keras
import numpy as np
from keras import KerasTensor, layers

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import Head, conv_norm_act, imagenet_rgb, norm_act
from cnnzoo.models.checks import check_counts
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import backbone_of, transfer_model

WIDTHS = (64, 128, 256, 512)  # table 2, before the multipliers

EPSILON = 1e-5


@register_model(
    image_size=224,
    year=2021,
    source="Ding et al., RepVGG: Making VGG-style ConvNets Great Again, CVPR 2021",
    url="https://arxiv.org/abs/2101.03697",
)
def repvgg_a0(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    blocks: tuple[int, int, int, int] = (2, 4, 14, 1),
    width: float = 0.75,
    last_width: float = 2.5,
    dropout: float = 0.0,
    head: Head = "softmax",
) -> keras.Model:
    """Builds RepVGG-A0 as it is trained; `reparameterised` turns it into what is deployed.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        blocks: of each stage; the first of them halves the size.
        width: multiplier of the channels of the first three stages (a in the paper).
        last_width: multiplier of the channels of the last stage (b).
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    check_counts("blocks", blocks, least=4, most=4)
    for name, multiplier in (("width", width), ("last_width", last_width)):
        if not int(WIDTHS[0] * multiplier) > 0:
            raise InputError(f"{name} is {multiplier}; the width multiplier leaves no channel")
    channels = [int(count * width) for count in WIDTHS[:3]] + [int(WIDTHS[3] * last_width)]
    inputs = keras.Input(input_shape, name="features_in")
    x = _block(inputs, min(64, channels[0]), stride=2, name="stage0_block1")
    for stage, (count, width_of_stage) in enumerate(zip(blocks, channels, strict=True), start=1):
        for number in range(1, count + 1):
            x = _block(x, width_of_stage, stride=2 if number == 1 else 1, name=f"stage{stage}_block{number}")
    return transfer_model(
        keras.Model(inputs, x, name="repvgg_a0"),
        normalise=imagenet_rgb,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=False,
    )


def reparameterised(model: keras.Model) -> keras.Model:
    """Returns a plain network that computes what a RepVGG computes at inference.

    Batch norm is a scale and a shift then, a 1x1 kernel a 3x3 one with zeros around it, and the identity
    a 1x1 kernel: the branches of a block add up to one 3x3 convolution (section 3.3).

    Args:
        model: from `repvgg_a0`; it stays as it is.

    Returns:
        An uncompiled copy with fewer weights; float rounding apart, its outputs are equal.

    Raises:
        InputError: the model is no RepVGG, or is plain already.
    """
    backbone = backbone_of(model)
    norms = [layer.name for layer in backbone.layers] if backbone else []
    names = [name.removesuffix("_1x1_bn") for name in norms if name.endswith("_1x1_bn")]
    if backbone is None or not names:
        raise InputError(f"{model.name} has no branches to merge; give a model made by repvgg_a0")
    x = inputs = keras.Input(backbone.input_shape[1:], name="features_in")
    for name in names:
        x = _plain(x, backbone, name)
    plain = keras.Model(inputs, x, name=f"{backbone.name}_plain")

    images = x = keras.Input(model.input_shape[1:], name="image")
    for layer in model.layers[1:]:
        copy = plain if layer is backbone else type(layer).from_config(layer.get_config())
        x = copy(x)
        if layer is not backbone:
            copy.set_weights(layer.get_weights())
    return keras.Model(images, x, name=f"{model.name}_plain")


def _block(x: KerasTensor, channels: int, *, stride: int, name: str) -> KerasTensor:
    """Adds a 3x3, a 1x1 and, where the shape stays, an identity branch, each normalised (figure 2)."""
    branches = []
    if stride == 1 and x.shape[-1] == channels:
        branches.append(norm_act(x, norm=f"{name}_identity_bn", epsilon=EPSILON))
    small = layers.Conv2D(channels, 1, strides=stride, use_bias=False, name=f"{name}_1x1_conv")
    branches.append(conv_norm_act(x, small, norm=f"{name}_1x1_bn", epsilon=EPSILON))
    # Padded evenly, so that with a stride its middle lies where the 1x1 kernel does.
    padded = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    large = layers.Conv2D(channels, 3, strides=stride, use_bias=False, name=f"{name}_3x3_conv")
    branches.append(conv_norm_act(padded, large, norm=f"{name}_3x3_bn", epsilon=EPSILON))
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")(branches))


def _plain(x: KerasTensor, backbone: keras.Model, name: str) -> KerasTensor:
    """Applies a block as one convolution, with the weights of its branches."""
    kernel, bias = _normalised(backbone, name, "3x3", _values(backbone, f"{name}_3x3_conv")[0])
    centre, shift = _normalised(backbone, name, "1x1", _values(backbone, f"{name}_1x1_conv")[0][0, 0])
    kernel[1, 1] += centre
    bias += shift
    if f"{name}_identity_bn" in {layer.name for layer in backbone.layers}:
        centre, shift = _normalised(backbone, name, "identity", np.eye(len(bias)))
        kernel[1, 1] += centre
        bias += shift
    like = backbone.get_layer(f"{name}_3x3_conv")
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    convolution = layers.Conv2D(
        len(bias), 3, strides=like.strides, dtype=like.dtype_policy, name=f"{name}_conv"
    )
    x = convolution(x)
    convolution.set_weights([kernel, bias])
    return layers.ReLU(name=f"{name}_relu")(x)


def _normalised(
    backbone: keras.Model, name: str, branch: str, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Multiplies a branch's batch norm into its kernel; what it adds becomes the bias."""
    gamma, beta, mean, variance = _values(backbone, f"{name}_{branch}_bn")
    scale = gamma / np.sqrt(variance + backbone.get_layer(f"{name}_{branch}_bn").epsilon)
    return kernel * scale, beta - mean * scale


def _values(backbone: keras.Model, name: str) -> list[np.ndarray]:
    return [np.asarray(value, np.float64) for value in backbone.get_layer(name).get_weights()]

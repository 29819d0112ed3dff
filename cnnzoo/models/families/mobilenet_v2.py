"""MobileNetV2 (Sandler et al. 2018), weight-compatible with `keras.applications.MobileNetV2`."""

from functools import partial
from pathlib import Path

import keras
from keras import layers

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import Head, unit_range
from cnnzoo.models.checks import check_multiplier
from cnnzoo.models.inverted_residual import BlockStyle, UnitNames, inverted_residual, round_width, unit
from cnnzoo.models.registry import register_model
from cnnzoo.models.transfer import load_pretrained, transfer_model
from cnnzoo.models.weights import PublishedFile

# Table 2 of the paper: expansion, channels, blocks, stride of the first of them.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

STYLE = BlockStyle(
    expand=UnitNames("expand", "expand_BN", "expand_relu"),
    depthwise=UnitNames("depthwise", "depthwise_BN", "depthwise_relu"),
    project=UnitNames("project", "project_BN"),
)

PUBLISHED_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)

PUBLISHED_SIZES = (96, 128, 160, 192, 224)

_WEIGHTS = (
    "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{size}_no_top.h5"
)


def imagenet_file(*, input_shape: tuple[int, int, int], alpha: float = 1.0) -> PublishedFile:
    """Picks the file as Keras does: by width and image size, 224 where there is none for the size.

    Its makers publish no hash, so a download is checked by its layout alone.

    Raises:
        InputError: nothing is published for this width.
    """
    if alpha not in PUBLISHED_ALPHAS:
        known = ", ".join(map(str, PUBLISHED_ALPHAS))
        raise InputError(f"no ImageNet weights for mobilenet_v2 with alpha={alpha}; there are for {known}")
    height, width, _ = input_shape
    size = height if height == width and height in PUBLISHED_SIZES else 224
    return PublishedFile(_WEIGHTS.format(alpha=float(alpha), size=size))


@register_model(
    image_size=160,
    year=2018,
    source="Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018",
    url="https://arxiv.org/abs/1801.04381",
    weights_file=imagenet_file,
    weights_licence="Apache-2.0",
)
def mobilenet_v2(
    *,
    input_shape: tuple[int, int, int] = (160, 160, 3),
    num_classes: int = 2,
    weights: str | Path | None = None,
    alpha: float = 1.0,
    dropout: float = 0.3,
    head: Head = "softmax",
) -> keras.Model:
    """Builds MobileNetV2 with a new head; see `transfer_model`.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        weights: None, "imagenet" or a file.
        alpha: width multiplier.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value, or the weights can't be had or don't fit.
    """
    backbone = mobilenet_v2_backbone(input_shape=input_shape, alpha=alpha)
    published = partial(imagenet_file, input_shape=input_shape, alpha=alpha)
    load_pretrained(backbone, weights, published=published)
    return transfer_model(
        backbone,
        normalise=unit_range,
        num_classes=num_classes,
        dropout=dropout,
        head=head,
        pretrained=weights is not None,
    )


def mobilenet_v2_backbone(*, input_shape: tuple[int, int, int], alpha: float = 1.0) -> keras.Model:
    """Builds MobileNetV2 without pooling and head, for input in [-1, 1].

    Layers with weights have the names and the order that they have in keras.applications.

    Raises:
        InputError: `alpha` is not above 0.
    """
    check_multiplier("alpha", alpha)
    inputs = keras.Input(input_shape, name="features_in")
    stem = layers.Conv2D(round_width(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="Conv1")
    x = unit(inputs, stem, STYLE, UnitNames("Conv1", "bn_Conv1", "Conv1_relu"))
    number = 0
    for expansion, channels, blocks, stride in STAGES:
        for block in range(blocks):
            prefix = f"block_{number}_" if number else "expanded_conv_"
            x = inverted_residual(
                x,
                STYLE,
                prefix=prefix,
                expanded=expansion * x.shape[-1] if expansion > 1 else None,
                channels=round_width(int(channels * alpha)),
                stride=stride if block == 0 else 1,
            )
            number += 1
    # Section 3.4: a narrow network keeps the full width of its last layer.
    last = layers.Conv2D(round_width(1280 * max(alpha, 1.0)), 1, use_bias=False, name="Conv_1")
    x = unit(x, last, STYLE, UnitNames("Conv_1", "Conv_1_bn", "out_relu"))
    return keras.Model(inputs, x, name="mobilenet_v2")

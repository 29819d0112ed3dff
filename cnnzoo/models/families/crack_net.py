"""CrackNet: a small network of plain 3x3 convolutions for cracks, searched for in this project."""

import keras
from keras import KerasTensor, layers

from cnnzoo.models.blocks import Head, classification_head, dropout_layer, norm_act, unit_range
from cnnzoo.models.checks import check_counts
from cnnzoo.models.registry import register_model

LUMA = (0.299, 0.587, 0.114)  # Rec. 601, how bright an RGB colour looks


@register_model(
    image_size=160,
    year=2026,
    source="this project, by experiments.tune on METU's images",
    url="https://doi.org/10.17632/5y9wdsg2zt.2",
)
def crack_net(
    *,
    input_shape: tuple[int, int, int] = (160, 160, 3),
    num_classes: int = 2,
    widths: tuple[int, ...] = (16, 24, 44, 80),
    depths: tuple[int, ...] = (1, 2, 2, 2),
    stem_kernel: int = 7,
    stem_stride: int = 4,
    gray: bool = False,
    standardise: bool = False,
    max_pooling: bool = False,
    dropout: float = 0.4,
    head: Head = "softmax",
) -> keras.Model:
    """Builds stages of 3x3 convolutions with batch norm and ReLU, max pooling between them.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        widths: channels of each stage.
        depths: convolutions of each stage, the stem counting as the first of the first stage.
        stem_kernel: side of the first convolution, pixels.
        stem_stride: of the first convolution.
        gray: look at luma alone.
        standardise: bring each image to mean 0 and standard deviation 1; else [0, 255] becomes [-1, 1].
        max_pooling: end with the average and the maximum over all places side by side, not the average alone.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    check_counts("widths", widths)
    check_counts("depths", depths, least=len(widths), most=len(widths))
    inputs = keras.Input(input_shape, name="image")
    x = _luma(inputs) if gray else inputs
    x = _standardise(x) if standardise else unit_range(x)
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for block in range(1, depth + 1):
            stem = stage == block == 1
            convolution = layers.Conv2D(
                width,
                stem_kernel if stem else 3,
                strides=stem_stride if stem else 1,
                padding="same",
                use_bias=False,
                name=f"stage{stage}_{block}_conv",
            )
            x = _block(x, convolution, pool=block == depth and stage < len(widths))
    pooled = [layers.GlobalAveragePooling2D(name="average")(x)]
    if max_pooling:
        pooled.append(layers.GlobalMaxPooling2D(name="maximum")(x))
    x = layers.Concatenate(name="pooled")(pooled) if max_pooling else pooled[0]
    x = dropout_layer(dropout, name="dropout")(x)
    outputs = classification_head(x, num_classes=num_classes, head=head)
    return keras.Model(inputs, outputs, name="crack_net")


def _luma(images: KerasTensor) -> KerasTensor:
    """RGB to one channel, its luma; the mean of other numbers of channels."""
    channels = images.shape[-1]
    shares = LUMA if channels == 3 else (1 / channels,) * channels
    weighted = layers.Rescaling(list(shares), dtype="float32", name="luma")(images)
    return keras.ops.sum(weighted, axis=-1, keepdims=True)


def _standardise(x: KerasTensor) -> KerasTensor:
    # One level of 255 in place of the contrast that a tile of one colour has not.
    norm = layers.LayerNormalization(
        axis=(1, 2, 3), epsilon=1.0, center=False, scale=False, dtype="float32", name="standardise"
    )
    return norm(x)


def _block(x: KerasTensor, convolution: layers.Layer, *, pool: bool) -> KerasTensor:
    """Convolves, halves the sides by their maximum if asked to, then normalises and cuts off below 0.

    Pooling before the norm leaves it a quarter of the work.
    """
    name = convolution.name.removesuffix("_conv")
    x = convolution(x)
    if pool:
        x = layers.MaxPooling2D(padding="same", name=f"{name}_pool")(x)
    return norm_act(x, norm=f"{name}_bn", epsilon=1e-3, activation=f"{name}_relu")

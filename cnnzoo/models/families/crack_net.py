"""CrackNet: a small network of plain 3x3 convolutions for cracks, searched for in this project."""

from pathlib import Path

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError
from cnnzoo.files import sha256_of
from cnnzoo.models.blocks import Head, classification_head, dropout_layer, norm_act, unit_range
from cnnzoo.models.checks import check_counts
from cnnzoo.models.folding import models_within
from cnnzoo.models.registry import register_model
from cnnzoo.models.shipped import WEIGHTS as SHIPPED
from cnnzoo.models.shipped import shipped_file

# The arguments of the network that comes with cnnzoo, from `widths` to `max_pooling`.
_TRAINED_AS = ((16, 24, 44, 80), (1, 2, 2, 2), 7, 3, False, False, True)

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
    stem_stride: int | None = None,
    gray: bool = False,
    standardise: bool = False,
    max_pooling: bool | None = None,
    dropout: float = 0.4,
    head: Head = "softmax",
    weights: str | Path | None = None,
    cracked: int | None = 1,
) -> keras.Model:
    """Builds stages of 3x3 convolutions with batch norm and ReLU, max pooling between them.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        widths: channels of each stage.
        depths: convolutions of each stage, the stem counting as the first of the first stage.
        stem_kernel: side of the first convolution, pixels.
        stem_stride: of the first convolution; None is 4, and with weights that of the trained network.
        gray: look at luma alone.
        standardise: bring each image to mean 0 and standard deviation 1; else [0, 255] becomes [-1, 1].
        max_pooling: end with the average and the maximum over all places side by side, not the average alone;
            None does with weights, and does not without.
        dropout: share of the pooled features left out.
        head: "softmax" over the classes, or one "sigmoid" unit.
        weights: None for random ones, "cracks" for those that come with cnnzoo, or a copy of their file,
            with the last layer where it is a softmax over two classes; else it stays random.
            `cnnzoo.load_model("crack_net")` answers by the mean of what it says of nine views.
        cracked: with weights, which of two classes shows cracks; None leaves the last layer random.

    Raises:
        InputError: an argument has no usable value, or the weights are of another network.
    """
    check_counts("widths", widths)
    check_counts("depths", depths, least=len(widths), most=len(widths))
    stem_stride = (4 if weights is None else _TRAINED_AS[3]) if stem_stride is None else stem_stride
    max_pooling = (weights is not None) if max_pooling is None else max_pooling
    if weights is not None:
        given = (tuple(widths), tuple(depths), stem_kernel, stem_stride, gray, standardise, max_pooling)
        _check_fit(given, input_shape[2], cracked)
    inputs = keras.Input(input_shape, name="image")
    x = _luma(inputs) if gray else inputs
    x = _standardise(x) if standardise else unit_range(x)
    x = _stages(x, widths, depths, stem_kernel, stem_stride)
    pooled = [layers.GlobalAveragePooling2D(name="average")(x)]
    if max_pooling:
        pooled.append(layers.GlobalMaxPooling2D(name="maximum")(x))
    x = layers.Concatenate(name="pooled")(pooled) if max_pooling else pooled[0]
    x = dropout_layer(dropout, name="dropout")(x)
    outputs = classification_head(x, num_classes=num_classes, head=head)
    model = keras.Model(inputs, outputs, name="crack_net")
    if weights is not None:
        _take_weights(model, weights, cracked)
    return model


def _stages(
    x: KerasTensor, widths: tuple[int, ...], depths: tuple[int, ...], stem_kernel: int, stem_stride: int
) -> KerasTensor:
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
    return x


def _check_fit(given: tuple[object, ...], channels: int, cracked: object) -> None:
    if given != _TRAINED_AS or channels != 3:
        raise InputError(
            f"the weights {SHIPPED!r} are those of one crack_net, on RGB images; with them it takes no other "
            "arguments than dropout, head and cracked"
        )
    if cracked not in (None, 0, 1) or isinstance(cracked, bool):
        raise InputError(f"cracked is {cracked!r}; it must be 0 or 1, the class that shows cracks, or None")


def _take_weights(model: keras.Model, weights: str | Path, cracked: int | None) -> None:
    """Copies the weights that come with cnnzoo, those of the last layer where it has as many outputs."""
    path = shipped_file("crack_net")
    if str(weights) != SHIPPED and not (Path(weights).is_file() and sha256_of(weights) == sha256_of(path)):
        raise InputError(f"crack_net takes the weights {SHIPPED!r} or none, not {str(weights)!r}")
    trained = keras.saving.load_model(path, compile=False, safe_mode=True)
    trained = models_within(trained)[-1]  # one view, where it answers by several
    for mine, its in zip(model.layers[:-1], trained.layers[:-1], strict=True):
        mine.set_weights(its.get_weights())
    kernel, bias = trained.layers[-1].get_weights()
    last = model.layers[-1]
    if cracked is not None and [weight.shape for weight in last.get_weights()] == [kernel.shape, bias.shape]:
        order = [1, 0] if cracked == 0 else [0, 1]  # it was trained with the cracked class as the second
        last.set_weights([kernel[:, order], bias[order]])


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

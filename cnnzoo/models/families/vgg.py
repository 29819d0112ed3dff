"""VGG (Simonyan & Zisserman 2014), weight-compatible with `keras.applications.VGG16`."""

from functools import partial

import keras
from keras import KerasTensor, layers

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import Head, classification_head, conv_norm_act, dropout_layer, imagenet_bgr
from cnnzoo.models.checks import check_counts
from cnnzoo.models.registry import register_model

FILTERS = (64, 128, 256, 512, 512)

# Table 1 of the paper, configurations A, B and D: convolutions of each stage.
VARIANTS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}


def vgg(
    name: str,
    /,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    blocks: tuple[int, ...],
    filters: tuple[int, ...] = FILTERS,
    dense_units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    batch_norm: bool = False,
    head: Head = "softmax",
) -> keras.Model:
    """Builds 3x3 convolutions, five max poolings, and dense layers on the flattened features.

    Args:
        name: of the variant.
        input_shape: (height, width, channels); the size sets how many weights the first dense layer has.
        num_classes: at least 2.
        blocks: convolutions of each stage, at most five stages.
        filters: of each stage.
        dense_units: of the layers between the flattened features and the head.
        dropout: share of the features left out after each of these layers.
        batch_norm: whether batch normalisation follows each convolution (Ioffe & Szegedy 2015), which this
            depth needs to learn from random weights in good time.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    check_counts("dense_units", dense_units, least=0)
    images = keras.Input(input_shape, name="image")
    x = _features(images, blocks=blocks, filters=filters, batch_norm=batch_norm)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense_units, start=1):
        x = layers.Dense(units, activation="relu", name=f"fc{number}")(x)
        x = dropout_layer(dropout, name=f"dropout_{number}")(x)
    outputs = classification_head(x, num_classes=num_classes, head=head)
    return keras.Model(images, outputs, name=name)


for _name, _blocks in VARIANTS.items():
    register_model(
        name=_name,
        image_size=224,
        year=2014,
        source="Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition",
        url="https://arxiv.org/abs/1409.1556",
    )(partial(vgg, _name, blocks=_blocks))


def _features(
    images: KerasTensor, *, blocks: tuple[int, ...], filters: tuple[int, ...], batch_norm: bool
) -> KerasTensor:
    check_counts("blocks", blocks, most=5)  # a sixth pooling would have nothing left of 32 pixels
    check_counts("filters", filters, most=5)
    if len(blocks) != len(filters):
        raise InputError(f"blocks has {len(blocks)} stages and filters {len(filters)}; give one each")
    x = imagenet_bgr(images)
    for stage, (count, channels) in enumerate(zip(blocks, filters, strict=True), start=1):
        for number in range(1, count + 1):
            x = _conv(x, channels, number, stage=f"block{stage}", batch_norm=batch_norm)
        x = layers.MaxPooling2D(name=f"block{stage}_pool")(x)
    return x


def _conv(x: KerasTensor, channels: int, number: int, *, stage: str, batch_norm: bool) -> KerasTensor:
    name = f"{stage}_conv{number}"
    if not batch_norm:
        return layers.Conv2D(channels, 3, padding="same", activation="relu", name=name)(x)
    return conv_norm_act(
        x,
        layers.Conv2D(channels, 3, padding="same", name=name),
        norm=f"{stage}_bn{number}",
        epsilon=1e-5,
        activation=f"{stage}_relu{number}",
    )

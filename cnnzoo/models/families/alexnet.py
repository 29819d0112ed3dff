"""AlexNet (Krizhevsky 2014), the one-column form that torchvision has."""

import keras
from keras import KerasTensor, layers

from cnnzoo.models.blocks import Head, classification_head, dropout_layer, imagenet_rgb
from cnnzoo.models.checks import check_counts
from cnnzoo.models.registry import register_model

# Kernel and stride of each convolution, and whether max pooling follows.
CONVOLUTIONS = ((11, 4, True), (5, 1, True), (3, 1, False), (3, 1, False), (3, 1, True))


@register_model(
    image_size=224,
    year=2014,
    source="Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014",
    url="https://arxiv.org/abs/1404.5997",
)
def alexnet(
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 2,
    filters: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256),
    dense_units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    head: Head = "softmax",
) -> keras.Model:
    """Builds AlexNet; features of any size are pooled to 6x6 before the dense layers.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        filters: of each of the five convolutions.
        dense_units: of the layers between the pooled features and the head.
        dropout: share of the features left out before each of these layers.
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    check_counts("filters", filters, least=5, most=5)
    check_counts("dense_units", dense_units, least=0)
    inputs = keras.Input(input_shape, name="image")
    x = imagenet_rgb(inputs)
    for number, (count, (kernel, stride, pooled)) in enumerate(
        zip(filters, CONVOLUTIONS, strict=True), start=1
    ):
        if number == 1:
            # 2 on each side as published: neither "same" nor "valid".
            x = layers.ZeroPadding2D(2, name="pad_1")(x)
        padding = "valid" if number == 1 else "same"
        x = layers.Conv2D(
            count, kernel, strides=stride, padding=padding, activation="relu", name=f"conv_{number}"
        )(x)
        if pooled:
            x = _pool(x, name=f"pool_{number}")
    x = layers.AdaptiveAveragePooling2D((6, 6), name="pooling")(_at_least_two_places(x))
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense_units, start=1):
        x = dropout_layer(dropout, name=f"dropout_{number}")(x)
        x = layers.Dense(units, activation="relu", name=f"dense_{number}")(x)
    outputs = classification_head(x, num_classes=num_classes, head=head)
    return keras.Model(inputs, outputs, name="alexnet")


def _pool(x: KerasTensor, *, name: str) -> KerasTensor:
    # Small images leave fewer than the three places that a window takes.
    padding = "same" if min(x.shape[1:3]) < 3 else "valid"
    return layers.MaxPooling2D(3, strides=2, padding=padding, name=name)(x)


def _at_least_two_places(x: KerasTensor) -> KerasTensor:
    # Of one place along a side Keras 3.15 makes six alike on TensorFlow; in a graph, as in `fit`, it fails.
    repeats = tuple(2 if side == 1 else 1 for side in x.shape[1:3])
    return x if repeats == (1, 1) else layers.UpSampling2D(repeats, name="repeated")(x)

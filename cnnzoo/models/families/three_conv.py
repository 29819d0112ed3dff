"""Three convolutions and a dense layer: the small network that beginners' crack classifiers use."""

import keras
from keras import layers

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import Head, classification_head, dropout_layer
from cnnzoo.models.registry import register_model


@register_model(
    image_size=128,
    year=2019,
    source="the small network of public crack-classification projects on the METU images (Özgenel 2019)",
    url="https://doi.org/10.17632/5y9wdsg2zt.2",
)
def three_conv(
    *,
    input_shape: tuple[int, int, int] = (128, 128, 3),
    num_classes: int = 2,
    filters: tuple[int, ...] = (16, 32, 32),
    dense_units: int = 64,
    dropout: float = 0.2,
    brightness: float = 0.1,
) -> keras.Model:
    """Builds 3x3 convolutions with ReLU, each with max pooling and dropout, then a dense layer and the head.

    Unlike the public projects' network it takes most of each image's mean brightness out first.

    Args:
        input_shape: (height, width, channels).
        num_classes: one sigmoid unit for two classes, a softmax for more.
        filters: of each convolution.
        dense_units: of the layer between the flattened features and the head.
        dropout: share of the features left out after each pooling.
        brightness: share of each image's mean that is kept, 1 as in the public projects. The mean is several
            times as large as what a crack changes: every feature carries it, and training sits at chance for
            hundreds of steps until it has learnt to disregard it. A tenth still tells bright from dark.

    Raises:
        InputError: dropout is not in [0, 1), or brightness not in [0, 1].
    """
    if not 0 <= brightness <= 1:
        raise InputError(f"brightness is {brightness}; it must be from 0 to 1")
    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(inputs)
    x = x - (1 - brightness) * keras.ops.mean(x, axis=(1, 2, 3), keepdims=True)
    for number, count in enumerate(filters, start=1):
        x = layers.Conv2D(count, 3, padding="same", activation="relu", name=f"conv_{number}")(x)
        x = layers.MaxPooling2D(name=f"pool_{number}")(x)
        x = dropout_layer(dropout, name=f"dropout_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(dense_units, activation="relu", name="dense")(x)
    head: Head = "sigmoid" if num_classes == 2 else "softmax"
    outputs = classification_head(x, num_classes=num_classes, head=head)
    return keras.Model(inputs, outputs, name="three_conv")

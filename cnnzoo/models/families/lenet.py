"""LeNet-5 (LeCun et al. 1998) in the form that is used today."""

import keras
from keras import layers

from cnnzoo.models.blocks import Head, classification_head, unit_range
from cnnzoo.models.checks import check_choice, check_counts
from cnnzoo.models.registry import register_model

POOLINGS = {"average": layers.AveragePooling2D, "max": layers.MaxPooling2D}

ACTIVATIONS = ("tanh", "relu", "sigmoid")


@register_model(
    image_size=32,
    year=1998,
    source="LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11), 1998",
    url="https://doi.org/10.1109/5.726791",
)
def lenet5(
    *,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 2,
    filters: tuple[int, int] = (6, 16),
    dense_units: tuple[int, ...] = (120, 84),
    activation: str = "tanh",
    pooling: str = "average",
    head: Head = "softmax",
) -> keras.Model:
    """Builds LeNet-5: two 5x5 convolutions, each with pooling, then dense layers.

    As everybody builds it since, every map of the second convolution sees all of the first (table I of the
    paper connects some), pooling has no weights, and the radial basis functions at the end are a softmax.

    Args:
        input_shape: (height, width, channels).
        num_classes: at least 2.
        filters: of the two convolutions.
        dense_units: of the layers between the flattened features and the head.
        activation: "tanh", "relu" or "sigmoid".
        pooling: "average" or "max".
        head: "softmax" over the classes, or one "sigmoid" unit.

    Raises:
        InputError: an argument has no usable value.
    """
    check_counts("filters", filters, least=2, most=2)
    check_counts("dense_units", dense_units, least=0)
    check_choice("activation", activation, ACTIVATIONS)
    check_choice("pooling", pooling, tuple(POOLINGS))
    inputs = keras.Input(input_shape, name="image")
    x = unit_range(inputs)
    for number, count in enumerate(filters, start=1):
        x = layers.Conv2D(count, 5, activation=activation, name=f"conv_{number}")(x)
        x = POOLINGS[pooling](2, name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense_units, start=1):
        x = layers.Dense(units, activation=activation, name=f"dense_{number}")(x)
    outputs = classification_head(x, num_classes=num_classes, head=head)
    return keras.Model(inputs, outputs, name="lenet5")

"""Multiply-adds by hand, by the papers, and without the accelerator."""

import contextlib

import keras
import pytest

from cnnzoo.models import registry
from cnnzoo.models.catalogue import create_model, model_info
from cnnzoo.models.flops import count_flops
from cnnzoo.models.registry import register_model


def test_a_small_model_by_hand():
    inner = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.SeparableConv2D(6, 3, padding="same")])
    x = images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    x = inner(x)
    x = keras.layers.DepthwiseConv2D(5, padding="valid")(x)
    x = keras.layers.Conv2D(8, 1, groups=2)(x)
    x = keras.layers.Conv2DTranspose(2, 2, strides=2)(x)
    x = keras.layers.Dense(5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(10)(x))
    assert count_flops(model) == sum(
        [
            8 * 8 * 3 * 3 * 3 * 4,
            8 * 8 * (3 * 3 * 4 + 4 * 6),
            4 * 4 * 5 * 5 * 6,
            4 * 4 * 3 * 8,
            4 * 4 * 2 * 2 * 8 * 2,
            8 * 8 * 2 * 5,
            5 * 10,
        ]
    )


def test_a_layer_that_is_called_twice_counts_twice():
    images = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(3, 1)
    assert count_flops(keras.Model(images, layer(layer(images)))) == 2 * 64 * 9


def test_layers_that_do_not_train_can_be_left_out():
    images = keras.Input((8, 8, 3))
    frozen, trained = keras.layers.Conv2D(4, 1), keras.layers.Conv2D(5, 1)
    frozen.trainable = False
    model = keras.Model(images, trained(frozen(images)))
    assert count_flops(model, trainable_only=True) == 64 * 4 * 5
    assert count_flops(model) == 64 * (3 * 4 + 4 * 5)


# MobileNetV2: table 4 of the paper; VGG16, EfficientNet-B0, ResNet-50 with its stride in the first 1x1, and
# MobileNetV3 small: as their papers or timm's tables have them.
@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [
        ("MobileNetV2", 300e6, 0.02),
        ("EfficientNetB0", 0.39e9, 0.03),
        ("ResNet50", 3.86e9, 0.01),
        ("VGG16", 15.5e9, 0.01),
        ("ConvNeXtTiny", 4.5e9, 0.02),
        ("Xception", 8.4e9, 0.01),
        ("MobileNetV3Small", 56e6, 0.02),
    ],
)
def test_published_counts(name, published, tolerance):
    size = model_info(f"keras/{name}").image_size
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    assert count_flops(model) == pytest.approx(published, rel=tolerance)


def test_ours_count_like_those_of_keras():
    assert count_flops(
        create_model("mobilenet_v2", input_shape=(224, 224, 3), num_classes=1000)
    ) == pytest.approx(300e6, rel=0.02)
    assert count_flops(create_model("resnet50", num_classes=1000)) == pytest.approx(3.86e9, rel=0.01)


def test_shapes_that_are_not_known_are_no_zero():
    class Composite(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(3)

        def call(self, x):
            return self.inner(x)

    images = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="the layers in Composite are not known"):
        count_flops(keras.Model(images, Composite()(images)))
    images = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="build the model for one size"):
        count_flops(keras.Model(images, keras.layers.Conv2D(3, 1)(images)))


def test_model_info_builds_once_and_on_the_cpu(monkeypatch):
    monkeypatch.setattr(registry, "MODELS", dict(registry.MODELS))
    built, devices = [], []

    @contextlib.contextmanager
    def device(name):
        devices.append(name)
        yield
        devices.pop()

    monkeypatch.setattr(keras, "device", device)

    @register_model(image_size=8, year=2024, source="this test")
    def tiny(*, input_shape=(8, 8, 3), num_classes=2):
        built.append(list(devices))
        images = keras.Input(input_shape)
        return keras.Model(images, keras.layers.Conv2D(num_classes, 1, use_bias=False)(images))

    info = model_info("tiny")
    assert (info.parameters, info.flops, info.parameters) == (6, 64 * 6, 6)
    assert built == [["cpu"]]

"""Every registered model, and the weight-compatible ones beside keras.applications."""

from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
import pytest
from parity import difference, images, models, predict, settle, weighted

from cnnzoo.models.catalogue import create_model, model_info
from cnnzoo.models.families.mobilenet_v2 import mobilenet_v2_backbone
from cnnzoo.models.transfer import backbone_of
from cnnzoo.models.weights import load_weights

SHARED = Path(__file__).parents[3] / "shared" / "weights"
SHAPE = (64, 64, 3)


@pytest.fixture(scope="module", params=models())
def model(request):
    keras.utils.set_random_seed(0)
    return create_model(request.param, input_shape=SHAPE)


def test_output_is_finite_float32_and_the_same_for_uint8_and_float32(model):
    x = images(3)
    output = predict(model, x)
    assert output.shape == (3, model.output_shape[-1])
    assert output.dtype == np.float32
    assert np.isfinite(output).all()
    np.testing.assert_array_equal(output, predict(model, x.astype(np.float32)))
    assert model.layers[-1].name == "predictions"


def test_every_trainable_weight_gets_a_gradient(model):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(images(8), training=True)
        loss = -tf.reduce_mean(tf.math.log(outputs[:, 0] + 1e-6))
    weights = model.trainable_weights
    for weight, gradient in zip(
        weights, tape.gradient(loss, [weight.value for weight in weights]), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        # Batch norm subtracts what a convolution's bias adds: such a bias has no gradient to speak of.
        if not weight.path.endswith("conv/bias"):
            assert np.abs(gradient).max() > 0, weight.path


def test_save_and_load_round_trip(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(model, images(2)), predict(loaded, images(2)))


@pytest.mark.parametrize("name", models())
def test_last_layer_is_float32_under_mixed_precision_and_five_classes_sum_to_one(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        output = predict(create_model(name, input_shape=SHAPE, num_classes=5), images(2))
    finally:
        keras.config.set_dtype_policy(before)
    assert output.dtype == np.float32
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-5)
    assert output.shape == (2, 5)


@pytest.mark.parametrize("channels", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", models())
def test_any_number_of_channels_without_pretrained_weights(name, channels):
    model = create_model(name, input_shape=(32, 48, channels), num_classes=3)
    assert np.isfinite(predict(model, np.full((1, 32, 48, channels), 200, np.uint8))).all()


# Weight compatibility with keras.applications.


def reference(name, size, alpha):
    shape = (size, size, 3)
    if name == "resnet50":
        return keras.applications.ResNet50(include_top=False, weights=None, input_shape=shape)
    return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape, alpha=alpha)


def ours(name, size, alpha):
    if name == "resnet50":
        return backbone_of(create_model("resnet50", input_shape=(size, size, 3)))
    return mobilenet_v2_backbone(input_shape=(size, size, 3), alpha=alpha)


def normalised(name, size):
    x = images(2, size).astype(np.float32)
    if name == "resnet50":
        return keras.applications.resnet.preprocess_input(x.copy())
    return keras.applications.mobilenet_v2.preprocess_input(x.copy())


@lru_cache
def settled_weights(name, alpha):
    keras.utils.set_random_seed(0)
    model = reference(name, 96, alpha)
    settle(model, normalised(name, 96))
    return model.get_weights()


@pytest.mark.parametrize(
    ("name", "alpha", "size"),
    [
        *(("mobilenet_v2", 1.0, size) for size in (96, 181)),
        *(pytest.param("mobilenet_v2", 1.0, size, marks=pytest.mark.slow) for size in (128, 160)),
        *(("mobilenet_v2", 0.35, 160), ("mobilenet_v2", 1.4, 97)),
        pytest.param("resnet50", 1.0, 96, marks=pytest.mark.slow),
        ("resnet50", 1.0, 181),
    ],
)
def test_pooled_features_are_those_of_keras_applications(name, alpha, size):
    weights = settled_weights(name, alpha)
    theirs, mine = reference(name, size, alpha), ours(name, size, alpha)
    assert weighted(mine) == weighted(theirs)
    assert mine.count_params() == theirs.count_params()
    theirs.set_weights(weights)
    mine.set_weights(weights)
    assert difference(mine, theirs, normalised(name, size)) < 1e-4


def test_the_comparison_notices_a_relu_without_its_limit(monkeypatch):
    name, alpha = "mobilenet_v2", 1.0
    weights = settled_weights(name, alpha)
    theirs = reference(name, 96, alpha)
    relu = keras.layers.ReLU
    monkeypatch.setattr("cnnzoo.models.blocks.layers.ReLU", lambda limit, name: relu(name=name))
    mine = ours(name, 96, alpha)
    theirs.set_weights(weights)
    mine.set_weights(weights)
    assert difference(mine, theirs, normalised(name, 96)) > 1e-2


def test_golden_parameter_counts():
    def with_top(backbone):
        features = backbone.output_shape[-1]
        return backbone.count_params() + (features + 1) * 1000

    mobilenet, resnet = ours("mobilenet_v2", 224, 1.0), ours("resnet50", 224, 1.0)
    assert mobilenet.count_params() == 2_257_984
    assert resnet.count_params() == 23_587_712
    assert with_top(mobilenet) == 3_538_984
    assert with_top(resnet) == 25_636_712


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_models_normalise_as_keras_applications_does(name):
    model = create_model(name, input_shape=SHAPE)
    inner = keras.Model(model.input, backbone_of(model)._inbound_nodes[-1].input_tensors[0])
    np.testing.assert_allclose(predict(inner, images(2)), normalised(name, 64), atol=1e-5)


def test_the_real_file_gives_the_features_of_keras_applications():
    path = SHARED / "mobilenet_v2_0.35_224_no_top.weights.h5"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    theirs, mine = reference("mobilenet_v2", 160, 0.35), ours("mobilenet_v2", 160, 0.35)
    theirs.load_weights(path)
    load_weights(mine, path)
    assert difference(mine, theirs, normalised("mobilenet_v2", 160)) < 1e-4


def test_sizes_of_the_recipes():
    sizes = {"mobilenet_v2": 160, "resnet50": 224, "three_conv": 128}
    assert {name: model_info(name).image_size for name in sizes} == sizes

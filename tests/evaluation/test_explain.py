"""Grad-CAM against hand-computed maps, other ways to compute it, and where the drawn crack really is."""

import cv2
import keras
import numpy as np
import pytest
from keras import layers
from parity import images, models

import cnnzoo
from cnnzoo import Phase, TrainConfig
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.errors import InputError
from cnnzoo.evaluation.explain import grad_cam, overlay
from cnnzoo.models.catalogue import create_model, list_models
from cnnzoo.models.families.mobilenet_v2 import mobilenet_v2_backbone
from cnnzoo.models.transfer import transfer_model

KERAS = [
    pytest.param(name, marks=[pytest.mark.slow] * (name != "keras/MobileNet"))
    for name in list_models("keras/*")
]
# 2 x 2 places of one channel, which `two_filters` makes two of: the same and the opposite.
PLACES = np.array([[0, 10], [20, 40]], np.float32).reshape(1, 2, 2, 1)


@pytest.mark.parametrize("name", [*models(), *KERAS])
def test_every_model_has_a_map_of_each_class(name):
    keras.utils.set_random_seed(0)
    # 64 pixels leave some networks a single place.
    size = 128 if "ception" in name else 64
    model = create_model(name, input_shape=(size, size, 3))
    maps = np.stack([grad_cam(model, images(2, size), class_id) for class_id in (0, 1)])
    assert maps.shape == (2, 2, size, size)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    highest, spread = maps.max(axis=(2, 3)), maps.std(axis=(2, 3))
    assert set(np.unique(highest)) <= {0, 1}
    # Random weights may see nothing that speaks for a class, but not for neither.
    assert (highest.max(axis=0) == 1).all()
    assert (spread.max(axis=0) > 1e-3).all()


def two_filters(kernel, *, head="sigmoid", pool=False):
    inputs = keras.Input((2, 2, 1), name="image")
    x = layers.Conv2D(2, 1, use_bias=False, name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(x) if pool else layers.Flatten()(x)
    outputs = layers.Dense(np.shape(kernel)[-1], activation=head, use_bias=False, name="predictions")(x)
    model = keras.Model(inputs, outputs, name="two_filters")
    model.get_layer("conv").set_weights([np.array([1.0, -1.0]).reshape(1, 1, 1, 2)])
    model.get_layer("predictions").set_weights([np.array(kernel, np.float32)])
    return model


def test_the_map_of_a_sigmoid_unit_by_hand():
    # The mean over the places of the weights of each filter: (1+0+0+3)/4 = 1 and (2+2-1-1)/4 = 0.5.
    # The map is therefore 1 a - 0.5 a = 0.5 a, of which the highest is 20.
    model = two_filters([[1], [2], [0], [2], [0], [-1], [3], [-1]])
    np.testing.assert_allclose(grad_cam(model, PLACES, 1)[0], [[0, 0.25], [0.5, 1]], rtol=1e-6)
    # All of it speaks for class 1, nothing for class 0; it is predicted: by default it is what is explained.
    np.testing.assert_array_equal(grad_cam(model, PLACES, [0]), np.zeros((1, 2, 2)))
    np.testing.assert_array_equal(grad_cam(model, PLACES), grad_cam(model, PLACES, [1]))


def test_the_map_of_a_softmax_by_hand():
    # Both pooled filters have a mean of ±17.5; classes 1 and 2 score alike, and so each is half of "others":
    # the log-odds of class 0 change by (1 - 0) = 1 with the first filter and 0 - (2 + 2) / 2 = -2 with the
    # second, in each place by a quarter of it: the map is (a + 2 a) / 4.
    model = two_filters([[1, 0, 0], [0, 2, 2]], head="softmax", pool=True)
    np.testing.assert_allclose(grad_cam(model, PLACES, 0)[0], [[0, 0.25], [0.5, 1]], rtol=1e-6)
    np.testing.assert_array_equal(grad_cam(model, PLACES, 1), np.zeros((1, 2, 2)))


def test_each_of_two_classes_explains_the_opposite():
    dark_and_light = PLACES - 15
    of_unit = [grad_cam(two_filters([[1], [-1]], pool=True), dark_and_light, c)[0] for c in (0, 1)]
    np.testing.assert_allclose(of_unit[1], [[0, 0], [0.2, 1]], rtol=1e-6)
    np.testing.assert_allclose(of_unit[0], [[1, 1 / 3], [0, 0]], rtol=1e-6)
    pair = two_filters([[-1, 1], [1, -1]], head="softmax", pool=True)
    for class_id in (0, 1):
        np.testing.assert_array_equal(grad_cam(pair, dark_and_light, class_id)[0], of_unit[class_id])


@pytest.mark.parametrize("scale", [1e-12, 100, 1e12])
@pytest.mark.parametrize(
    ("head", "kernel"), [("sigmoid", [[1], [-1]]), ("softmax", [[-1, 1, -2], [1, -1, 0]])]
)
def test_saturated_probabilities_still_have_a_map(head, kernel, scale):
    x = PLACES - 15
    model = two_filters(np.multiply(kernel, scale), head=head, pool=True)
    if scale > 1:
        assert set(np.unique(model.predict_on_batch(x))) <= {0, 1}
    for class_id in (0, 1):
        assert grad_cam(model, x, class_id).max() == 1


def resized(places, size):
    """As Keras does it, not OpenCV; highest at 1."""
    large = np.asarray(keras.ops.image.resize(places[..., None], (size, size)))[..., 0]
    return large / large.max(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("class_id", [0, 1, 2])
def test_after_global_average_pooling_it_is_the_map_of_zhou(class_id):
    """B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016."""
    keras.utils.set_random_seed(0)
    model = create_model("crack_net", input_shape=(64, 48, 3), num_classes=3)
    x = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3)).astype(np.uint8)
    features = np.asarray(keras.Model(model.input, model.get_layer("average").input)(x))
    kernel = model.get_layer("predictions").get_weights()[0]
    p = model.predict_on_batch(x)
    for number, cam in enumerate(grad_cam(model, x, class_id)):
        others = np.delete(p[number], class_id) / np.delete(p[number], class_id).sum()
        against = np.delete(kernel, class_id, axis=1) @ others
        places = np.maximum(features[number] @ (kernel[:, class_id] - against), 0)
        large = cv2.resize(places, (48, 64))
        np.testing.assert_allclose(cam, large / max(large.max(), 1e-30), atol=1e-4)


def test_it_is_the_gradient_of_the_probabilitys_log_odds_through_the_models_own_layers():
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = create_model("three_conv", input_shape=(64, 64, 3))
    position = model.layers.index(model.get_layer("flatten"))
    features = keras.Model(model.input, model.layers[position - 1].output)(images(3))
    with tf.GradientTape() as tape:
        tape.watch(features)
        x = features
        for layer in model.layers[position:]:
            x = layer(x)
        log_odds = tf.math.log(x) - tf.math.log1p(-x)
    weights = tf.reduce_mean(tape.gradient(log_odds, features), axis=(1, 2), keepdims=True)
    evidence = tf.reduce_sum(weights * features, axis=-1)
    seen = 0
    for class_id, sign in ((0, -1), (1, 1)):
        places = np.maximum(sign * np.asarray(evidence), 0)
        live = places.max(axis=(1, 2)) > 0
        seen += live.sum()
        maps = grad_cam(model, images(3), class_id)
        assert not maps[~live].any()
        if live.any():
            np.testing.assert_allclose(maps[live], resized(places[live], 64), atol=1e-3)
    assert seen >= 3


def small_transfer():
    keras.utils.set_random_seed(0)
    backbone = mobilenet_v2_backbone(input_shape=(64, 64, 3), alpha=0.35)
    rng = np.random.default_rng(0)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):  # with its initial statistics features vanish
            layer.moving_variance.assign(rng.uniform(0.3, 1, layer.moving_variance.shape))
    return transfer_model(backbone, normalise=layers.Rescaling(1 / 127.5, offset=-1.0), num_classes=2)


@pytest.fixture(scope="module")
def with_trained_head(image_folder):
    """A model whose head was called in another graph too, in which it was trained."""
    model = small_transfer()
    data = cnnzoo.load_datasets(image_folder, image_size=64, batch_size=16, progress=False)
    config = TrainConfig(phases=(Phase(epochs=1, learning_rate=0.01, trainable="head"),))
    cnnzoo.fit(model, data, config, progress=False)
    return model


def test_a_head_that_was_trained_on_a_frozen_backbone(with_trained_head):
    untouched = small_transfer()
    untouched.set_weights(with_trained_head.get_weights())
    assert len(with_trained_head.layers[-1]._inbound_nodes) > 1
    for class_id in (0, 1):
        expected = grad_cam(untouched, images(3), class_id)
        np.testing.assert_array_equal(grad_cam(with_trained_head, images(3), class_id), expected)


def test_a_saved_and_loaded_model_has_the_same_maps(with_trained_head, tmp_path):
    cnnzoo.save_model(with_trained_head, tmp_path / "model.keras", class_names=("a", "b"))
    loaded = cnnzoo.load_model(tmp_path / "model.keras").model
    expected = grad_cam(with_trained_head, images(3))
    assert expected.any()
    np.testing.assert_array_equal(grad_cam(loaded, images(3)), expected)


def test_asking_leaves_nothing_behind(with_trained_head):
    def state():
        inner = with_trained_head._flatten_layers()
        return [(len(layer._inbound_nodes), len(layer._outbound_nodes), layer.trainable) for layer in inner]

    before, values = state(), with_trained_head.get_weights()
    grad_cam(with_trained_head, images(2))
    assert state() == before
    for was, weight in zip(values, with_trained_head.get_weights(), strict=True):
        np.testing.assert_array_equal(was, weight)


def test_many_images_are_explained_as_each_alone():
    keras.utils.set_random_seed(0)
    model = create_model("crack_net", input_shape=(32, 32, 3))
    many, classes = images(70, 32), np.arange(70) % 2
    maps = grad_cam(model, many, classes)
    assert maps.shape == (70, 32, 32)
    for number in (0, 31, 32, 69):
        alone = grad_cam(model, many[number : number + 1], classes[number : number + 1])[0]
        np.testing.assert_allclose(maps[number], alone, atol=1e-4)
    assert grad_cam(model, many[:0]).shape == (0, 32, 32)


def test_half_precision_gives_nearly_the_same_map():
    single = create_model("crack_net", input_shape=(64, 64, 3))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = create_model("crack_net", input_shape=(64, 64, 3))
    finally:
        keras.config.set_dtype_policy(before)
    half.set_weights(single.get_weights())
    a, b = grad_cam(single, images(4), 0), grad_cam(half, images(4), 0)
    assert np.abs(a - b).mean() < 0.05


def test_a_sequential_model_and_one_of_any_image_size():
    free = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Dense(2)]
    )
    with pytest.raises(InputError, match="softmax or one sigmoid"):
        grad_cam(free, images(1))
    free.layers[-1].activation = keras.activations.softmax
    assert grad_cam(free, images(2, 40)).shape == (2, 40, 40)


def around_the_features():
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Conv2D(4, 3)(inputs)))
    y = layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Concatenate()([x, y])))


class _Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("build", "x", "class_ids", "message"),
    [
        (small_transfer, images(2, 32), None, r"shape \(2, 32, 32, 3\); .* takes \(n, 64, 64, 3\)"),
        (small_transfer, images(2)[0], None, r"shape \(64, 64, 3\)"),
        (small_transfer, images(2), [0, 2], "from 0 to 1"),
        (small_transfer, images(2), [0, 1, 1], "2 whole numbers"),
        (small_transfer, images(2), [0.5, 1], "whole numbers"),
        (small_transfer, images(2), -1, "from 0 to 1"),
        (
            lambda: create_model("mobilenet_v2", input_shape=(32, 32, 3)),
            images(2, 32),
            None,
            "32 x 32 pixels; build it for larger",
        ),
        (lambda: small_transfer().layers[2], images(2), None, "softmax or one sigmoid"),
        (around_the_features, images(2, 8), None, "not all that its end computes"),
        (_Subclassed, images(2), None, "no functional Keras model"),
    ],
)
def test_what_can_not_be_explained_is_refused(build, x, class_ids, message):
    with pytest.raises(InputError, match=message):
        grad_cam(build(), x, class_ids)


def test_an_overlay_shows_the_map_and_what_lies_below():
    image = np.full((4, 6, 3), 160, np.uint8)
    image[:, 3] = 30
    cam = np.zeros((4, 6), np.float32)
    cam[2:, 2:5] = 1
    shown = overlay(image, cam)
    assert (shown.shape, shown.dtype) == ((4, 6, 3), np.uint8)
    np.testing.assert_array_equal(shown[:2], image[:2])
    assert np.ptp(shown[2, 2]) > 60, "colour"
    assert shown[2, 2].mean() > shown[2, 3].mean() + 40, "the dark line stays visible"
    np.testing.assert_array_equal(overlay(image[..., :1], cam), shown)


SIZE, CELL = 96, 8  # pixels of an image and of a place of the feature map


def tiles(seed, count, labels):
    """Images, where the crack is and labels."""
    drawn = []
    for number in range(count):
        for label in labels:
            tile, mask = draw_tile(np.random.default_rng([seed, label, number]), crack=bool(label))
            small = cv2.resize(tile, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            cover = cv2.resize(mask.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            drawn.append((small, cover > 0, label))
    return [np.stack(column) for column in zip(*drawn, strict=True)]


def fine_crack_net():
    """With as many places as 96 pixels and three poolings leave, 12 x 12."""
    return create_model(
        "crack_net",
        input_shape=(SIZE, SIZE, 3),
        widths=(8, 16, 32, 64),
        depths=(1, 1, 1, 1),
        stem_kernel=3,
        stem_stride=1,
        dropout=0.0,
    )


@pytest.mark.slow
def test_a_trained_model_looks_at_the_crack_and_a_random_one_does_not(record):
    fresh, masks, _ = tiles(2, 50, (1,))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * CELL + 1, 2 * CELL + 1))
    near = np.stack([cv2.dilate(mask.astype(np.uint8), disc) for mask in masks]).astype(bool)

    def share_near(model, class_ids=None):
        cams = grad_cam(model, fresh, class_ids)
        return float(((cams * near).sum(axis=(1, 2)) / cams.sum(axis=(1, 2))).mean())

    random = []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        # Of the predicted class: of another one random weights may see nothing at all.
        random.append(share_near(fine_crack_net()))
    keras.utils.set_random_seed(0)
    model = fine_crack_net()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", jit_compile=False)
    x, _, labels = tiles(1, 400, (0, 1))
    model.fit(x, labels, epochs=10, batch_size=16, verbose=0)
    accuracy = float((model.predict(fresh, verbose=0).argmax(axis=1) == 1).mean())
    trained = share_near(model, 1)
    record(near=trained, random=random, area=float(near.mean()), found=accuracy)
    assert trained > 0.65
    assert trained > near.mean() + 0.3
    assert max(random) < 0.45

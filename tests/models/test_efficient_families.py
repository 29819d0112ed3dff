"""The small and efficient families beside keras.applications: parameters, layers and outputs."""

import json
from dataclasses import replace
from functools import lru_cache

import keras
import numpy as np
import pytest
from parity import difference, images, predict, settle, weighted

from cnnzoo.errors import InputError
from cnnzoo.models.blocks import stochastic_depth
from cnnzoo.models.catalogue import create_model
from cnnzoo.models.families import efficientnet, mobilenet_v3
from cnnzoo.models.transfer import backbone_of, set_trainable

APPLICATIONS = {
    "mobilenet": keras.applications.MobileNet,
    "mobilenet_v3_small": keras.applications.MobileNetV3Small,
    "mobilenet_v3_large": keras.applications.MobileNetV3Large,
    "efficientnet_b0": keras.applications.EfficientNetB0,
    "efficientnet_v2_b0": keras.applications.EfficientNetV2B0,
    "convnext_tiny": keras.applications.ConvNeXtTiny,
}
# All and trainable parameters with 1000 classes, as Keras and timm print them.
PUBLISHED = {
    "mobilenet": (4_253_864, 4_231_976),
    "mobilenet_v3_small": (2_554_968, 2_542_856),
    "mobilenet_v3_large": (5_507_432, 5_483_032),
    # Keras prints 7 more, 5,330,571: mean, variance and a count of the input are weights there.
    "efficientnet_b0": (5_330_564, 5_288_548),
    "efficientnet_v2_b0": (7_200_312, 7_139_704),
    "convnext_tiny": (28_589_128, 28_589_128),
}
SLOW = pytest.mark.slow
SIBLINGS = ("mobilenet_v3_large", "efficientnet_v2_b0")  # of smaller ones that share their code
NAMES = [*PUBLISHED, "convnext_femto"]

SETTINGS = [
    *((name, "") for name in APPLICATIONS if name not in SIBLINGS),
    *(pytest.param(name, "", marks=SLOW) for name in SIBLINGS),
    *(("mobilenet", "alpha=0.25"), ("mobilenet_v3_small", "minimalistic=True")),
    *(
        pytest.param(*setting, marks=SLOW)
        for setting in (
            *(("mobilenet", "alpha=1.3"), ("mobilenet_v3_small", "alpha=0.75")),
            *(("mobilenet_v3_large", "alpha=1.25"), ("mobilenet_v3_large", "minimalistic=True")),
        )
    ),
]


def parsed(setting):
    name, _, value = setting.partition("=")
    return {name: value == "True" if value == "True" else float(value)} if name else {}


def ours(name, size, **arguments):
    keras.utils.set_random_seed(0)
    return create_model(name, input_shape=(size, size, 3), num_classes=1000, **arguments)


@lru_cache
def plain(name):
    """One model for all tests that do without arguments."""
    return ours(name, 96)


def reference(name, size, *, top, **arguments):
    """The network of keras.applications."""
    keras.utils.set_random_seed(0)
    shape = (size, size, 3)
    return APPLICATIONS[name](weights=None, include_top=top, input_shape=shape, **arguments)


def its_input(name, x):
    return keras.applications.mobilenet.preprocess_input(x.astype(np.float32)) if name == "mobilenet" else x


def set_weights(model, weights):
    """Copies weights in order, whatever their axes: dense layers for 1x1 convolutions, swapped axes of 1."""
    for variable, value in zip(model.weights, weights, strict=True):
        assert np.prod(variable.shape) == value.size, variable.path
        assert [side for side in variable.shape if side != 1] == [side for side in value.shape if side != 1]
        variable.assign(value.reshape(variable.shape))


def set_reference_weights(name, model, weights):
    if name == "efficientnet_b0":
        # What the published weights and the second rescaling that comes with them amount to.
        norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
        constants = [np.array([0.485, 0.456, 0.406]), np.square([0.229, 0.224, 0.225]), np.array(0)]
        model.set_weights([*constants, *weights])
        norm.finalize_state()
    else:
        model.set_weights(weights)


def stir(model, seed=0):
    """`settle` for a network without batch norm: blocks that count as much as what they are added to."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.5, 1.5) if "gamma" in weight.path or "layer_scale" in weight.path else (-0.5, 0.5)
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(low, high, weight.shape))


@lru_cache
def settled(name, setting):
    """The network with top and weights under which every layer matters; those without its input's own."""
    model = reference(name, 96, top=True, **parsed(setting))
    if name == "convnext_tiny":
        stir(model)
    else:
        settle(model, its_input(name, images(2, 96)))
    if name.startswith("efficientnet"):
        # Fifty norms, each a little off, would let the features grow a thousandfold.
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.gamma.assign(0.9 * layer.gamma)
    weights = model.get_weights()[3 if name == "efficientnet_b0" else 0 :]
    set_reference_weights(name, model, weights)
    return model, weights


def layers_with_weights(model):
    names = []
    for layer in model.layers:
        nested = isinstance(layer, keras.Model)
        names += layers_with_weights(layer) if nested else [layer.name] if layer.weights else []
    return [name for name in names if not name.startswith("normalization")]


def feature_difference(name, mine, theirs, size):
    pooling = mine.get_layer("pooling")
    mine = keras.Model(mine.input, pooling.input)
    return difference(mine, lambda x, training: theirs(its_input(name, x)), images(2, size))


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_with_top_features_and_scores_are_those_of_keras_applications(name, setting):
    theirs, weights = settled(name, setting)
    mine = ours(name, 96, **parsed(setting)) if setting else plain(name)
    assert mine.count_params() == theirs.count_params() - (7 if name == "efficientnet_b0" else 0)
    set_weights(mine, weights)
    pooling = next(
        layer for layer in theirs.layers[::-1] if isinstance(layer, keras.layers.GlobalAveragePooling2D)
    )
    features = keras.Model(theirs.input, pooling.input)
    assert feature_difference(name, mine, features, 96) < 1e-4
    x = images(2, 96)
    a, b = np.log(predict(mine, x)), np.log(predict(theirs, its_input(name, x)))
    assert b.std() > 0.1, "scores that say nothing"
    assert np.abs(a - b).max() < 1e-3 * b.std()


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_without_top_an_odd_size_gives_the_features_of_keras_applications(name, setting):
    theirs, mine = reference(name, 77, top=False, **parsed(setting)), ours(name, 77, **parsed(setting))
    if name == "convnext_tiny":
        # It normalises the features once more, which with top comes behind the pooling.
        theirs = keras.Model(theirs.input, theirs.layers[-1].input)
    backbone = backbone_of(mine)
    assert weighted(backbone) == layers_with_weights(theirs)
    assert backbone.count_params() == theirs.count_params() - (7 if name == "efficientnet_b0" else 0)
    weights = settled(name, setting)[1][: len(backbone.weights)]
    set_weights(backbone, weights)
    set_reference_weights(name, theirs, weights)
    assert feature_difference(name, mine, theirs, 77) < 1e-4


@pytest.mark.parametrize(
    ("name", "module", "style", "change"),
    [
        ("mobilenet_v3_small", mobilenet_v3, "RELU", {"gate": "sigmoid"}),
        ("mobilenet_v3_small", mobilenet_v3, "HARD_SWISH", {"activation": "swish"}),
        pytest.param("efficientnet_b0", efficientnet, "V1_STYLE", {"gate": "hard_sigmoid"}, marks=SLOW),
    ],
)
def test_the_comparison_notices_another_function(name, module, style, change, monkeypatch):
    monkeypatch.setattr(module, style, replace(getattr(module, style), **change))
    theirs, weights = settled(name, "")
    mine = ours(name, 96)
    set_weights(mine, weights)
    scores = (predict(model, images(2, 96)) for model in (mine, theirs))
    a, b = map(np.log, scores)
    assert np.abs(a - b).max() > 1e-2 * b.std()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name):
    model = plain(name)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (model.count_params(), trainable) == PUBLISHED[name]


def test_parameters_of_convnext_femto_by_hand():
    def block(d):
        depthwise, norm, wide, narrow, scale = 49 * d + d, 2 * d, 4 * d * d + 4 * d, 4 * d * d + d, d
        return depthwise + norm + wide + narrow + scale

    def downsampling(a, b):
        return 2 * a + 4 * a * b + b

    stem = 4 * 4 * 3 * 48 + 48 + 2 * 48
    stages = 2 * block(48) + 2 * block(96) + 6 * block(192) + 2 * block(384)
    between = downsampling(48, 96) + downsampling(96, 192) + downsampling(192, 384)
    head = 2 * 384 + 384 * 1000 + 1000
    # timm gives 5.22 million.
    assert plain("convnext_femto").count_params() == stem + stages + between + head == 5_217_784


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "larger"),
    [
        ("efficientnet_b0", {"width": 1.1, "depth": 1.2}, keras.applications.EfficientNetB2),
        ("efficientnet_v2_b0", {"width": 1.1, "depth": 1.2}, keras.applications.EfficientNetV2B2),
    ],
)
def test_multipliers_give_the_larger_networks(name, arguments, larger):
    theirs = larger(weights=None, include_top=False, input_shape=(64, 64, 3))
    mine = backbone_of(ours(name, 64, **arguments))
    assert weighted(mine) == layers_with_weights(theirs)
    shapes = [weight.shape for weight in theirs.weights]
    assert [weight.shape for weight in mine.weights] == shapes[3 if name == "efficientnet_b0" else 0 :]


@pytest.mark.parametrize("name", NAMES)
def test_odd_and_unequal_sides_and_one_sigmoid_unit(name):
    model = create_model(name, input_shape=(33, 47, 3), head="sigmoid")
    output = predict(model, np.full((2, 33, 47, 3), 200, np.uint8))
    assert output.shape == (2, 1)
    assert np.isfinite(output).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_needs_no_code_of_ours(name):
    model = plain(name)

    def modules(config):
        if isinstance(config, dict):
            yield from [config["module"]] if isinstance(config.get("module"), str) else []
            yield from (module for value in config.values() for module in modules(value))
        elif isinstance(config, list):
            yield from (module for value in config for module in modules(value))

    found = set(modules(json.loads(model.to_json())))
    assert found
    assert all(module.split(".")[0] in ("keras", "builtins") for module in found)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("mobilenet_v3_small", ["conv_2", "predictions"]),
        ("convnext_femto", ["convnext_femto_head_layernorm", "predictions"]),
    ],
)
def test_what_lies_behind_the_pooling_trains_with_the_head(name, names):
    model = create_model(name, input_shape=(32, 32, 3))
    set_trainable(model, "head")
    assert list(dict.fromkeys(weight.path.split("/")[0] for weight in model.trainable_weights)) == names


def test_stochastic_depth_leaves_out_whole_images_in_training_alone():
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, stochastic_depth(inputs, 0.25, name="drop"))
    x = np.ones((2000, 2, 2, 3), np.float32)
    np.testing.assert_array_equal(predict(model, x), x)
    kept = keras.ops.convert_to_numpy(model(x, training=True)).reshape(2000, -1)
    assert (kept == kept[:, :1]).all()
    np.testing.assert_allclose(np.unique(kept), [0, 4 / 3], rtol=1e-6)
    assert abs((kept[:, 0] == 0).mean() - 0.25) < 0.05
    assert stochastic_depth(inputs, 0.0, name="none") is inputs


@pytest.mark.parametrize(
    ("name", "argument", "last"),
    [
        ("convnext_femto", "drop_path", 0.4),
        ("efficientnet_b0", "drop_connect", 0.4 * 14 / 16),
    ],
)
def test_later_blocks_are_left_out_more_often(name, argument, last):
    model = backbone_of(create_model(name, input_shape=(32, 32, 3), **{argument: 0.4}))
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(last)


def test_convnext_without_layer_scale_and_with_small_filters():
    full, bare = (
        create_model("convnext_femto", input_shape=(32, 32, 3), kernel_size=size, layer_scale=scale)
        for size, scale in ((7, 1e-6), (3, None))
    )
    channels = 2 * 48 + 2 * 96 + 6 * 192 + 2 * 384
    assert full.count_params() - bare.count_params() == channels * (49 - 9 + 1)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mobilenet", {"alpha": 0}, "alpha is 0"),
        ("mobilenet", {"alpha": float("nan")}, "alpha is nan"),
        ("mobilenet", {"dropout": 1.0}, "dropout is 1.0"),
        ("mobilenet_v3_small", {"alpha": -1}, "alpha is -1"),
        ("mobilenet_v3_large", {"head": "linear"}, "unknown head 'linear'"),
        ("efficientnet_b0", {"width": 0.0}, "width is 0.0"),
        ("efficientnet_b0", {"depth": float("inf")}, "depth is inf"),
        ("efficientnet_v2_b0", {"drop_connect": 1.0}, "drop_connect is 1.0"),
        ("convnext_tiny", {"drop_path": -0.1}, "drop_path is -0.1"),
        ("convnext_tiny", {"kernel_size": 4}, "kernel_size is 4"),
        ("convnext_femto", {"kernel_size": 2.5}, "kernel_size is 2.5"),
        ("convnext_femto", {"layer_scale": 0.0}, "layer_scale is 0.0"),
    ],
)
def test_bad_arguments(name, arguments, message):
    with pytest.raises(InputError, match=message):
        create_model(name, input_shape=(32, 32, 3), **arguments)

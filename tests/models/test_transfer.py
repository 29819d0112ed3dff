"""Transfer models: what trains, what stays, before and after a round trip."""

import keras
import numpy as np
import pytest

from cnnzoo.errors import InputError
from cnnzoo.models.catalogue import create_model
from cnnzoo.models.families.mobilenet_v2 import mobilenet_v2_backbone
from cnnzoo.models.transfer import backbone_of, set_trainable, transfer_model

SHAPE = (64, 64, 3)
KERAS_LAYER_100 = "block_11_expand_relu"


def batch(count=8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *SHAPE)).astype(np.uint8), rng.integers(0, 2, count)


def statistics(model):
    norms = [
        layer for layer in backbone_of(model).layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return values([value for norm in norms for value in (norm.moving_mean, norm.moving_variance)])


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def same(before, after):
    return sum(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def train(model):
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    model.train_on_batch(*batch())


def build(*, pretrained):
    keras.utils.set_random_seed(0)
    backbone = mobilenet_v2_backbone(input_shape=SHAPE, alpha=0.35)
    if pretrained:
        # With the initial statistics the features are near 1e-11: too small for any gradient.
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        backbone(batch()[0] / np.float32(127.5) - 1, training=True)
    return transfer_model(
        backbone,
        normalise=keras.layers.Rescaling(1 / 127.5, offset=-1.0),
        num_classes=2,
        pretrained=pretrained,
    )


@pytest.fixture(scope="module")
def pretrained():
    return build(pretrained=True)


@pytest.fixture(scope="module")
def resnet():
    model = create_model("resnet50", input_shape=(32, 32, 3))
    # As with pretrained weights: the statistics of the normalisation stay.
    return transfer_model(backbone_of(model), normalise=keras.layers.Rescaling(1.0), num_classes=2)


@pytest.mark.parametrize(
    ("trainable", "loaded"),
    [("head", False), ("block_11_expand_BN", False), ("all", False), ("block_11_expand_BN", True)],
)
def test_batch_norm_statistics_stay_and_exactly_the_chosen_weights_move(
    pretrained, trainable, loaded, tmp_path
):
    model = pretrained
    if loaded:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    set_trainable(model, trainable)
    names = [layer.name for layer in backbone_of(model).layers]
    first = {"head": len(names), "all": 0}.get(trainable)
    first = names.index(trainable) if first is None else first
    kept = [weight for layer in backbone_of(model).layers[:first] for weight in layer.weights]
    free = [weight for layer in backbone_of(model).layers[first:] for weight in layer.weights]
    free = [weight for weight in free if "moving_" not in weight.path] + model.layers[-1].weights
    assert {id(weight) for weight in model.trainable_weights} == {id(weight) for weight in free}
    before = statistics(model), values(kept), values(free)
    train(model)
    assert same(before[0], statistics(model)) == len(before[0])
    assert same(before[1], values(kept)) == len(kept)
    assert same(before[2], values(free)) == 0


def test_without_pretrained_weights_batch_norm_learns():
    model = build(pretrained=False)
    before = statistics(model)
    train(model)
    assert same(before, statistics(model)) == 0


def test_what_was_frozen_can_be_freed_again(pretrained):
    everything = [weight for weight in pretrained.weights if "moving_" not in weight.path]
    for trainable, count in [("all", len(everything)), ("head", 2), ("all", len(everything))]:
        set_trainable(pretrained, trainable)
        assert len(pretrained.trainable_weights) == count


def test_fine_tuning_moves_the_weights_behind_the_named_layer():
    model = create_model("resnet50", input_shape=(32, 32, 3))
    set_trainable(model, "conv5_block3_3_conv")
    assert [weight.path for weight in model.trainable_weights] == [
        *("conv5_block3_3_conv/kernel", "conv5_block3_3_conv/bias"),
        *("conv5_block3_3_bn/gamma", "conv5_block3_3_bn/beta"),
        *("predictions/kernel", "predictions/bias"),
    ]
    set_trainable(model, "head")
    assert len(model.trainable_weights) == 2


def test_layer_100_of_keras_applications_is_where_fine_tuning_starts_here():
    theirs = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(160, 160, 3))
    assert theirs.layers[100].name == KERAS_LAYER_100
    mine = mobilenet_v2_backbone(input_shape=(160, 160, 3))
    names = [layer.name for layer in mine.layers]
    after = [layer for layer in mine.layers[names.index(KERAS_LAYER_100) :] if layer.weights]
    assert [layer.name for layer in after] == [layer.name for layer in theirs.layers[100:] if layer.weights]


def test_any_keras_application_can_be_the_backbone():
    backbone = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=SHAPE, alpha=0.25, name="mobilenet"
    )
    model = transfer_model(
        backbone, normalise=keras.layers.Rescaling(1 / 127.5, offset=-1.0), num_classes=4, dropout=0.2
    )
    set_trainable(model, "conv_dw_13")
    assert model(batch(2)[0]).shape == (2, 4)
    assert model.trainable_weights[0].path == "conv_dw_13/kernel"


@pytest.mark.parametrize(
    ("trainable", "first"),
    [
        ("conv5", "conv5_block1_1_conv"),
        ("conv5_block3", "conv5_block3_1_conv"),
        ("conv5_block3_2_conv", "conv5_block3_2_conv"),
        (1.0, "conv1_conv"),
        (1, "conv1_conv"),
        (1e-6, "conv5_block3_3_bn"),
    ],
)
def test_a_stage_or_a_share_is_where_training_starts(resnet, trainable, first):
    set_trainable(resnet, trainable)
    backbone = backbone_of(resnet)
    names = [layer.name for layer in backbone.layers]
    free = [weight for layer in backbone.layers[names.index(first) :] for weight in layer.weights]
    free = [weight for weight in free if "moving_" not in weight.path] + resnet.layers[-1].weights
    assert {id(weight) for weight in resnet.trainable_weights} == {id(weight) for weight in free}
    assert resnet.trainable_weights[0].path.startswith(first)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.75])
def test_a_share_is_one_of_the_layers_with_weights(resnet, share):
    set_trainable(resnet, share)
    weighted = [layer for layer in backbone_of(resnet).layers if layer.weights]
    training = [layer for layer in weighted if any(weight.trainable for weight in layer.weights)]
    assert training == weighted[-round(share * len(weighted)) :]


def test_a_stage_ends_at_its_number_and_a_layer_goes_before_a_stage(pretrained):
    for trainable, first in [
        ("block_1", "block_1_expand/kernel"),
        ("block_11", "block_11_expand/kernel"),
        ("block_11_expand_BN", "block_11_expand_BN/gamma"),
        ("Conv_1", "Conv_1/kernel"),
    ]:
        set_trainable(pretrained, trainable)
        assert pretrained.trainable_weights[0].path == first
    letters = create_model("keras/EfficientNetB0", input_shape=(32, 32, 3))
    set_trainable(letters, "block5")
    assert letters.trainable_weights[0].path == "block5a_expand_conv/kernel"


@pytest.mark.parametrize("share", [0, 0.0, -0.1, 1.01, 2, float("nan"), True])
def test_a_share_out_of_range_is_one_line_and_nothing_changes(pretrained, share):
    set_trainable(pretrained, "head")
    with pytest.raises(InputError, match=f"trainable={share!r}: a share .* above 0 and at most 1"):
        set_trainable(pretrained, share)
    assert len(pretrained.trainable_weights) == 2


def test_one_sigmoid_unit_serves_two_classes():
    assert create_model("mobilenet_v2", input_shape=SHAPE, alpha=0.35, head="sigmoid").output_shape == (
        None,
        1,
    )


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        ("block_11_expnd", "no layer 'block_11_expnd' and no such stage; near: block_11_expand"),
        ("blok_11", "near: block_11"),
        ("heat", "no layer 'heat'"),
        ("conv5", "no layer 'conv5'"),
        ("zzz", "known: block_1, block_10, .*block_9$"),
    ],
)
def test_an_unknown_layer_is_named_and_nothing_changes(pretrained, trainable, message):
    set_trainable(pretrained, "head")
    with pytest.raises(InputError, match=message):
        set_trainable(pretrained, trainable)
    assert len(pretrained.trainable_weights) == 2


@pytest.mark.parametrize("trainable", ["head", "conv_1"])
def test_a_model_without_backbone_trains_whole_or_not_at_all(trainable):
    model = create_model("three_conv", input_shape=SHAPE)
    set_trainable(model, "all")
    with pytest.raises(InputError, match="no backbone to freeze"):
        set_trainable(model, trainable)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "sigmoid", "num_classes": 3}, "tells 2 classes apart, not 3"),
        ({"head": "linear"}, "unknown head 'linear'"),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_bad_head_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        create_model("mobilenet_v2", input_shape=SHAPE, alpha=0.35, **arguments)

"""The classic families: published sizes, keras.applications as the judge, arguments."""

import keras
import numpy as np
import pytest
from parity import difference, images, predict, settle, spread_out, weighted

from cnnzoo.errors import InputError
from cnnzoo.models.catalogue import create_model, list_models, model_info, published_file
from cnnzoo.models.transfer import backbone_of

slow = pytest.mark.slow


def size_of(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


# Published sizes.


# torchvision counts what trains; keras.applications also the statistics of batch norm. RepVGG's number is
# worked out in test_repvgg.
PUBLISHED = [
    ("alexnet", {}, 61_100_840, "trainable"),
    pytest.param("densenet121", {}, 8_062_504, "all", marks=slow),
    ("repvgg_a0", {}, 9_108_968, "trainable"),
    ("resnet18", {}, 11_689_512, "trainable"),
    ("resnet34", {}, 21_797_672, "trainable"),
    ("resnet50", {}, 25_636_712, "all"),
    ("resnet50_v2", {}, 25_613_800, "all"),
    pytest.param("resnet101", {}, 44_707_176, "all", marks=slow),
    pytest.param("resnet152", {}, 60_419_944, "all", marks=slow),
    ("squeezenet", {}, 1_235_496, "all"),
    pytest.param("vgg11", {}, 132_863_336, "all", marks=slow),
    pytest.param("vgg11", {"batch_norm": True}, 132_868_840, "trainable", marks=slow),
    pytest.param("vgg13", {}, 133_047_848, "all", marks=slow),
    pytest.param("vgg16", {}, 138_357_544, "all", marks=slow),
]


@pytest.mark.parametrize(("name", "arguments", "count", "which"), PUBLISHED)
def test_published_parameter_counts_at_1000_classes(name, arguments, count, which):
    model = create_model(name, num_classes=1000, **arguments)
    assert model.input_shape == (None, 224, 224, 3)
    assert size_of(model.trainable_weights if which == "trainable" else model.weights) == count


def test_lenet_has_the_61706_parameters_of_its_modern_form():
    model = create_model("lenet5", input_shape=(32, 32, 1), num_classes=10)
    assert model.count_params() == 61_706


# Weight compatibility with keras.applications.

APPLICATIONS = {
    "densenet121": (keras.applications.DenseNet121, keras.applications.densenet.preprocess_input),
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet.preprocess_input),
    "resnet101": (keras.applications.ResNet101, keras.applications.resnet.preprocess_input),
    "resnet152": (keras.applications.ResNet152, keras.applications.resnet.preprocess_input),
    "resnet50_v2": (keras.applications.ResNet50V2, keras.applications.resnet_v2.preprocess_input),
    "vgg16": (keras.applications.VGG16, keras.applications.vgg16.preprocess_input),
}


def with_and_without_top(name, size):
    build, _ = APPLICATIONS[name]
    shape = (size, size, 3)
    whole = build(weights=None, input_shape=shape, classes=7)
    return whole, build(include_top=False, weights=None, input_shape=shape)


@pytest.mark.parametrize("size", [pytest.param(64, marks=slow), 75])
@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "resnet50_v2",
        *(pytest.param(name, marks=slow) for name in ("densenet121", "resnet101", "resnet152")),
    ],
)
def test_outputs_are_those_of_keras_applications(name, size):
    keras.utils.set_random_seed(0)
    x = images(4, size)
    normalised = APPLICATIONS[name][1](x.astype(np.float32))
    theirs, no_top = with_and_without_top(name, size)
    settle(theirs, normalised)
    theirs.layers[-1].kernel.assign(np.asarray(theirs.layers[-1].kernel) / 5)
    mine = create_model(name, input_shape=(size, size, 3), num_classes=7)
    backbone = backbone_of(mine)
    assert [*weighted(backbone), "predictions"] == weighted(theirs)
    assert mine.count_params() == theirs.count_params()
    assert backbone.count_params() == no_top.count_params()
    mine.set_weights(theirs.get_weights())
    no_top.set_weights(theirs.get_weights()[:-2])
    assert difference(backbone, no_top, normalised) < 1e-4
    assert_same_scores(predict(mine, x), predict(theirs, normalised))


@slow
@pytest.mark.parametrize("size", [64, 75])
def test_vgg16_is_that_of_keras_applications(size):
    x = images(4, size)
    normalised = APPLICATIONS["vgg16"][1](x.astype(np.float32))
    theirs, no_top = with_and_without_top("vgg16", size)
    spread_out(theirs)
    mine = create_model("vgg16", input_shape=(size, size, 3), num_classes=7)
    assert weighted(mine) == weighted(theirs)
    assert mine.count_params() == theirs.count_params()
    mine.set_weights(theirs.get_weights())
    no_top.set_weights(theirs.get_weights()[: len(no_top.weights)])
    features = keras.Model(mine.input, mine.get_layer("block5_pool").output)
    a, b = predict(features, x), predict(no_top, normalised)
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())
    assert_same_scores(predict(mine, x), predict(theirs, normalised))


def assert_same_scores(a, b):
    assert b.max() < 0.999, "a softmax that hides what differs"
    assert b.std(axis=0).max() > 1e-4, "scores that say nothing of the image"
    np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_resnet_files_and_hashes_are_those_of_keras_applications(name):
    from keras.src.applications import resnet

    file = published_file(name)
    assert file.url == f"{resnet.BASE_WEIGHTS_PATH}{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert file.md5 == resnet.WEIGHTS_HASHES[name][1]


def test_only_these_offer_weights():
    names = [*APPLICATIONS, "alexnet", "lenet5", "repvgg_a0", "resnet18", "resnet34", "squeezenet", "vgg11"]
    offered = {name for name in names if model_info(name).weights_available}
    assert offered == {"resnet50", "resnet101", "resnet152", "squeezenet"}


# Arguments.

SMALL = {
    "alexnet": {"filters": (8, 8, 8, 8, 8), "dense_units": (9,), "dropout": 0.1},
    "densenet121": {
        "blocks": (2, 3),
        "growth_rate": 12,
        "reduction": 1.0,
        "block_dropout": 0.2,
        "dropout": 0.1,
    },
    "lenet5": {"filters": (4, 5), "dense_units": (), "activation": "relu", "pooling": "max"},
    "repvgg_a0": {"blocks": (1, 2, 1, 1), "width": 0.25, "last_width": 0.5, "dropout": 0.1},
    "resnet18": {"blocks": (1, 1), "width": 8, "dropout": 0.1},
    "resnet34": {"blocks": (1, 2, 1), "width": 8},
    "resnet50": {"blocks": (1, 2), "width": 8, "dropout": 0.1},
    "resnet101": {"blocks": (1, 1, 1), "width": 8},
    "resnet152": {"blocks": (1,), "width": 8},
    "resnet50_v2": {"blocks": (2, 1), "width": 8, "dropout": 0.1},
    "squeezenet": {"base": 16, "increment": 8, "squeeze_ratio": 0.5, "share_3x3": 0.25, "bypass": True},
    "vgg11": {"blocks": (1, 1), "filters": (8, 9), "dense_units": (7,), "dropout": 0.1, "batch_norm": True},
    "vgg13": {"blocks": (2,), "filters": (8,), "dense_units": ()},
    "vgg16": {"blocks": (1, 3), "filters": (4, 4), "dense_units": (6, 5)},
}


@pytest.mark.parametrize("shape", [(33, 47, 3), (64, 32, 4)])
@pytest.mark.parametrize("name", SMALL)
def test_every_argument_is_taken_and_one_sigmoid_unit_is_a_head(name, shape):
    assert name in list_models()
    model = create_model(name, input_shape=shape, head="sigmoid", **SMALL[name])
    output = predict(model, np.full((2, *shape), 90, np.float32))
    assert output.shape == (2, 1)
    assert np.isfinite(output).all()
    assert model.layers[-1].name == "predictions"
    assert model.count_params() < 1_000_000


@pytest.mark.parametrize("size", [32, 33, 48, 63])
@pytest.mark.parametrize("name", ["alexnet", "lenet5", "squeezenet"])
def test_small_images_leave_something_to_pool(name, size):
    arguments = {"dense_units": (8,)} if name == "alexnet" else {}
    model = create_model(name, input_shape=(size, 32, 3), **arguments)
    # In a graph, as `fit` has it: what works on tensors alone may not work there.
    assert np.isfinite(model.predict_on_batch(images(1, size)[:, :, :32])).all()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("alexnet", {"filters": (1, 2)}, r"filters is \(1, 2\); it must be a tuple of 5"),
        ("alexnet", {"dense_units": (0,)}, "dense_units is .*at least 1"),
        ("densenet121", {"blocks": (1,) * 5}, "blocks is .*1 to 4"),
        ("densenet121", {"growth_rate": 0}, "growth_rate is 0"),
        ("densenet121", {"reduction": 0.0}, "reduction is 0.0"),
        ("densenet121", {"blocks": (1,), "block_dropout": 1.0}, "dropout is 1.0"),
        ("lenet5", {"filters": (6, 16, 120)}, "filters is .*tuple of 2"),
        ("lenet5", {"activation": "gelu"}, "unknown activation 'gelu'; known: tanh, relu, sigmoid"),
        ("lenet5", {"pooling": "mean"}, "unknown pooling 'mean'; known: average, max"),
        ("lenet5", {"head": "linear"}, "unknown head 'linear'"),
        ("lenet5", {"head": "sigmoid", "num_classes": 3}, "one sigmoid unit tells 2 classes apart"),
        ("lenet5", {"weights": "imagenet"}, "takes no pretrained weights"),
        ("repvgg_a0", {"blocks": (1, 1)}, "blocks is .*tuple of 4"),
        ("repvgg_a0", {"width": 0.0}, "width is 0.0"),
        ("repvgg_a0", {"last_width": -1.0}, "last_width is -1.0"),
        ("repvgg_a0", {"width": 0.001}, "width is 0.001"),
        ("resnet18", {"blocks": ()}, "blocks is .*1 or more"),
        ("resnet18", {"blocks": (1.5,)}, "blocks is .*whole number"),
        ("resnet50", {"blocks": 3}, "blocks is 3"),
        ("resnet50", {"width": True}, "width is True"),
        ("resnet50_v2", {"width": -8}, "width is -8"),
        ("squeezenet", {"base": 1}, "base is 1; it must be a whole number, at least 2"),
        ("squeezenet", {"increment": -1}, "increment is -1"),
        ("squeezenet", {"squeeze_ratio": 2.0}, "squeeze_ratio is 2.0"),
        ("squeezenet", {"share_3x3": 1.0}, "share_3x3 is 1.0"),
        ("vgg11", {"blocks": (1, 1)}, "blocks has 2 stages and filters 5"),
        ("vgg11", {"blocks": (1,) * 6}, "blocks is .*1 to 5"),
        ("vgg11", {"blocks": (1,), "filters": (4,), "dense_units": (4,), "dropout": 1.5}, "dropout is 1.5"),
    ],
)
def test_bad_arguments_are_one_clear_line(name, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        create_model(name, input_shape=(32, 32, 3), **arguments)
    assert "\n" not in str(caught.value)

"""keras/NAME: all there are, each with the features of its official path, its weights and clear errors."""

import gc
import re
import shutil
import warnings
from functools import partial
from inspect import signature

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils
from parity import images, predict

from cnnzoo.errors import InputError
from cnnzoo.models import weights
from cnnzoo.models.catalogue import create_model, download_published, list_models, model_info, published_file
from cnnzoo.models.folding import frozen_twin
from cnnzoo.models.keras_applications import build_backbone, find_applications
from cnnzoo.models.keras_facts import default_size, nothing_fetched
from cnnzoo.models.normalisation import find_normalisation
from cnnzoo.models.transfer import backbone_of, set_trainable

# One with [-1, 1], one with BGR minus the mean, one with mean and deviation, three that normalise inside, the
# last of them with a layer behind the pooling.
SOME = ["MobileNet", "VGG16", "DenseNet121", "EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny"]
SHAPE = (32, 32, 3)
FEW = ["MobileNet", "MobileNetV3Small", "ConvNeXtTiny"]
MOBILENET_FILE = "mobilenet_2_5_224_tf_no_top.h5"


def official(name, size, **arguments):
    """The network and the preprocessing as the documentation of Keras has them."""
    function = getattr(keras.applications, name)
    module = getattr(keras.applications, function.__module__.split(".")[-1])
    model = function(
        include_top=False, pooling="avg", input_shape=(size, size, 3), **{"weights": None, **arguments}
    )
    return model, module.preprocess_input


def smallest_size(name):
    """The smallest size of at least 32 pixels that the network takes, from what the refusal says."""
    try:
        build_backbone(find_applications()[name], input_shape=SHAPE)
    except InputError as error:
        return int(re.search(r"at least (\d+)x\1", str(error))[1])
    return 32


def liven(model, x, seed=0):
    """Gives every weight a part in the features, and batch norm what it would have learnt from `x`, nearly.

    Milder than `settle`: what is off by a little in a hundred layers of which each sees a few pixels comes to
    make a difference of everything, and then rounding does too.
    """
    rng = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in model.layers:
        if type(layer).__name__ == "LayerScale":  # starts as good as off
            layer.gamma.assign(rng.uniform(0.2, 0.6, layer.gamma.shape))
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    for norm in norms:
        if norm.gamma is not None:
            norm.gamma.assign(rng.uniform(0.8, 1.2, norm.gamma.shape))
        norm.beta.assign(rng.normal(0.1, 0.2, norm.beta.shape))
        norm.momentum = 0.0
    model(x, training=True)
    for norm in norms:
        variance = np.asarray(norm.moving_variance)
        noise = rng.normal(0, 0.1, variance.shape) * np.sqrt(variance)
        norm.moving_mean.assign(np.asarray(norm.moving_mean) + noise)
        norm.moving_variance.assign(variance * rng.uniform(0.8, 1.2, variance.shape) + 0.1 * variance.mean())


def pooled(model):
    return keras.Model(model.input, model.get_layer("dropout").input)


def give_weights(model, values):
    backbone = backbone_of(model)
    count = len(backbone.weights)
    backbone.set_weights(values[:count])
    behind = [layer for layer in model.layers[model.layers.index(backbone) + 1 : -1] if layer.weights]
    for layer in behind:
        layer.set_weights(values[count:])
    assert count + sum(len(layer.weights) for layer in behind) == len(values)


def check_parity(name, size):
    keras.utils.set_random_seed(0)
    theirs, preprocess = official(name, size)
    x = images(4, size)
    expected_input = preprocess(x.astype(np.float32))
    liven(theirs, expected_input)
    mine = create_model(f"keras/{name}", input_shape=(size, size, 3))
    assert len(backbone_of(mine).output_shape) == 4
    give_weights(mine, theirs.get_weights())
    expected = predict(theirs, expected_input)
    scale = expected.std()
    # Features that tell images apart, and that notice red and blue swapped.
    assert np.abs(expected - expected[::-1]).max() > 1e-2 * scale > 0
    swapped = predict(theirs, preprocess(x[..., ::-1].astype(np.float32)))
    assert np.abs(swapped - expected).max() > 1e-2 * scale
    for given in (x, x.astype(np.float32)):
        assert np.abs(predict(pooled(mine), given) - expected).max() < 1e-3 * scale
    return mine


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in FEW)) for n in SOME])
def test_features_are_those_of_the_official_path(name):
    model = check_parity(name, 32)
    # The twin that `fit` trains a head on drops nothing at random.
    twin = keras.ops.convert_to_numpy(frozen_twin(model)(images(4, 32), training=True))
    np.testing.assert_allclose(twin, predict(model, images(4, 32)), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models("keras/*") if name[6:] not in SOME])
def test_features_of_every_other_one_are_those_of_the_official_path(name):
    check_parity(name[6:], smallest_size(name[6:]))
    keras.backend.clear_session()
    gc.collect()


def test_all_that_keras_offers_is_there():
    capitalised = {name for name in dir(keras.applications) if name[0].isupper()}
    assert len(capitalised) >= 38
    assert {name.removeprefix("keras/") for name in list_models("keras/*")} == capitalised
    assert list_models("*VGG*") == ["keras/VGG16", "keras/VGG19"]


def test_sizes_and_sources_are_found_without_building(monkeypatch):
    def build(*_, **__):
        raise AssertionError("a network is built")

    monkeypatch.setattr("keras.src.layers.Input", build)
    sizes = {name: default_size.__wrapped__(function) for name, function in find_applications().items()}
    assert sizes["EfficientNetB7"] == 600
    assert [sizes[f"EfficientNetV2{kind}"] for kind in ("B0", "B1", "B2", "B3", "S", "M", "L")] == [
        *(224, 240, 260, 300, 384, 480, 480)
    ]
    assert (sizes["NASNetLarge"], sizes["NASNetMobile"], sizes["Xception"]) == (331, 224, 299)
    assert (sizes["MobileNetV3Small"], sizes["ConvNeXtBase"], sizes["VGG16"]) == (224, 224, 224)
    for name in list_models("keras/*"):
        info = model_info(name)
        assert info.image_size == sizes[name.removeprefix("keras/")]
        assert info.url.startswith("https://") and 2014 <= info.year <= 2030, name
        assert info.source[0].isupper() and info.weights_licence and info.weights_available


def test_info_counts_parameters_and_multiply_adds():
    info = model_info("keras/MobileNetV2")
    assert info.parameters == 2_257_984 + 2 * 1281
    assert info.flops == pytest.approx(300e6, rel=0.02)


def test_only_arguments_of_the_architecture_are_offered():
    common = ("input_shape", "num_classes", "weights", "dropout", "head")
    assert model_info("keras/MobileNet").arguments == (*common, "alpha", "depth_multiplier")
    assert model_info("keras/MobileNetV3Large").arguments == (*common, "alpha", "minimalistic")
    assert model_info("keras/ResNet50").arguments == common
    assert {
        p.kind.name for p in signature(model_info("keras/MobileNet").entry_point).parameters.values()
    } == {"KEYWORD_ONLY"}
    model = create_model("keras/MobileNet", input_shape=SHAPE, alpha=0.25, head="sigmoid", dropout=0.4)
    assert model.output_shape == (None, 1)
    assert model.get_layer("dropout").rate == 0.4
    assert backbone_of(model).output_shape == (None, 1, 1, 256)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("keras/InceptionV3", {"input_shape": (64, 64, 3)}, r"keras/InceptionV3 .* at least 75x75"),
        ("keras/Xception", {"input_shape": (70, 80, 3)}, "at least 71x71"),
        ("keras/NASNetLarge", {"input_shape": (31, 31, 3)}, "at least 32"),
        ("keras/ResNet50", {"alpha": 0.5}, "keras/ResNet50 has no argument 'alpha'"),
        ("keras/MobileNet", {"alpha": 0}, "keras/MobileNet can't be built"),
        ("keras/MobileNet", {"alpha": "wide"}, "keras/MobileNet can't be built"),
        ("keras/MobileNet", {"alpha": 0.3, "weights": "imagenet"}, "alpha can be one of"),
        ("keras/VGG16", {"input_shape": (32, 32, 1), "weights": "imagenet"}, "need 3 channels, not 1"),
        ("keras/VGG16", {"weights": "nowhere.h5"}, "nowhere.h5: no such weights file for keras/VGG16"),
        ("keras/MobilNet", {}, "near: keras/MobileNet"),
    ],
)
def test_bad_arguments_are_one_clear_line(name, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        create_model(name, **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["VGG16", "DenseNet121", *FEW])
def test_other_channels_are_normalised_too(name, channels):
    model = create_model(f"keras/{name}", input_shape=(32, 32, channels))
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, channels)).astype(np.uint8)
    assert np.isfinite(predict(model, x)).all()
    first = next(
        layer
        for layer in backbone_of(model).layers
        if isinstance(layer, keras.layers.Conv2D) or layer.weights
    )
    backbone = backbone_of(model)
    before = keras.Model(model.input, backbone._inbound_nodes[-1].input_tensors[0])
    entering = predict(keras.Model(backbone.input, first.input), predict(before, x))
    assert -150 < entering.min() < -0.5
    assert 0.5 < entering.max() < 200 and abs(entering.mean()) < 30


def test_what_mixes_channels_is_refused():
    def grey(x, data_format=None):
        return x.mean(axis=-1, keepdims=True).repeat(3, axis=-1)

    with pytest.raises(ValueError, match="mixes channels"):
        find_normalisation(grey)


@pytest.mark.parametrize("name", FEW)
def test_a_saved_model_is_the_same_without_anything_beside_it(name, tmp_path):
    model = create_model(f"keras/{name}", input_shape=SHAPE)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(model, images(2, 32)), predict(loaded, images(2, 32)))


@pytest.mark.parametrize("name", FEW)
def test_every_kind_freezes_thaws_and_trains(name):
    model = create_model(f"keras/{name}", input_shape=SHAPE)
    everything = len(model.trainable_weights)
    set_trainable(model, "head")
    head = len(model.trainable_weights)
    assert head == (4 if name == "ConvNeXtTiny" else 2)
    set_trainable(model, 0.25)
    assert head < len(model.trainable_weights) < everything / 2
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert np.isfinite(model.train_on_batch(images(2, 32), np.array([0, 1])))
    set_trainable(model, "all")
    assert len(model.trainable_weights) == everything


# Weights.


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["EfficientNetB0", "ConvNeXtTiny"])
def test_a_file_gives_what_keras_makes_of_it_as_imagenet(name, tmp_path, monkeypatch):
    """EfficientNet has a layer more with ImageNet's weights than without: a file must fit the former."""
    with nothing_fetched():
        source, _ = official(name, 32, weights="imagenet")
    liven(source, images(4, 32).astype(np.float32))
    file = tmp_path / "notop.weights.h5"
    source.save_weights(file)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(file))
    theirs, preprocess = official(name, 32, weights="imagenet")
    mine = create_model(f"keras/{name}", input_shape=SHAPE, weights=file)
    expected = predict(theirs, preprocess(images(4, 32).astype(np.float32)))
    assert expected.std() > 0
    assert np.abs(predict(pooled(mine), images(4, 32)) - expected).max() < 1e-3 * expected.std()
    # Pretrained: the statistics stay.
    norms = [each for each in backbone_of(mine).layers if isinstance(each, keras.layers.BatchNormalization)]
    assert not any(norm.trainable for norm in norms)


@pytest.mark.parametrize(
    "name", ["MobileNet", "MobileNetV3Small", pytest.param("NASNetMobile", marks=pytest.mark.slow)]
)
def test_the_published_file_is_the_one_that_keras_asks_for(name, monkeypatch):
    asked = {}

    def get_file(name, url, file_hash=None, **_):
        asked.update(cached_as=name, url=url, md5=file_hash)
        raise InterruptedError

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(InterruptedError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        official(name, 64, weights="imagenet")
    file = published_file(f"keras/{name}", input_shape=(64, 64, 3), dropout=0.5)
    assert (file.file_name, file.url, file.md5) == (asked["cached_as"], asked["url"], asked["md5"])


def test_asking_which_file_leaves_keras_as_it_was():
    before = file_utils.get_file, keras.Model.load_weights
    published_file("keras/MobileNet", alpha=0.25)
    with pytest.raises(InputError):
        published_file("keras/MobileNet", alpha=0.3)
    assert (file_utils.get_file, keras.Model.load_weights) == before


def test_a_file_in_the_cache_of_keras_is_used_without_a_network(keras_home, tmp_path):
    source, _ = official("MobileNet", 32, alpha=0.25)
    source.save_weights(tmp_path / "file.weights.h5")
    shutil.copy(tmp_path / "file.weights.h5", keras_home / "models" / MOBILENET_FILE)
    build = partial(create_model, "keras/MobileNet", input_shape=SHAPE, alpha=0.25)
    path = download_published("keras/MobileNet", input_shape=SHAPE, alpha=0.25)
    assert path == keras_home / "models" / MOBILENET_FILE
    for given in ("imagenet", path):
        for a, b in zip(backbone_of(build(weights=given)).get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_no_network_is_one_line_with_the_way_out(keras_home, monkeypatch):
    monkeypatch.setattr(weights, "_unreachable", lambda url: "no route to host")
    with pytest.raises(InputError, match=r"no route to host.*weights=FILE") as caught:
        create_model("keras/MobileNet", input_shape=SHAPE, weights="imagenet")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_network_is_refused(tmp_path):
    official("MobileNet", 32, alpha=0.25)[0].save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(InputError, match="does not fit mobilenet"):
        create_model("keras/MobileNet", input_shape=SHAPE, weights=tmp_path / "narrow.weights.h5")
    create_model("keras/MobileNet", input_shape=SHAPE, weights=tmp_path / "narrow.weights.h5", alpha=0.25)

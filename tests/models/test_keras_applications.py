"""keras/NAME: all there are, each with the features of its official path, its weights and clear errors."""

import gc
import re
import shutil
import warnings
from contextlib import contextmanager
from functools import partial
from inspect import getmembers, isfunction, ismodule, signature

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils
from parity import images, predict

from cnnzoo.errors import InputError
from cnnzoo.models.catalogue import create_model, download_published, list_models, model_info, published_file
from cnnzoo.models.folding import frozen_and_trained, joined
from cnnzoo.models.keras_applications import build_backbone
from cnnzoo.models.keras_facts import APPLICATIONS
from cnnzoo.models.normalisation import find_normalisation
from cnnzoo.models.transfer import backbone_of, set_trainable
from cnnzoo.models.weights import PublishedFile

# One with [-1, 1], one with BGR minus the mean, one with mean and deviation, three that normalise inside, the
# last of them with a layer behind the pooling.
# The last one is the slowest to build: one test has it always, the others among the slow ones.
CONVNEXT = pytest.param("ConvNeXtTiny", marks=pytest.mark.slow)
SOME = ["MobileNet", "VGG16", "DenseNet121", "EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny"]
SHAPE = (32, 32, 3)
FEW = ["MobileNet", "MobileNetV3Small"]
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
        build_backbone(name, input_shape=SHAPE)
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
    set_trainable(model, "head")
    twin = keras.ops.convert_to_numpy(joined(*frozen_and_trained(model))(images(4, 32), training=True))
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


def test_sizes_and_sources_are_known_without_building(monkeypatch):
    def build(*_, **__):
        raise AssertionError("a network is built")

    monkeypatch.setattr("keras.src.layers.Input", build)
    sizes = {name: model_info(f"keras/{name}").image_size for name in find_applications()}
    assert sizes["EfficientNetB7"] == 600
    assert [sizes[f"EfficientNetV2{kind}"] for kind in ("B0", "B1", "B2", "B3", "S", "M", "L")] == [
        *(224, 240, 260, 300, 384, 480, 480)
    ]
    assert (sizes["NASNetLarge"], sizes["NASNetMobile"], sizes["Xception"]) == (331, 224, 299)
    assert (sizes["MobileNetV3Small"], sizes["ConvNeXtBase"], sizes["VGG16"]) == (224, 224, 224)
    for name in list_models("keras/*"):
        info = model_info(name)
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
    assert model_info("keras/MobileNet").defaults == {
        **{"input_shape": None, "num_classes": 2, "weights": None, "dropout": 0.0, "head": "softmax"},
        **{"alpha": 1.0, "depth_multiplier": 1},
    }
    parameters = signature(model_info("keras/MobileNet").entry_point).parameters.values()
    assert {each.kind.name for each in parameters} == {"KEYWORD_ONLY", "VAR_KEYWORD"}
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
@pytest.mark.parametrize("name", ["VGG16", "DenseNet121", *FEW, CONVNEXT])
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


@pytest.mark.parametrize("name", [*FEW, CONVNEXT])
def test_a_saved_model_is_the_same_without_anything_beside_it(name, tmp_path):
    model = create_model(f"keras/{name}", input_shape=SHAPE)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(model, images(2, 32)), predict(loaded, images(2, 32)))


@pytest.mark.parametrize("name", [*FEW, CONVNEXT])
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


# The table of `keras_facts` against the installed Keras. Where one of these fails with a newer Keras, bring
# the table up to date: what Keras added is added to it, what Keras changed is changed in it.

# What every function of keras.applications that builds a network takes, and nothing else there does.
COMMON = {"include_top", "weights", "input_tensor", "input_shape", "pooling", "classes"}

# What belongs to the top that is left out, or to the input: `transfer_model` sees to both.
NOT_OURS = {*COMMON, "classifier_activation", "name", "include_preprocessing", "dropout", "dropout_rate"}


def find_applications():
    """The functions of keras.applications and its modules that build a network, by name."""
    home = keras.applications
    return {
        name: function
        for module in [home, *(module for _, module in getmembers(home, ismodule))]
        for name, function in getmembers(module, isfunction)
        if set(signature(function).parameters) >= COMMON
    }


@contextmanager
def nothing_fetched():
    """Lets Keras build what ImageNet's weights fit without these; yields the files that it asks for."""
    asked = []

    def get_file(fname, origin, *_, file_hash=None, **__):
        asked.append(PublishedFile(origin, md5=file_hash, cached_as=fname))
        return fname

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some sizes share a file
        patch.setattr(file_utils, "get_file", get_file)
        patch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
        yield asked


def size_in_keras(function):
    """Where Keras refuses another size for the whole network it names it; MobileNetV3 has it documented."""
    with nothing_fetched(), pytest.raises(ValueError) as refused:
        function(weights="imagenet", input_shape=(1, 1, 3))
    for text in (str(refused.value), function.__doc__):
        if found := re.search(r"\((\d\d+), \1, 3\)", text):
            return int(found[1])
    return 224


def paper_in_keras(function):
    """Title with venue, address, and year of the first version on arXiv, as documented."""
    text = " ".join(function.__doc__.split())
    found = re.search(r"References?: ?-? ?\[(.*?)\] ?\( ?(\S+?)\)(?: ?\(([^()]*)\))?", text)
    title, url, venue = found.groups()
    year = 2000 + int(re.search(r"arxiv\.org/\w+/(\d\d)", url)[1])
    return f"{title}, {venue}" if venue else title, url.replace("http://", "https://"), year


def test_the_table_names_what_keras_offers():
    missing, gone = (
        find_applications().keys() - APPLICATIONS.keys(),
        APPLICATIONS.keys() - find_applications(),
    )
    assert not missing, f"this Keras has {missing}: add them to cnnzoo/models/keras_facts.py"
    assert not gone, f"this Keras lacks {gone}: take them out of cnnzoo/models/keras_facts.py"


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_the_table_has_the_facts_of_keras(name):
    function, facts = find_applications()[name], APPLICATIONS[name]
    assert facts.size == size_in_keras(function)
    assert (facts.paper.source, facts.paper.url, facts.paper.year) == paper_in_keras(function)
    parameters = signature(function).parameters
    assert facts.arguments == {key: parameters[key].default for key in parameters if key not in NOT_OURS}
    accepted = {key: each.default for key, each in signature(facts.weights_file).parameters.items()}
    assert {key: default for key, default in accepted.items() if key != "input_shape"} == facts.arguments


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in FEW)) for name in sorted(APPLICATIONS)],
)
def test_the_table_has_the_file_and_the_layers_of_keras(name):
    with nothing_fetched() as asked:
        theirs, _ = official(name, 96, weights="imagenet")
    file = published_file(f"keras/{name}", input_shape=(96, 96, 3), dropout=0.5)
    assert [(file.file_name, file.url, file.md5)] == [(each.file_name, each.url, each.md5) for each in asked]
    plain = [type(layer).__name__ for layer in official(name, 96)[0].layers]
    deviation = APPLICATIONS[name].deviation
    if deviation:
        place = plain.index("Normalization") + 1
        plain.insert(place, "Rescaling")
        np.testing.assert_allclose(theirs.layers[place].scale, 1 / np.sqrt(deviation))
        assert theirs.layers[place].offset == 0
    assert [type(layer).__name__ for layer in theirs.layers] == plain
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize(
    ("name", "size", "arguments"),
    [
        ("MobileNet", 128, {"alpha": 0.25}),
        ("MobileNet", 192, {"alpha": 0.5}),
        ("MobileNet", 96, {"alpha": 0.75}),
        ("MobileNetV2", 96, {"alpha": 0.35}),
        ("MobileNetV2", 160, {"alpha": 1.4}),
        ("MobileNetV2", 100, {"alpha": 1}),
        *(
            (f"MobileNetV3{kind}", 64, arguments)
            for kind in ("Small", "Large")
            for arguments in ({"alpha": 0.75}, {"minimalistic": True})
        ),
    ],
)
def test_the_file_for_a_size_and_arguments_is_that_of_keras(name, size, arguments):
    with nothing_fetched() as asked:
        official(name, size, weights="imagenet", **arguments)
    file = published_file(f"keras/{name}", input_shape=(size, size, 3), **arguments)
    assert [(file.file_name, file.url, file.md5)] == [(each.file_name, each.url, each.md5) for each in asked]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MobileNet", {"alpha": 0.3}),
        ("MobileNet", {"alpha": 1.3}),
        ("MobileNet", {"depth_multiplier": 2}),
        ("MobileNetV2", {"alpha": 0.25}),
        ("MobileNetV3Small", {"alpha": 0.5}),
        ("MobileNetV3Large", {"alpha": 0.75, "minimalistic": True}),
    ],
)
def test_no_file_is_published_where_keras_has_none(name, arguments):
    with nothing_fetched(), pytest.raises(ValueError, match="imagenet weights"):
        official(name, 96, weights="imagenet", **arguments)
    with pytest.raises(InputError, match=f"no weights are published for .*{next(iter(arguments))} can be"):
        published_file(f"keras/{name}", **arguments)


def test_a_square_of_a_published_side_and_only_that_has_its_own_file():
    shapes = [(160, 160, 3), (160, 128, 3), (161, 161, 3), (224, 224, 3)]
    files = [published_file("keras/MobileNet", input_shape=shape).file_name for shape in shapes]
    assert [name.split("_")[3] for name in files] == ["160", "224", "224", "224"]


# Weights.


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["EfficientNetB0", pytest.param("ConvNeXtTiny", marks=pytest.mark.slow)])
def test_a_file_gives_what_keras_makes_of_it_as_imagenet(name, tmp_path, monkeypatch):
    """EfficientNet has a layer more with ImageNet's weights than without: a file must fit the former."""
    with nothing_fetched():
        source, _ = official(name, 32, weights="imagenet")
    liven(source, images(4, 32).astype(np.float32))
    inside = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    if inside.weights:
        inside.set_weights([np.array(values) for values in ([0.485, 0.456, 0.406], [0.052, 0.050, 0.051], 0)])
        inside.finalize_state()
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


@pytest.mark.slow
def test_what_is_saved_from_a_backbone_is_what_it_takes(tmp_path):
    file = tmp_path / "mine.weights.h5"
    backbone_of(create_model("keras/EfficientNetB0", input_shape=SHAPE)).save_weights(file)
    first = create_model("keras/EfficientNetB0", input_shape=SHAPE, weights=file)
    backbone_of(first).save_weights(tmp_path / "again.weights.h5")
    second = create_model("keras/EfficientNetB0", input_shape=SHAPE, weights=tmp_path / "again.weights.h5")
    x = images(2, 32)
    np.testing.assert_array_equal(predict(pooled(first), x), predict(pooled(second), x))


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
    def refuse(*_):
        raise OSError("no route to host")

    monkeypatch.setattr("cnnzoo.download.build_opener", refuse)
    with pytest.raises(InputError, match=r"no route to host.*weights=FILE") as caught:
        create_model("keras/MobileNet", input_shape=SHAPE, weights="imagenet")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_network_is_refused(tmp_path):
    official("MobileNet", 32, alpha=0.25)[0].save_weights(tmp_path / "narrow.weights.h5")
    with pytest.raises(InputError, match="does not fit mobilenet"):
        create_model("keras/MobileNet", input_shape=SHAPE, weights=tmp_path / "narrow.weights.h5")
    create_model("keras/MobileNet", input_shape=SHAPE, weights=tmp_path / "narrow.weights.h5", alpha=0.25)

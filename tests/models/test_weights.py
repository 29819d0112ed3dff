"""Pretrained weights: every layout loads, every misfit is one clear line, nothing hangs without a network."""

import hashlib
import shutil
import urllib.error
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cnnzoo.errors import InputError
from cnnzoo.files import sha256_of
from cnnzoo.models.catalogue import create_model, download_published, model_info, published_file
from cnnzoo.models.families.mobilenet_v2 import mobilenet_v2_backbone
from cnnzoo.models.transfer import backbone_of
from cnnzoo.models.weights import find_weights, load_weights

SHARED = Path(__file__).parents[3] / "shared" / "weights"
SHAPE = (64, 64, 3)


def write_legacy(model, path, *, root=""):
    """Writes what Keras 2's `save_weights` wrote: layers and weights by name, their order in attributes."""
    with h5py.File(path, "w") as file:
        group = file.require_group(root) if root else file
        group.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for layer in model.layers:
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            inner = group.create_group(layer.name)
            inner.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                inner.create_dataset(name, data=np.asarray(weight.value))


def scramble(model):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))


@pytest.fixture(scope="module")
def theirs():
    model = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=SHAPE, alpha=0.35)
    scramble(model)
    return model


@pytest.fixture(scope="module")
def files(theirs, tmp_path_factory):
    """The same weights in every layout, under right and under misleading names."""
    folder = tmp_path_factory.mktemp("weights")
    write_legacy(theirs, folder / "legacy.h5")
    write_legacy(theirs, folder / "legacy_whole_model.h5", root="model_weights")
    theirs.save_weights(folder / "keras3.weights.h5")
    shutil.copy(folder / "legacy.h5", folder / "legacy.weights.h5")
    shutil.copy(folder / "keras3.weights.h5", folder / "keras3.h5")
    shutil.copy(folder / "legacy.h5", folder / "no suffix")
    return folder


def assert_same_weights(mine, theirs):
    for layer in (layer for layer in theirs.layers if layer.weights):
        for a, b in zip(mine.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "name",
    [
        "legacy.h5",
        "legacy_whole_model.h5",
        "keras3.weights.h5",
        "legacy.weights.h5",
        "keras3.h5",
        "no suffix",
    ],
)
def test_every_layout_loads_whatever_its_name(files, theirs, name):
    mine = mobilenet_v2_backbone(input_shape=SHAPE, alpha=0.35)
    load_weights(mine, files / name)
    assert_same_weights(mine, theirs)


def test_resnet50_loads_the_layout_of_the_official_file(tmp_path):
    theirs = keras.applications.ResNet50(include_top=False, weights=None, input_shape=SHAPE)
    scramble(theirs)
    write_legacy(theirs, tmp_path / "resnet50_notop.h5")
    mine = backbone_of(create_model("resnet50", input_shape=SHAPE))
    load_weights(mine, tmp_path / "resnet50_notop.h5")
    assert_same_weights(mine, theirs)


def test_create_model_takes_a_file_as_text_or_path(files, theirs):
    for path in (files / "legacy.h5", str(files / "keras3.weights.h5")):
        model = create_model("mobilenet_v2", input_shape=SHAPE, alpha=0.35, weights=path)
        assert_same_weights(model.get_layer("mobilenet_v2"), theirs)


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v2_1.0_224_no_top_from_int8_ptq.weights.h5", "mobilenet_v2_0.35_224_no_top.weights.h5"],
)
def test_shared_files_load(name):
    if not (SHARED / name).is_file():
        pytest.skip(f"{SHARED / name} is not here")
    alpha = float(name.split("_")[2])
    theirs = keras.applications.MobileNetV2(include_top=False, weights=None, alpha=alpha)
    theirs.load_weights(SHARED / name)
    model = create_model("mobilenet_v2", weights=SHARED / name, alpha=alpha)
    assert_same_weights(model.get_layer("mobilenet_v2"), theirs)


def one_line(caught):
    return "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["legacy.h5", "keras3.weights.h5"])
def test_a_file_of_another_model_is_named_with_what_was_expected(files, layout):
    with pytest.raises(
        InputError, match=rf"{layout}: does not fit mobilenet_v2 .* expected 260 arrays"
    ) as caught:
        create_model("mobilenet_v2", input_shape=SHAPE, weights=files / layout)
    assert one_line(caught)
    with pytest.raises(InputError, match=r"260 arrays .* expected 318 arrays with 23,587,712 numbers"):
        create_model("resnet50", input_shape=SHAPE, weights=files / layout)


def test_a_file_with_the_top_is_told_from_one_without(tmp_path):
    whole = keras.applications.MobileNetV2(weights=None, input_shape=SHAPE, alpha=0.35, classes=2)
    whole.save_weights(tmp_path / "with_top.weights.h5")
    with pytest.raises(InputError, match="take the file without the top"):
        load_weights(mobilenet_v2_backbone(input_shape=SHAPE, alpha=0.35), tmp_path / "with_top.weights.h5")


def test_the_same_arrays_in_another_order_do_not_fit(files, tmp_path):
    swapped = tmp_path / "swapped.h5"
    shutil.copy(files / "legacy.h5", swapped)
    with h5py.File(swapped, "r+") as file:
        file.attrs["layer_names"] = file.attrs["layer_names"][::-1]
    with pytest.raises(InputError, match=r"swapped\.h5: does not fit") as caught:
        load_weights(mobilenet_v2_backbone(input_shape=SHAPE, alpha=0.35), swapped)
    assert one_line(caught)


def test_damaged_and_foreign_files(files, tmp_path):
    backbone = mobilenet_v2_backbone(input_shape=SHAPE, alpha=0.35)
    content = (files / "legacy.h5").read_bytes()
    for name, data in {"text.h5": b"hello", "empty.h5": b"", "cut.h5": content[: len(content) // 2]}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{name}: not an HDF5 weights file, or cut off") as caught:
            load_weights(backbone, tmp_path / name)
        assert one_line(caught)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["table"] = np.zeros(3)
    with pytest.raises(InputError, match=r"other\.h5: does not fit .* 1 arrays with 3 numbers"):
        load_weights(backbone, tmp_path / "other.h5")


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "missing.h5", tmp_path):
        with pytest.raises(InputError, match=f"{path}: no such weights file for resnet50"):
            find_weights("resnet50", path, channels=3)


def test_pretrained_weights_need_three_channels(files):
    with pytest.raises(InputError, match="need 3 channels, not 1"):
        create_model("mobilenet_v2", input_shape=(64, 64, 1), weights=files / "legacy.h5", alpha=0.35)


def test_none_finds_nothing():
    assert find_weights("resnet50", None, channels=3) is None


@pytest.mark.parametrize(
    ("alpha", "size"), [(0.35, 96), (0.5, 128), (0.75, 160), (1.0, 192), (1.3, 224), (1.4, 181)]
)
def test_mobilenet_v2_files_are_those_of_keras_applications(monkeypatch, alpha, size):
    asked = {}

    def get_file(name, url, **_):
        asked["url"] = url
        raise InterruptedError

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    # The warning says that size 181 takes the file of 224, which is what is tested.
    with pytest.raises(InterruptedError), pytest.warns() if size == 181 else monkeypatch.context():
        keras.applications.MobileNetV2(include_top=False, input_shape=(size, size, 3), alpha=alpha)
    assert published_file("mobilenet_v2", input_shape=(size, size, 3), alpha=alpha).url == asked["url"]


def test_resnet50_file_and_hash_are_those_of_keras_applications():
    from keras.src.applications import resnet

    file = published_file("resnet50", input_shape=SHAPE, dropout=0.5)
    assert file.url == f"{resnet.BASE_WEIGHTS_PATH}resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert file.md5 == resnet.WEIGHTS_HASHES["resnet50"][1]


def test_what_is_not_published():
    assert model_info("mobilenet_v2").weights_available
    assert not model_info("three_conv").weights_available
    with pytest.raises(InputError, match="no weights are published for three_conv"):
        download_published("three_conv")
    with pytest.raises(InputError, match=r"alpha=0\.6; there are for 0\.35"):
        download_published("mobilenet_v2", alpha=0.6)


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path


def test_no_network_is_one_line_with_the_way_out(keras_home, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("cnnzoo.download.build_opener", refuse)
    with pytest.raises(InputError, match=r"no route to host.*weights=FILE") as caught:
        create_model("resnet50", input_shape=SHAPE, weights="imagenet")
    assert one_line(caught)


def test_a_file_in_the_cache_of_keras_is_used_without_a_network(keras_home, files):
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    shutil.copy(files / "legacy.h5", keras_home / "models" / name)
    assert (
        download_published("mobilenet_v2", input_shape=(96, 96, 3), alpha=0.35)
        == keras_home / "models" / name
    )
    create_model("mobilenet_v2", input_shape=(96, 96, 3), alpha=0.35, weights="imagenet")


def test_fingerprint_is_the_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()

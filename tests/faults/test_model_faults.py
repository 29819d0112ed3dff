"""Model files that are hostile, damaged, or of another kind than what is asked about images."""

import io
import json
import math
import os
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import cnnzoo
from cnnzoo.backend import check_backend
from cnnzoo.evaluation.calibration import Decision
from cnnzoo.models.weights import load_weights

NAMES = ("crack", "plain")
MARK = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\ndef evil(*a, **k): pass\n"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The members of a small model that loads."""
    path = tmp_path_factory.mktemp("good") / "good.keras"
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", name="head")(x))
    cnnzoo.save_model(model, path, class_names=NAMES)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(path):
    """What a file is refused with: one line that names it."""
    with pytest.raises(cnnzoo.InputError) as caught:
        cnnzoo.load_model(path)
    said = str(caught.value)
    assert "\n" not in said and str(path) in said and len(said) < 1000
    return said


def test_the_small_model_itself_loads(good, tmp_path):
    """A model file that nobody tampered with loads, whether its archive is compressed or not."""
    zeros = h5_edited(good, lambda file: file[KERNEL].write_direct(np.zeros((4, 2), "f4")))
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        cnnzoo.load_model(write(tmp_path / "m.keras", zeros, compression))
        loaded = cnnzoo.load_model(write(tmp_path / "m.keras", good, compression))
        assert loaded.class_names == NAMES


def named(module, name, config=None, registered=None):
    return {"module": module, "class_name": name, "config": config or {}, "registered_name": registered}


FOREIGN = {
    "a module of this folder": named("keras_hub", "evil"),
    "another that Keras trusts": named("keras_cv.layers", "evil"),
    "a third": named("keras_nlp", "evil"),
    "any module": named("evil", "evil"),
    "a module below keras": named("keras.evil", "evil"),
    "a program": named("subprocess", "Popen", {"args": "touch evil.ran"}),
    "a builtin": named("builtins", "exec"),
    "a name that looks like TensorFlow": named("tensorflow_evil", "evil"),
    "a download": named("keras.utils", "get_file", {"origin": "file:///etc/passwd"}),
    "a download by its inner name": named("keras.src.utils.file_utils", "get_file"),
    "a class that is no building block": named("keras.src.saving.saving_lib", "DiskIOStore"),
    "a pickled function": named(None, "__lambda__", {"value": "4wAA"}),
    "a type of TensorFlow's": named("os", "__typespec__", [], "x"),
    "a layer of code": named("keras.layers", "Lambda", {"function": "evil"}),
    "a layer of code by its inner name": named("keras.src.layers.core.lambda_layer", "Lambda"),
    "a saved model of TensorFlow": named("keras.layers", "TFSMLayer", {"filepath": "."}),
    "a pickle of PyTorch": named("keras.layers", "TorchModuleWrapper", {"module": "x"}),
    "code of JAX": named("keras.layers", "JaxLayer"),
    "a file that is read": named("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    "another file": named("keras.layers", "TextVectorization", {"vocabulary": "/etc/passwd"}),
    "a function of a module": {**named("evil", "function", registered="evil"), "config": "evil"},
    "a function of Python's": {**named("os", "function", registered="system"), "config": "system"},
    "a function that looks others up": {**named("builtins", "function"), "config": "deserialize"},
    "a name that is registered nowhere": named(None, "Mine", registered="mine>Mine"),
    "no module": {"class_name": "Lambda", "config": {}},
    "no name": named("keras.layers", None),
    "a name that is a list": named("keras.layers", ["Dense"]),
}


def places(config):
    """Where in the config of a model something can be named, shallow and deep."""
    conv, head = config["config"]["layers"][1], config["config"]["layers"][-1]
    return {
        "the model": (None, None),
        "a layer": (config["config"]["layers"], 1),
        "an initialiser": (conv["config"], "kernel_initializer"),
        "an activation": (head["config"], "activation"),
        "a precision": (conv["config"], "dtype"),
        "what a layer is called with": (head["inbound_nodes"][0]["kwargs"], "mask"),
        "deep below": (conv["config"], "kernel_regularizer"),
    }


@pytest.mark.parametrize("entry", FOREIGN.values(), ids=FOREIGN)
def test_a_model_that_names_code_is_refused_and_nothing_runs(
    good, entry, tmp_path, monkeypatch, record_property
):
    """A model file that names code, in this folder, Python or Keras, is refused before any of it runs."""
    for module in ("keras_hub", "keras_cv", "keras_nlp", "evil", "tensorflow_evil"):
        (tmp_path / f"{module}.py").write_text(MARK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tried = list(places(json.loads(good["config.json"])))
    for place in tried:
        config = json.loads(good["config.json"])
        holder, key = places(config)[place]
        if holder is None:
            config = entry
        else:
            holder[key] = {"deep": [[{"er": entry}]]} if place == "deep below" else entry
        file = write(tmp_path / "m.keras", {**good, "config.json": json.dumps(config)})
        assert "it names" in refusal(file), place
    assert not list(tmp_path.glob("*.ran"))
    record_property("tried", len(tried))


def h5_edited(good, edit):
    content = io.BytesIO(good["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        edit(file)
    return {**good, "model.weights.h5": content.getvalue()}


KERNEL = "layers/dense/vars/0"


def replaced(file, **how):
    del file[KERNEL]
    return file.create_dataset(KERNEL, **how)


def virtual(file):
    del file[KERNEL]
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4, 2))
    file.create_virtual_dataset(KERNEL, layout)


def linked(file, link):
    del file[KERNEL]
    file[KERNEL] = link


def number(file, value):
    file[KERNEL][0, 0] = value


WEIGHTS = {
    "a link to another file": (lambda f: linked(f, h5py.ExternalLink("/tmp/o.h5", "x")), "is a link"),
    "a link inside": (lambda f: linked(f, h5py.SoftLink("/layers/dense/vars/1")), "is a link"),
    "an array in another file": (
        lambda f: replaced(f, shape=(4, 2), dtype="f4", external=[("/etc/passwd", 0, 32)]),
        "another file",
    ),
    "a virtual array": (virtual, "another file"),
    "an array of 4 TB": (lambda f: replaced(f, shape=(10**6, 10**6), dtype="f4"), "would take"),
    "an array that is compressed": (
        lambda f: replaced(f, shape=(4000, 4000), dtype="f4", chunks=True, compression="gzip", fillvalue=1),
        "would take",
    ),
    "texts": (lambda f: replaced(f, data=["a"] * 8, dtype=h5py.string_dtype()), "no numbers"),
    "another shape": (lambda f: replaced(f, data=np.zeros((3, 2), "f4")), "can't be used"),
    "nothing": (lambda f: f.__delitem__(KERNEL), "can't be used"),
    "NaN": (lambda f: number(f, math.nan), "head/kernel holds NaN or infinity"),
    "infinity": (lambda f: number(f, -math.inf), "head/kernel holds NaN or infinity"),
}


@pytest.mark.parametrize(("edit", "says"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_lead_elsewhere_or_are_no_numbers_are_refused(good, edit, says, tmp_path):
    """Weights that lead out of their file, would fill the memory, don't fit or are NaN are refused."""
    assert says in refusal(write(tmp_path / "m.keras", h5_edited(good, edit)))


def without(good, *names):
    return {name: content for name, content in good.items() if name not in names}


ARCHIVES = {
    "no config": lambda good: without(good, "config.json"),
    "no weights": lambda good: without(good, "model.weights.h5"),
    "weights of numpy": lambda good: {**without(good, "model.weights.h5"), "model.weights.npz": b"PK"},
    "a name that leads out": lambda good: {**good, "../evil.ran": b"x"},
    "an absolute name": lambda good: {**good, "/tmp/evil.ran": b"x"},
    "assets": lambda good: {**good, "assets/vocabulary.txt": b"x"},
    "a name with an escape sequence": lambda good: {**good, "\x1b[31m\nevil": b"x"},
    "no weights but text": lambda good: {**good, "model.weights.h5": b"hello"},
    "weights cut off": lambda good: {**good, "model.weights.h5": good["model.weights.h5"][:2000]},
    "no JSON": lambda good: {**good, "config.json": b"{"},
    "a list": lambda good: {**good, "config.json": b"[]"},
    "null": lambda good: {**good, "config.json": b"null"},
    "no text": lambda good: {**good, "config.json": b"\xff\xfe\x00"},
    "nothing in it": lambda good: {**good, "config.json": b"{}"},
    "a deep nesting": lambda good: {**good, "config.json": b"[" * 200_000},
    "a deep nesting of objects": lambda good: {
        **good,
        "config.json": b'{"config":' * 900 + b"1" + b"}" * 900,
    },
}


@pytest.mark.parametrize("edit", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_holds_something_else_is_refused(good, edit, tmp_path):
    """A model file with surplus, missing or damaged parts is refused, and nothing is unpacked."""
    place = tmp_path / "place"
    place.mkdir()
    refusal(write(place / "m.keras", edit(good)))
    assert [path.name for path in tmp_path.rglob("*")] == ["place", "m.keras"]


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "cnnzoo.json", "metadata.json", "other"])
def test_an_archive_bomb_costs_nothing(good, name, tmp_path, record_property):
    """A model file that would unpack to far more than it has is refused before it takes memory or time."""
    file = write(tmp_path / "m.keras", {**good, name: bytes(32 << 20)}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    began = time.perf_counter()
    refusal(file)
    seconds, most = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 1 and most < 20 << 20
    record_property("measured", f"{seconds:.2f} s, {most / 2**20:.0f} MiB for 32 MiB")


def test_a_member_that_is_there_twice_is_refused(good, tmp_path):
    """A model file with two members of one name is refused: two readers could see two models."""
    path = write(tmp_path / "m.keras", good)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", good["config.json"])
    assert "twice" in refusal(path)


def changed(good, layer, **settings):
    config = json.loads(good["config.json"])
    entry = config["config"]["layers"][layer]
    entry["config"].update(settings)
    return {**good, "config.json": json.dumps(config)}


HUGE = {
    "a billion units": lambda good: changed(good, -1, units=10**9),
    "a hundred million numbers of padding": lambda good: changed(
        good, 1, kernel_size=[10**4, 10**4], padding="same"
    ),
    "a kernel of the size of a town": lambda good: changed(
        good, 1, kernel_size=[10**5, 10**5], padding="same"
    ),
    "images of 10 gigapixels": lambda good: changed(good, 0, batch_shape=[None, 100_000, 100_000, 3]),
}


@pytest.mark.parametrize("edit", HUGE.values(), ids=HUGE)
def test_a_model_too_large_for_its_file_is_refused_before_it_is_built(good, edit, tmp_path):
    """A model file that describes a model of billions of numbers is refused before memory is taken for it."""
    began = time.perf_counter()
    said = refusal(write(tmp_path / "m.keras", edit(good)))
    assert "weights, more than fit" in said or "numbers for one image" in said
    assert time.perf_counter() - began < 2
    # What was counted must not be made later either.
    with keras.StatelessScope():
        pass
    assert time.perf_counter() - began < 3


def conv_net(shape=(16, 16, 3), end=None, **arguments):
    inputs = keras.Input(shape)
    x = layers.GlobalAveragePooling2D(**arguments)(layers.Conv2D(4, 3, padding="same", **arguments)(inputs))
    return keras.Model(inputs, (end or layers.Dense(2, activation="softmax"))(x))


def two_inputs():
    a, b = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Add()([a, b]))
    return keras.Model([a, b], layers.Dense(2, activation="softmax")(x))


def two_outputs():
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, [layers.Dense(2, activation="softmax")(x) for _ in range(2)])


def vector():
    return keras.Sequential([keras.Input((12,)), layers.Dense(2, activation="softmax")])


def ends(*units):
    return lambda: conv_net(end=keras.Sequential(list(units)))


MISFITS = {
    "gray": (lambda: conv_net((16, 16, 1)), "(None, 16, 16, 1)"),
    "four channels": (lambda: conv_net((16, 16, 4)), "(None, 16, 16, 4)"),
    "channels first": (lambda: conv_net((3, 16, 16)), "(None, 3, 16, 16)"),
    "not square": (lambda: conv_net((16, 24, 3)), "(None, 16, 24, 3)"),
    "of any size": (lambda: conv_net((None, None, 3)), "(None, None, None, 3)"),
    "two inputs": (two_inputs, "expected one input"),
    "two outputs": (two_outputs, "expected one output"),
    "a vector": (vector, "(None, 12)"),
    "not built": (lambda: keras.Sequential([layers.Dense(2, activation="softmax")]), "not built"),
    "an image comes out": (
        lambda: keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(2, 1, activation="softmax")]),
        "expected an output",
    ),
    "no softmax": (lambda: conv_net(end=layers.Dense(2)), "ends in 'linear'"),
    "no sigmoid": (lambda: conv_net(end=layers.Dense(1)), "ends in 'linear'"),
    "ReLU": (lambda: conv_net(end=layers.Dense(2, activation="relu")), "ends in 'relu'"),
    "tanh": (lambda: conv_net(end=layers.Dense(1, activation="tanh")), "ends in 'tanh'"),
    "no softmax in a nested model": (ends(layers.Dense(2)), "ends in 'linear'"),
    "no softmax behind a cast": (
        ends(layers.Dense(2), layers.Activation("linear", dtype="float32")),
        "probabilities",
    ),
    "no softmax behind dropout": (ends(layers.Dense(3), layers.Dropout(0.1)), "probabilities"),
    "three sigmoid units": (lambda: conv_net(end=layers.Dense(3, activation="sigmoid")), "it has 3"),
    "a softmax over one": (lambda: conv_net(end=layers.Dense(1, activation="softmax")), "always 1"),
}


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
@pytest.mark.parametrize(("build", "says"), MISFITS.values(), ids=MISFITS)
def test_a_model_that_takes_or_gives_something_else_is_refused(build, says, tmp_path):
    """A model of another kind is refused with what was expected and what it is, before any image is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a model that is not built
        build().save(tmp_path / "m.keras")
    assert says in refusal(tmp_path / "m.keras")


ENDINGS = {
    "softmax": lambda: conv_net(),
    "sigmoid": lambda: conv_net(end=layers.Dense(1, activation="sigmoid")),
    "a layer": ends(layers.Dense(3), layers.Softmax()),
    "behind a cast": ends(
        layers.Dense(3, activation="softmax"), layers.Activation("linear", dtype="float32")
    ),
    "behind an identity": ends(layers.Dense(1, activation="sigmoid"), layers.Identity()),
    "nested twice": ends(keras.Sequential([layers.Dense(2), layers.Activation("softmax")])),
    "averaged": lambda: keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(2, 1, activation="softmax"), layers.GlobalAveragePooling2D()]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("build", ENDINGS.values(), ids=ENDINGS)
def test_every_way_to_end_in_probabilities_is_taken(build, tmp_path):
    """A model that gives probabilities loads, however it comes by them."""
    build().save(tmp_path / "m.keras")
    assert cnnzoo.load_model(tmp_path / "m.keras").class_names[:2] == ("class 0", "class 1")


PARTS = {
    "one name": {"class_names": ["a"]},
    "three names": {"class_names": ["a", "b", "c"]},
    "no names": {"class_names": []},
    "null for names": {"class_names": None},
    "the same name twice": {"class_names": ["a", "a"]},
    "numbers for names": {"class_names": [0, 1]},
    "lists for names": {"class_names": [["a"], ["b"]]},
    "a text for names": {"class_names": "ab"},
    "an object for names": {"class_names": {"a": 0, "b": 1}},
    "an empty name": {"class_names": ["", "b"]},
    **{
        f"a temperature of {value}": {"decision": {"temperature": value}}
        for value in (0, -1, math.nan, math.inf, 1e-300, 1e300, "1", None, True, [1])
    },
    **{
        f"a threshold of {value}": {"decision": {"positive": "crack", "threshold": value}}
        for value in (-0.1, 1.1, math.nan, math.inf, "0.5", True, [0.5])
    },
    "a threshold for no class": {"decision": {"threshold": 0.5}},
    "another class": {"decision": {"positive": "hole", "threshold": 0.5}},
    "a recall without a threshold": {"decision": {"positive": "crack", "recalls": [[0.9]]}},
    "a recall of 2": {"decision": {"positive": "crack", "recalls": [[2, 0.5]]}},
    "a text for recalls": {"decision": {"positive": "crack", "recalls": "ab"}},
    "a number for recalls": {"decision": {"positive": "crack", "recalls": 3}},
    "a number for a class": {"decision": {"positive": 1}},
    "an unknown setting": {"decision": {"code": "print(1)"}},
    "null for the decision": {"decision": None},
    "a list for the decision": {"decision": [1.0]},
    **{
        f"{value} pixels": {"image_pixels": value}
        for value in ([0, 5], [-3, 5], [1.5, 2], [math.nan, 2], [5], [1, 2, 3], "ab", 7, [10**9, 1], {"a": 1})
    },
}


@pytest.mark.parametrize("content", PARTS.values(), ids=PARTS)
def test_names_and_decisions_that_can_not_be_are_refused(good, content, tmp_path):
    """Names, temperatures and thresholds that don't fit the model are refused with the reason."""
    whole = {"class_names": NAMES, **content}
    file = write(tmp_path / "m.keras", {**good, "cnnzoo.json": json.dumps(whole)})
    assert "cnnzoo.json in it is damaged" in refusal(file)


@pytest.mark.parametrize(
    "arguments",
    [
        {"decision": Decision(temperature=0)},
        {"decision": Decision(temperature=math.nan)},
        {"decision": Decision(positive="hole")},
        {"decision": Decision(threshold=0.5)},
        {"decision": Decision(positive="crack", threshold=2)},
        {"image_pixels": (0, 3)},
        {"class_names": (1, 2)},
    ],
)
def test_what_would_not_load_is_not_saved(arguments, tmp_path):
    """Names and decisions that would be refused when a model is loaded are refused when it is saved."""
    with pytest.raises(cnnzoo.InputError):
        cnnzoo.save_model(conv_net(), tmp_path / "m.keras", **{"class_names": NAMES, **arguments})
    assert not list(tmp_path.iterdir())


def flipped(content, rng):
    data = bytearray(content)
    for at in rng.integers(0, len(data), rng.integers(1, 4)):
        data[at] ^= 1 << rng.integers(8)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("inside", [False, True], ids=["file", "weights"])
def test_flipped_bits_never_end_in_a_traceback(good, inside, tmp_path, record_property):
    """A model file with flipped bits is refused in one line, or is used as what it still says."""
    rng = np.random.default_rng(0)
    whole = write(tmp_path / "m.keras", good).read_bytes()
    images = np.full((1, 16, 16, 3), 99, np.uint8)
    before, refused = cnnzoo.load_model(tmp_path / "m.keras").model(images).numpy(), 0
    for _ in range(200):
        if inside:
            write(
                tmp_path / "m.keras",
                {**good, "model.weights.h5": flipped(good["model.weights.h5"], rng)},
            )
        else:
            (tmp_path / "m.keras").write_bytes(flipped(whole, rng))
        try:
            after = cnnzoo.load_model(tmp_path / "m.keras").model(images).numpy()
        except cnnzoo.InputError as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        # A checksum guards what the archive holds; with a checksum made anew, numbers may differ.
        assert inside or np.array_equal(after, before)
    record_property("tried", 200)
    record_property("measured", f"{refused} of 200 refused")


def slots(item):
    """Every place in a config that something else can stand in."""
    for key in item if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ():
        yield item, key
        yield from slots(item[key])


ODD = [
    None,
    True,
    0,
    -1,
    7,
    10**6,
    10**12,
    1e308,
    math.nan,
    "",
    "x",
    "relu",
    "channels_first",
    "float16",
    "string",
]
ODD += ["../x", "\x1b[31m\n", [], {}, [0, 0], [[1]], {"a": 1}, named("keras.layers", "Dense")]


@pytest.mark.slow
def test_odd_configs_never_end_in_a_traceback(good, tmp_path, record_property):
    """A model file whose config holds odd values is refused in one line, or answers with probabilities."""
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        config = json.loads(good["config.json"])
        for _ in range(rng.integers(1, 3)):
            places = list(slots(config))
            holder, key = places[rng.integers(len(places))]
            holder[key] = json.loads(json.dumps(ODD[rng.integers(len(ODD))]))
        file = write(tmp_path / "m.keras", {**good, "config.json": json.dumps(config)})
        try:
            answers = cnnzoo.load_model(file).model(np.full((1, 16, 16, 3), 99, np.uint8)).numpy()
        except cnnzoo.InputError as error:
            assert str(error).isprintable()
            refused += 1
        else:
            assert answers.sum() == pytest.approx(1, abs=0.01)
    record_property("tried", 300)
    record_property("measured", f"{refused} of 300 refused")


def groups(content):
    names = []
    with h5py.File(io.BytesIO(content), "r") as file:
        file.visit(names.append)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_layers_without_weights_are_not_left_random(nested, tmp_path, record_property):
    """A model file that lacks weights of a layer is refused, also where Keras would only warn."""
    end = keras.Sequential([layers.Dense(2), layers.Softmax()]) if nested else None
    conv_net(end=end).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    arrays = [name for name in groups(members["model.weights.h5"]) if name.endswith(("/0", "/1"))]
    lost = [*arrays, *{name.rpartition("/")[0] for name in arrays}, "layers"]
    for name in lost:
        edited = h5_edited(members, lambda file, name=name: file.__delitem__(name))
        refusal(write(tmp_path / "m.keras", edited))
    record_property("tried", len(lost))


@pytest.mark.parametrize(
    ("classifier", "says"),
    [
        (lambda: cnnzoo.Classifier(conv_net((16, 16, 1)), NAMES), "(None, 16, 16, 1)"),
        (lambda: cnnzoo.Classifier(conv_net(end=layers.Dense(2)), NAMES), "ends in 'linear'"),
        (lambda: cnnzoo.Classifier(conv_net(), ("a",)), "2 different names"),
        (lambda: cnnzoo.Classifier(conv_net(), NAMES, Decision(temperature=0)), "temperature is 0"),
        (lambda: cnnzoo.Classifier("model", NAMES), "expected a model"),
    ],
)
def test_a_classifier_made_by_hand_is_checked_too(classifier, says):
    """A classifier that a program puts together is refused for the same reasons, before any image is read."""
    with pytest.raises(cnnzoo.InputError) as caught:
        cnnzoo.predict(classifier(), ["nowhere.png"])
    assert says in str(caught.value)


LIGHT = ("keras/MobileNet", "keras/MobileNetV3Small", "keras/NASNetMobile", "keras/EfficientNetV2B0")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(n for n in cnnzoo.list_models() if "/" not in n), *LIGHT])
def test_every_model_of_ours_is_still_taken(name, tmp_path):
    """Every model that `create_model` builds loads from its file and gives the same probabilities."""
    model = cnnzoo.create_model(name, num_classes=3)
    cnnzoo.save_model(model, tmp_path / "m.keras", class_names=("a", "b", "c"))
    images = np.random.default_rng(0).integers(0, 256, (1, *model.input_shape[1:]), dtype=np.uint8)
    loaded = cnnzoo.load_model(tmp_path / "m.keras").model
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-5)


def saved_weights(model, folder, edit):
    path = folder / "w.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


@pytest.mark.parametrize(
    ("edit", "says"), [(edit, says) for name, (edit, says) in WEIGHTS.items() if name != "nothing"]
)
def test_pretrained_weights_that_lead_elsewhere_or_are_no_numbers_are_refused(edit, says, tmp_path):
    """Pretrained weights that lead out of their file, don't fit or hold NaN are refused with the reason."""
    backbone = conv_net()
    before = backbone.get_weights()
    with pytest.raises(cnnzoo.InputError) as caught:
        load_weights(backbone, saved_weights(backbone, tmp_path, edit))
    said = str(caught.value)
    assert "\n" not in said and "w.weights.h5" in said
    assert says.replace("head/kernel", f"{KERNEL} in it") in said or "does not fit" in said
    for a, b in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


SETTINGS = {
    "channels first": {"image_data_format": "channels_first"},
    "float16": {"floatx": "float16"},
    "epsilon": {"epsilon": 0.01},
    "all": {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 1e-3},
}
BUILD = """
import sys, {first}
import cnnzoo, numpy as np
model = cnnzoo.create_model("three_conv", input_shape=(32, 32, 3))
import keras
out = model(np.zeros((1, 32, 32, 3), np.uint8))
print(out.shape, model.dtype_policy.name, keras.config.image_data_format(), keras.config.floatx(),
      keras.config.epsilon(), keras.config.dtype_policy().name)
"""


def in_a_home(folder, content, code):
    (folder / "keras.json").write_text(content)
    environment = {**os.environ, "KERAS_HOME": str(folder)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["math", "keras"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_settings_of_keras_in_the_users_home_do_not_matter(settings, first, tmp_path):
    """Layout, precision and epsilon of a user's keras.json change no model and no training of cnnzoo's."""
    run = in_a_home(tmp_path, json.dumps(settings), BUILD.format(first=first))
    assert run.stdout.split("(1, 1) ")[-1] == "float32 channels_last float32 1e-07 float32\n", run.stderr


@pytest.mark.slow
def test_settings_that_a_program_makes_stay(tmp_path):
    """A precision policy that a program sets itself stays, whatever keras.json says."""
    code = "import keras\nkeras.config.set_dtype_policy('mixed_bfloat16')\n" + BUILD.format(first="math")
    run = in_a_home(tmp_path, json.dumps(SETTINGS["float16"]), code)
    assert "mixed_bfloat16 channels_last float32 1e-07 mixed_bfloat16" in run.stdout, run.stderr


DAMAGED = ["", "{", "[]", "null", "5", "[" * 100_000, "\x1b[31m", '{"floatx": "int3"}', '{"floatx": []}']
DAMAGED += [
    '{"epsilon": 1}',
    '{"epsilon": "x"}',
    '{"image_data_format": "x"}',
    '{"backend": 5}',
    '{"backend": "x"}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_keras_json_is_one_line(content, tmp_path, monkeypatch):
    """A keras.json that Keras would fail on is one line that names it, before Keras is imported."""
    (tmp_path / "keras.json").write_text(content)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with pytest.raises(cnnzoo.InputError, match=r"keras\.json: ") as caught:
        check_backend()
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400

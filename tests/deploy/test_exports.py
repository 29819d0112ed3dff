import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.deploy.classifier import asking
from cnnzoo.deploy.exports import write
from cnnzoo.deploy.exports.runtimes import SUFFIXES, load_exported, run_in
from cnnzoo.deploy.exports.write import write_export
from cnnzoo.deploy.origin import Origin
from cnnzoo.errors import InputError
from cnnzoo.evaluation.calibration import Decision
from cnnzoo.models.folding import models_within
from experiments import export, predict
from experiments.cli.process import exit_code

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
DECISION = Decision(temperature=1.7, positive="crack", threshold=0.3)


def classifier_of(head="softmax", classes=2, name="crack_net"):
    keras.utils.set_random_seed(0)
    model = cnnzoo.create_model(name, input_shape=(64, 64, 3), num_classes=classes, head=head)
    # Weights at their start answer 0.5 to everything; these do not.
    for weight in model.layers[-1].trainable_weights:
        weight.assign(np.random.default_rng(0).normal(0, 40, weight.shape))
    names = ("crack", "plain", "pipe")[:classes]
    return cnnzoo.Classifier(model, names, DECISION, origin=Origin("mine", "data"))


@pytest.fixture(scope="module")
def images():
    return np.stack([picture(number) for number in range(5)])


def picture(number):
    """Noise, each time coarser and darker, so that networks give different answers."""
    side = 4 << (number % 4)
    small = np.random.default_rng(number).integers(
        0, 255 - 30 * (number % 8), (side, side, 3), dtype=np.uint8
    )
    return cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def classifier():
    return classifier_of()


@pytest.fixture(scope="module")
def exported(classifier, images, tmp_path_factory):
    """Writes a format once for all tests, since a conversion takes seconds."""
    folder, written = tmp_path_factory.mktemp("exported"), {}

    def export_in(form):
        if form not in written:
            written[form] = folder / form / f"model{SUFFIXES[form]}"
            (folder / form).mkdir()
            write_export(classifier, written[form], form, images)
        return written[form]

    return export_in


@pytest.mark.parametrize("form", SUFFIXES)
def test_an_exported_file_says_what_the_model_says(form, classifier, images, exported):
    path = exported(form)
    expected = asking(classifier)[1](images)
    assert expected.std() > 0.05  # or else all would agree
    loose = 0.1 if form == "litert-int8" else 1e-5
    np.testing.assert_allclose(run_in(form, path)(images), expected, atol=loose)
    np.testing.assert_allclose(run_in(form, path)(images[:1]), expected[:1], atol=loose)


@pytest.mark.parametrize(("head", "classes"), [("sigmoid", 2), ("softmax", 3)])
def test_a_sigmoid_unit_and_three_classes_give_a_probability_for_each(head, classes, images, tmp_path):
    classifier = classifier_of(head, classes)
    write_export(classifier, tmp_path / "m.onnx", "onnx")
    found = load_exported(tmp_path / "m.onnx").ask(images)
    np.testing.assert_allclose(found, asking(classifier)[1](images), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("form", ["onnx", "litert"])
def test_constants_of_layers_are_no_further_inputs(form, images, tmp_path):
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Normalization(mean=[90.0, 100, 110], variance=[900.0, 1600, 2500])(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 5, strides=4, activation="gelu")(x))
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    classifier = cnnzoo.Classifier(model, ("crack", "plain"))
    expected = asking(classifier)[1](images)
    assert expected[:, 0].std() > 0.01
    path = tmp_path / f"m{SUFFIXES[form]}"
    write_export(classifier, path, form)
    np.testing.assert_allclose(load_exported(path).ask(images), expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_names_threshold_and_origin_are_in_the_file(suffix, classifier, exported):
    found = load_exported(exported("onnx" if suffix == ".onnx" else "litert"))
    assert found.class_names == ("crack", "plain")
    assert found.decision == Decision(temperature=1.0, positive="crack", threshold=0.3)
    assert found.origin == classifier.origin
    assert found.size == 64


def examples():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("form", "code"), list(zip(["onnx", "litert", "openvino", "saved_model"], examples(), strict=True))
)
def test_the_reading_examples_run_without_cnnzoo(form, code, classifier, exported, tmp_path):
    shutil.copytree(exported(form).parent, tmp_path, dirs_exist_ok=True)
    cv2.imwrite(str(tmp_path / "photograph.jpg"), picture(3))
    shown = cv2.imread(str(tmp_path / "photograph.jpg"))[..., ::-1]
    expected = asking(classifier)[1](shown[None])[0]
    ended = "\nimport sys\nassert 'cnnzoo' not in sys.modules and 'experiments' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code + ended], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    name, probability = done.stdout.split()
    assert name == classifier.class_names[expected.argmax()]
    assert float(probability) == pytest.approx(expected.max(), abs=0.02)  # OpenVINO may take bfloat16


@pytest.fixture
def saved(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cnnzoo.save_model(
        classifier.model,
        "mine.keras",
        class_names=classifier.class_names,
        decision=classifier.decision,
        origin=classifier.origin,
    )
    for name in classifier.class_names:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            cv2.imwrite(
                str(tmp_path / "photos" / name / f"{number}.png"), picture(number + len(name)) + number
            )
    return tmp_path


def test_the_command_writes_a_file_with_its_comparison(saved, capsys):
    assert exit_code(lambda: export.main(["mine.keras", "--format", "onnx", "--data", "photos"])) == 0
    said = capsys.readouterr().out
    assert "verdicts changed on 0" in said
    assert "mine.onnx written" in said
    numbers = json.loads((saved / "mine.onnx.comparison.json").read_text())
    assert numbers["changed"] == 0
    assert numbers["largest_difference"] < 1e-5
    assert numbers["accuracy"] == numbers["accuracy_before"]
    assert numbers["bytes"] == (saved / "mine.onnx").stat().st_size
    assert not list(saved.glob(".unproven*"))


def test_predict_says_of_an_exported_file_what_it_says_of_the_model(saved, exported, capsys):
    shutil.copy(exported("onnx"), saved / "mine.onnx")
    lines = []
    for model in ("mine.keras", "mine.onnx"):
        capsys.readouterr()
        assert predict.main([model, "photos"]) == 0
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1]
    assert len(lines[0].splitlines()) == 16


def test_predict_imports_no_tensorflow_for_an_exported_file(saved, exported):
    shutil.copy(exported("onnx"), saved / "mine.onnx")
    code = (
        "import sys; from experiments import predict; predict.main(['mine.onnx', 'photos']);"
        "assert not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_file_that_says_something_else_is_refused_and_the_older_one_stays(saved, monkeypatch, capsys):
    (saved / "mine.onnx").write_text("older")
    monkeypatch.setattr(write, "write_export", write_swapped)
    assert exit_code(lambda: export.main(["mine.keras", "--format", "onnx", "--data", "photos"])) == 2
    said = capsys.readouterr().err
    assert "not written" in said
    assert "--most-changed 0.005" in said
    assert (saved / "mine.onnx").read_text() == "older"
    assert not list(saved.glob(".unproven*"))


def write_swapped(classifier, *others):
    """Writes a model whose classes are the other way round, as a broken converter might."""
    last = classifier.model.layers[-1]
    before = last.get_weights()
    last.set_weights([weight[..., ::-1] for weight in before])
    write_export(classifier, *others)
    last.set_weights(before)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine.keras", "--format", "onnx", "--out", "m.tflite"], "ends in .onnx"),
        (["mine.keras", "--format", "onnx", "--out", "none/m.onnx"], "its folder does not exist"),
        (["mine.keras", "--format", "saved_model", "--out", "photos"], "holds something else"),
        (["mine.keras", "--format", "onnx", "--most-changed", "2"], "from 0 to 1"),
        (["none.keras", "--format", "onnx"], "no such file"),
        (["mine.keras", "--format", "onnx", "--data", "none"], "none"),
    ],
)
def test_what_cannot_be_used_is_named(words, said, saved, capsys):
    assert exit_code(lambda: export.main(words)) == 2
    assert said in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_way_to_it(saved, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    assert exit_code(lambda: export.main(["mine.keras", "--format", "onnx"])) == 2
    assert "pip install 'cnnzoo[export]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite"])
@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04" + b"0" * 50])
def test_a_damaged_file_is_named(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=name):
        load_exported(tmp_path / name)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"class_names": ["a"]}', '{"decision": 3}', '{"origin": 5}', '{"likeness": {}}']
)
def test_what_a_file_says_of_itself_is_checked(content, exported, tmp_path):
    import onnx

    foreign = onnx.load(exported("onnx"))
    foreign.metadata_props[0].value = content
    onnx.save(foreign, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"m\.onnx"):
        load_exported(tmp_path / "m.onnx")


def lively(name, pictures):
    """An untrained model that tells these pictures apart; as it starts, a deep one says the same of all."""
    keras.utils.set_random_seed(0)
    model = cnnzoo.create_model(name, num_classes=2)
    # Keras keeps all feature maps of a pass: 23 GiB are too few for five pictures and EfficientNetB7.
    pictures = np.stack([cv2.resize(picture, model.input_shape[1:3]) for picture in pictures[:3]])
    whole = [part for part in models_within(model) if part.input_shape == model.input_shape]
    for part in whole[::-1]:
        for layer in part.layers:
            layer.momentum = 0.0 if isinstance(layer, keras.layers.BatchNormalization) else None
        part(pictures / (127.5 if part is not model else 1.0), training=True)  # statistics of batch norms
    last = model.layers[-1]
    if not last.weights:  # places are averaged after the last convolution
        last = next(layer for layer in model.layers[::-1] if layer.weights)
        for seed in range(12):
            rng = np.random.default_rng(seed)
            kernel, bias = last.get_weights()
            last.set_weights([rng.normal(0, 3.0**seed, kernel.shape), 0 * bias])
            if np.asarray(model(pictures, training=False))[:, 0].std() > 0.1:
                break
        return model, pictures
    features = keras.Model(model.inputs[0], last.input)(pictures, training=False)
    behind = np.asarray(features, np.float64)
    direction = behind[0] - behind[1]
    direction *= 2 / (direction**2).sum()
    signs = np.array([1.0, -1.0])[: model.output_shape[-1]]
    last.set_weights([np.outer(direction, signs), -signs * (behind[:2].mean(0) @ direction)])
    return model, pictures


@pytest.mark.slow
@pytest.mark.parametrize("name", cnnzoo.list_models())
def test_every_model_exports_to_onnx_and_litert(name, images, tmp_path):
    keras.utils.clear_session()
    model, pictures = lively(name, images)
    classifier = cnnzoo.Classifier(model, ("crack", "plain"))
    expected = asking(classifier)[1](pictures)
    assert expected[:, 0].std() > 0.1
    for form in ("onnx", "litert"):
        path = tmp_path / f"m{SUFFIXES[form]}"
        write_export(classifier, path, form)
        np.testing.assert_allclose(load_exported(path).ask(pictures), expected, atol=2e-3)
        path.unlink()


@pytest.mark.parametrize("form", SUFFIXES)
def test_a_model_that_augments_inside_says_the_same_when_exported(form, images, tmp_path):
    """As Keras' tutorials build them: with random flips, and batch norm behind them."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            layers.RandomFlip(),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, strides=4),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.layers[3].set_weights([np.full(8, value) for value in (1, 0, 0.2, 0.01)])
    classifier = cnnzoo.Classifier(model, ("crack", "plain"), DECISION)
    path = tmp_path / f"m{SUFFIXES[form]}"
    write_export(classifier, path, form, images)
    expected = asking(classifier)[1](images)
    assert expected.std() > 0.05
    np.testing.assert_allclose(run_in(form, path)(images), expected, atol=0.1 if "int8" in form else 1e-5)


def test_a_folder_of_the_users_is_not_replaced(saved, capsys):
    for name in ("mine-saved_model", "mine.onnx"):
        (saved / name).mkdir()
        (saved / name / "thesis.txt").write_text("years of work")
    for form in ("saved_model", "onnx"):
        assert exit_code(lambda form=form: export.main(["mine.keras", "--format", form])) == 2
        assert "choose another name" in capsys.readouterr().err
    assert len(list(saved.rglob("thesis.txt"))) == 2


def test_a_saved_model_replaces_its_older_self_alone(saved):
    words = ["mine.keras", "--format", "saved_model"]
    assert export.main(words) == export.main(words) == 0
    assert not [path for path in saved.iterdir() if path.name.startswith(".unproven")]


def test_a_file_of_another_program_is_refused(exported, tmp_path):
    import onnx

    foreign = onnx.load(exported("onnx"))
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="cnnzoo export did not write it"):
        load_exported(tmp_path / "m.onnx")

import zipfile

import cv2
import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.evaluation.calibration import Decision, decide

NAMES = ("crack", "plain")


def test_the_highest_probability_decides_unless_a_threshold_is_set():
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6], [0.1, 0.9]])
    assert decide(probabilities, NAMES, Decision()).tolist() == [0, 1, 1]
    assert decide(probabilities, NAMES, Decision(positive="crack", threshold=0.4)).tolist() == [0, 0, 1]
    assert decide(probabilities, NAMES, Decision(positive="crack", threshold=0.8)).tolist() == [1, 1, 1]


def test_below_its_threshold_the_next_class_is_taken():
    probabilities = np.array([[0.5, 0.2, 0.3], [0.3, 0.45, 0.25]])
    decision = Decision(positive="a", threshold=0.6)
    assert decide(probabilities, "abc", decision).tolist() == [2, 1]
    assert decide(probabilities, "abc", Decision(positive="a", threshold=0.3)).tolist() == [0, 0]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return cnnzoo.create_model("three_conv", input_shape=(32, 32, 3))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "tile.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8))
    return path


def test_a_saved_model_decides_by_its_threshold_and_temperature(model, image, tmp_path):
    def verdict(decision):
        cnnzoo.save_model(model, tmp_path / "m.keras", class_names=NAMES, decision=decision)
        classifier = cnnzoo.load_model(tmp_path / "m.keras")
        assert classifier.decision == decision
        return next(cnnzoo.predict(classifier, [image]))

    plain = verdict(Decision())
    crack, other = plain.probabilities
    assert verdict(Decision(positive="crack", threshold=crack - 0.01)).class_name == "crack"
    assert verdict(Decision(positive="crack", threshold=crack + 0.01)).class_name == "plain"
    # Two classes: the logit is ln(p / (1 - p)), divided by the temperature.
    warm = 1 / (1 + np.exp(-np.log(crack / other) / 2))
    assert verdict(Decision(temperature=2.0)).probabilities[0] == pytest.approx(warm, abs=1e-5)


def test_a_model_that_keras_saved_decides_by_the_highest(model, tmp_path):
    model.save(tmp_path / "m.keras")
    classifier = cnnzoo.load_model(tmp_path / "m.keras")
    assert classifier.decision == Decision()
    assert classifier.class_names == ("class 0", "class 1")


@pytest.mark.parametrize("content", ["{", "[]", '{"decision": {"code": "print(1)"}}'])
def test_a_damaged_member_is_one_line(model, content, tmp_path):
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "a") as archive:
        archive.writestr("cnnzoo.json", content)
    with pytest.raises(cnnzoo.InputError, match=r"m\.keras: cnnzoo\.json in it is damaged"):
        cnnzoo.load_model(tmp_path / "m.keras")

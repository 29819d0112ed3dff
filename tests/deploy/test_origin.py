"""What a model file says of where it comes from, and files of versions that did not say it yet."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import cnnzoo
from cnnzoo.deploy.origin import Origin, checked_origin
from cnnzoo.evaluation.calibration import Decision
from experiments import predict

GOLDEN = Path(__file__).with_name("golden.keras")  # by commit 51161f3, in November 2026; random weights


def test_a_file_of_an_earlier_version_loads_and_answers_as_it_did():
    found = cnnzoo.load_model(GOLDEN)
    assert found.class_names == ("crack", "sound")
    assert found.decision == Decision(1.5, "crack", 0.4, -2.0)
    assert found.origin == Origin(cnnzoo="")
    images = np.arange(2 * 32 * 32 * 3).reshape(2, 32, 32, 3) * 37 % 256
    answers = found.model.predict(images.astype(np.uint8), verbose=0)
    np.testing.assert_allclose(answers, [[0.346236914, 0.653763056]] * 2, atol=1e-5)


def test_a_saved_model_says_where_it_comes_from(tmp_path):
    model, origin = cnnzoo.load_model(GOLDEN).model, Origin("small", "d24100fa")
    cnnzoo.save_model(model, tmp_path / "m.keras", class_names=("a", "b"), origin=origin)
    assert cnnzoo.load_model(tmp_path / "m.keras").origin == Origin("small", "d24100fa", cnnzoo.__version__)
    assert not origin.warning


@pytest.mark.parametrize(
    ("version", "newer"),
    [("0.1.0", False), ("0.0.9", False), ("0.2.0", True), ("0.10", True), ("1.0.0rc1", True), ("", False)],
)
def test_a_newer_version_is_told_from_an_older_one(version, newer, monkeypatch):
    monkeypatch.setattr("cnnzoo.deploy.origin.__version__", "0.1.0")
    assert Origin(cnnzoo=version).newer is newer


@pytest.mark.parametrize("values", [["0.1.0"], {"cnnzoo": 1}, {"other": ""}, {"recipe": "x" * 1000}])
def test_an_origin_that_can_not_be_is_damage(values):
    with pytest.raises(ValueError, match="origin"):
        checked_origin(values)


@pytest.mark.parametrize(
    ("origin", "said"), [(None, "does not say"), ({"cnnzoo": "99.0"}, "cnnzoo 99.0 wrote")]
)
def test_predict_says_so(origin, said, tmp_path, capsys):
    with zipfile.ZipFile(GOLDEN) as old, zipfile.ZipFile(tmp_path / "m.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "cnnzoo.json" and origin:
                content = json.dumps({**json.loads(content), "origin": origin}).encode()
            new.writestr(name, content)
    cv2.imwrite(str(tmp_path / "i.png"), np.zeros((40, 40, 3), np.uint8))
    assert predict.main([str(tmp_path / "m.keras"), str(tmp_path / "i.png")]) == 0
    assert said in capsys.readouterr().err

"""What `cnnzoo demo` says of a picture; Gradio and a browser are not needed for it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.deploy.classifier import load_model, predict
from cnnzoo.deploy.photograph import crack_map
from cnnzoo.errors import InputError
from experiments.demo import answers
from experiments.demo.answers import CHOOSE, PHOTOGRAPH, TILE, Answerer
from experiments.demo.examples import draw_examples
from experiments.demo.words import answer_html, introduction


@pytest.fixture(scope="module")
def answerer():
    return Answerer()


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return {path.stem: path for path in draw_examples(tmp_path_factory.mktemp("examples"))}


def photograph(folder, width=720, height=480):
    picture, _ = draw_tile(np.random.default_rng(3), crack=True, size=width)
    path = folder / "wall <b>.png"
    cv2.imwrite(str(path), picture[:height])
    return path


def test_a_tile_gets_the_verdict_of_predict_and_where_it_rests_on(answerer, examples):
    found = answerer.answer(examples["cracked concrete"])
    (said,) = predict("crack_net", examples["cracked concrete"])
    assert (found.verdict.class_name, found.verdict.probability) == (said.class_name, said.probability)
    assert found.photograph is None and found.notes == ()
    assert (found.width, found.height) == (227, 227)
    assert found.picture.shape == (640, 640, 3)
    page = answer_html(answerer, found)
    assert "<h2>Crack</h2>" in page and f"{said.probability:.4f} (class Positive)" in page


def test_the_examples_are_what_their_names_say(answerer, examples):
    for name, path in examples.items():
        found = answerer.answer(path, CHOOSE)
        if name.startswith("photograph"):
            assert found.photograph.lengths, name
        else:
            assert found.verdict.class_name == ("Positive" if "cracked" in name else "Negative"), name


def test_what_is_much_larger_than_a_tile_is_mapped_unless_one_says_otherwise(answerer, tmp_path):
    path = photograph(tmp_path)
    found = answerer.answer(path)
    map_ = crack_map("crack_net", path)
    assert found.photograph.share == pytest.approx(map_.cracks.mean(), abs=1e-6)
    assert (found.photograph.width, found.photograph.height) == (720, 480)
    page = answer_html(answerer, found)
    assert f"{sum(found.photograph.lengths):,.0f} pixels" in page
    assert f"{100 * found.photograph.share:.2f} %" in page
    shrunk = answerer.answer(path, TILE)
    assert shrunk.photograph is None
    assert any("Whole photograph".lower() in note for note in shrunk.notes)


def test_the_tile_of_maps_may_be_given(tmp_path):
    assert Answerer(tile=240).answer(photograph(tmp_path)).photograph.tile == 240


def test_a_tile_is_mapped_where_one_says_so(answerer, examples):
    assert answerer.answer(examples["cracked concrete"], PHOTOGRAPH).photograph is not None


def test_what_is_unlike_the_training_images_is_said_to_be(answerer, tmp_path):
    path = tmp_path / "noise.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (227, 227, 3), dtype=np.uint8))
    (note,) = answerer.answer(path).notes
    assert "unlike those that this model was trained on" in note
    (note,) = answerer.answer(path, PHOTOGRAPH).notes
    assert note.startswith("100 % of this photograph's tiles")


@pytest.mark.parametrize("name", ["notes.jpg", "empty.png"])
def test_what_is_no_picture_is_one_line_without_its_folder(answerer, tmp_path, name):
    path = tmp_path / name
    path.write_text("no picture" if name == "notes.jpg" else "")
    with pytest.raises(InputError, match=f"^{name}: ") as refused:
        answerer.answer(path)
    assert str(tmp_path) not in str(refused.value)


def test_the_tag_of_orientation_is_heeded(answerer, tmp_path):
    from PIL import Image

    picture, _ = draw_tile(np.random.default_rng(3), crack=True, size=200)
    image = Image.fromarray(picture[:120])
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    found = answerer.answer(tmp_path / "turned.jpg")
    assert (found.width, found.height) == (120, 200)


def test_without_memory_it_says_so(answerer, examples, monkeypatch):
    def none(*arguments):
        raise MemoryError

    monkeypatch.setattr(answers, "read_image", none)
    with pytest.raises(InputError, match="not enough memory"):
        answerer.answer(examples["sound concrete"])


def test_a_threshold_decides_tiles_and_maps(examples):
    strict = Answerer(threshold=0.99999)
    found = strict.answer(examples["sound brickwork"])
    assert found.verdict.class_name == "Negative"
    assert "Crack is answered from a probability of 1.0000 on" in answer_html(strict, found)
    with pytest.raises(InputError, match="between 0 and 1"):
        Answerer(threshold=1.5)


def test_a_model_without_a_positive_class_gives_verdicts_alone(examples, monkeypatch):
    known = load_model("crack_net")
    decision = replace(known.decision, positive="", sound=None)
    odd = replace(known, class_names=("<i>left", "right"), decision=decision)
    monkeypatch.setattr(answers, "load_model", lambda path: odd)
    answerer = Answerer(Path("own.keras"))
    assert "--positive" in answerer.no_maps
    found = answerer.answer(examples["photograph of plaster"])
    assert found.photograph is None and found.picture is not None
    assert not any(PHOTOGRAPH.lower() in note for note in found.notes)
    assert "<i>" not in answer_html(answerer, found) + introduction(answerer, Path("own.keras"))
    with pytest.raises(InputError, match="positive"):
        Answerer(Path("own.keras"), threshold=0.5)


def test_an_exported_model_answers_too(examples, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="the extra export is not installed")
    from cnnzoo.deploy.exports.write import write_export

    write_export(
        load_model("crack_net"), tmp_path / "m.tflite", "litert", np.zeros((1, 160, 160, 3), np.uint8)
    )
    answerer = Answerer(tmp_path / "m.tflite")
    found = answerer.answer(examples["cracked concrete"])
    assert found.verdict.class_name == "Positive" and found.picture is None
    assert any("only a .keras file" in note for note in found.notes)
    assert answerer.answer(examples["cracked concrete"], PHOTOGRAPH).photograph is not None


def test_the_page_says_where_pictures_go(answerer):
    assert "stay on this computer" in introduction(answerer, None)
    assert "go to the computer that serves this page" in introduction(answerer, None, local=False)


def test_there_is_no_such_model():
    with pytest.raises(InputError, match="no such file"):
        Answerer(Path("nowhere.keras"))

"""The trained network in the package: what it is, what it says, and that it is what the records measured."""

import json
import shutil

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.data.manifest import build_manifest
from cnnzoo.data.pipeline import load_image_set
from cnnzoo.data.sources.synthetic import CLASSES, drawn_surfaces
from cnnzoo.errors import InputError
from cnnzoo.evaluation.several_views import one_view
from cnnzoo.models import shipped
from cnnzoo.models.shipped import shipped_card, shipped_file
from experiments import predict
from experiments.recipes.starting_weights import starting_weights
from experiments.reporting.tables.results_page import FOLDER as RESULTS


@pytest.fixture(scope="module")
def classifier():
    return cnnzoo.load_model("crack_net")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Drawn tiles of other seeds than those that it was trained on: (paths, whether each is cracked)."""
    folder = drawn_surfaces(35, seed=4, root=tmp_path_factory.mktemp("surfaces"), progress=False)
    paths = [path for name in CLASSES for path in sorted((folder / name).glob("*.jpg"))]
    return paths, np.repeat([False, True], 35)


def pixels(count):
    return np.random.default_rng(0).integers(0, 256, (count, 160, 160, 3), dtype=np.uint8)


def answers(model, images):
    return model.predict(images, verbose=0)


def test_it_is_small_and_says_what_it_is(classifier):
    assert shipped_file("crack_net").stat().st_size < 1_000_000
    assert classifier.model.count_params() <= 130_000
    assert classifier.class_names == ("Negative", "Positive")
    assert classifier.decision.positive == "Positive"
    assert classifier.decision.sound < 0
    card = shipped_card("crack_net")
    assert "CC BY 4.0" in card["licence"] and "compare" in card["command"]


def test_it_tells_cracks_on_surfaces_of_seven_kinds(classifier, tiles):
    paths, cracked = tiles
    said = np.array([found.class_name == "Positive" for found in cnnzoo.predict(classifier, paths)])
    assert (said[cracked].mean() + 1 - said[~cracked].mean()) / 2 > 0.75


def test_predict_asks_it_where_no_model_is_named(tiles, capsys):
    paths, _ = tiles
    chosen = [str(paths[i]) for i in (0, 40)]
    assert predict.main(chosen) == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == chosen
    assert "crack_net that comes with cnnzoo" in err
    assert predict.main(["crack_net", *chosen]) == 0
    assert capsys.readouterr().out == out


def test_its_weights_give_its_answers_at_any_size_and_in_any_order_of_the_classes(classifier):
    images = pixels(4)
    wanted = answers(one_view(classifier.model), images)
    model = cnnzoo.create_model("crack_net", weights="cracks")
    np.testing.assert_allclose(answers(model, images), wanted, atol=1e-6)
    swapped = cnnzoo.create_model("crack_net", weights="cracks", cracked=0)
    np.testing.assert_allclose(answers(swapped, images), wanted[:, ::-1], atol=1e-6)
    small = cnnzoo.create_model("crack_net", weights="cracks", input_shape=(96, 96, 3), dropout=0.2)
    for mine, its in zip(small.get_weights(), one_view(classifier.model).get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_other_classes_get_a_last_layer_of_their_own(classifier):
    keras.utils.set_random_seed(0)
    model = cnnzoo.create_model("crack_net", weights="cracks", num_classes=3)
    assert model.output_shape == (None, 3)
    for mine, its in zip(model.layers[:-1], one_view(classifier.model).layers[:-1], strict=True):
        for weight, other in zip(mine.get_weights(), its.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "imagenet"}, "'cracks' or none"),
        ({"weights": "cracks", "widths": (8, 16, 24, 40)}, "no other arguments"),
        ({"weights": "cracks", "gray": True}, "no other arguments"),
        ({"weights": "cracks", "standardise": True}, "no other arguments"),
        ({"weights": "cracks", "stem_stride": 2}, "no other arguments"),
        ({"weights": "cracks", "max_pooling": False}, "no other arguments"),
        ({"weights": "cracks", "input_shape": (160, 160, 1)}, "on RGB images"),
        ({"weights": "cracks", "cracked": 2}, "cracked is 2"),
    ],
)
def test_weights_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        cnnzoo.create_model("crack_net", **arguments)


def test_another_file_in_its_place_is_refused(tmp_path, monkeypatch):
    for suffix in (".keras", ".json"):
        shutil.copy(shipped.FOLDER / f"crack_net{suffix}", tmp_path)
    with (tmp_path / "crack_net.keras").open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="install cnnzoo again"):
        shipped_file("crack_net")
    with pytest.raises(InputError, match="no trained lenet5"):
        shipped_file("lenet5")


def test_the_tuned_recipe_starts_from_it(classifier):
    from experiments.recipes.published import RECIPES

    recipe = RECIPES["crack_net_tuned"]
    said, file = starting_weights([recipe], {})["crack_net_tuned"]
    assert said.startswith("crack_net.keras (sha256 ")
    images = pixels(3)
    wanted = answers(one_view(classifier.model), images)
    for positive in (0, 1):
        model = recipe.build_model(num_classes=2, weights_file=file, positive=positive)
        np.testing.assert_allclose(answers(model, images)[:, positive], wanted[:, 1], atol=1e-6)
    # Nobody said which class shows cracks: it is learnt.
    model = recipe.build_model(num_classes=2, weights_file=file)
    assert np.abs(answers(model, images)[:, 1] - wanted[:, 1]).max() > 0.01
    assert recipe.build_model(num_classes=3, weights_file=file, positive=2).output_shape == (None, 3)


def test_its_card_is_the_record_of_the_run_that_made_it():
    card = shipped_card("crack_net")
    lines = (RESULTS / card["records"]).read_text(encoding="utf-8").splitlines()
    (record,) = [made for line in lines if (made := json.loads(line))["identity"] == card["identity"]]
    model = next(facts for name, facts in record["files"].items() if name.endswith(".keras"))
    assert model["sha256"] == card["sha256"]
    assert record["seed"] == card["seed"]
    assert record["environment"]["git_commit"] == card["commit"]
    others, measured = record["result"]["others"], dict(card["measured"])
    assert measured.pop("metu_half, grouped split: accuracy") == round(record["result"]["test_accuracy"], 4)
    for name, scores in others.items():
        for what, found in (("", scores), (", adapted", scores["adapted"])):
            balanced = sum(found["recall"].values()) / 2
            assert measured.pop(f"{name}{what}: balanced accuracy") == round(balanced, 4)
    assert not measured


def test_it_says_of_brickwork_what_the_records_say(classifier, shared):
    card = shipped_card("crack_net")
    lines = (RESULTS / card["records"]).read_text(encoding="utf-8").splitlines()
    (record,) = [made for line in lines if (made := json.loads(line))["identity"] == card["identity"]]
    images = load_image_set(build_manifest(shared / "data/brickwork", progress=False), image_size=160)
    scores = cnnzoo.evaluate(classifier.model, images)
    measured = record["result"]["others"]["brickwork"]
    assert scores.accuracy == pytest.approx(measured["accuracy"], abs=0.003)

import csv
import importlib.util
import os
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.evaluation.calibration import Decision, decide
from cnnzoo.evaluation.likeness import likeness_of
from experiments import predict
from experiments.cli.process import exit_code

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
    with pytest.raises(cnnzoo.InputError, match=r"m\.keras: .*cnnzoo\.json in it is damaged"):
        cnnzoo.load_model(tmp_path / "m.keras")


def test_plain_keras_opens_a_saved_file_without_a_warning(model, image, tmp_path):
    model.compile("adam", "binary_crossentropy")
    model.fit(np.zeros((2, 32, 32, 3)), np.zeros(2), verbose=0)
    cnnzoo.save_model(model, tmp_path / "m.keras", class_names=NAMES)
    assert model.compiled
    assert model.optimizer is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = keras.saving.load_model(tmp_path / "m.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(again.predict(pixels, verbose=0), model.predict(pixels, verbose=0), atol=1e-6)


def test_a_file_does_for_a_classifier_and_one_path_for_many(model, image, tmp_path):
    cnnzoo.save_model(model, tmp_path / "m.keras", class_names=NAMES)
    (by_file,) = cnnzoo.predict(tmp_path / "m.keras", image)
    (by_classifier,) = cnnzoo.predict(cnnzoo.load_model(tmp_path / "m.keras"), [str(image)])
    assert by_file.class_name == by_classifier.class_name
    assert by_file.path == image


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: cnnzoo.predict(model, ["a.png"]), "predict takes a Classifier"),
        (
            lambda model: cnnzoo.predict(cnnzoo.Classifier(model, NAMES), np.zeros((1, 32, 32, 3))),
            "paths of image",
        ),
        (lambda model: cnnzoo.predict("nowhere.keras", ["a.png"]), "no such file"),
        (
            lambda model: cnnzoo.evaluate(model, np.zeros((1, 32, 32, 3))),
            "evaluate takes .*not numpy.ndarray",
        ),
        (lambda model: cnnzoo.fit(model, (np.zeros(1), np.zeros(1)), None), "fit takes .*not tuple"),
    ],
)
def test_what_is_no_classifier_path_or_data_set_is_refused_at_once(model, call, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        call(model)


@pytest.fixture
def saved(model, tmp_path):
    """A model that learnt from tiles of 40 x 50 pixels."""
    path = tmp_path / "m.keras"
    decision = Decision(positive="crack")
    cnnzoo.save_model(model, path, class_names=NAMES, decision=decision, image_pixels=(40, 50))
    return path


def run_predict(*arguments):
    return exit_code(lambda: predict.main([str(argument) for argument in arguments]))


def test_a_photograph_much_larger_than_the_tiles_is_warned_of(saved, tmp_path, capsys):
    for name, shape in (("wall", (400, 700, 3)), ("tile", (60, 80, 3))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full(shape, 130, np.uint8))
    assert run_predict(saved, tmp_path / "wall.png", tmp_path / "tile.png", "--csv", tmp_path / "v.csv") == 0
    error = capsys.readouterr().err
    assert "Classes: crack (positive), plain\n" in error
    assert "1 of 2 images are much larger" in error
    assert "wall.png: 18 times 40 x 50 pixels" in error
    with (tmp_path / "v.csv").open(newline="") as file:
        assert [line["times_larger"] for line in csv.DictReader(file)] == ["17.5", ""]


def test_predict_names_what_it_cannot_look_at_and_answers_for_the_rest(saved, image, tmp_path, capsys):
    photos = tmp_path / "photos"
    (photos / ".ipynb_checkpoints").mkdir(parents=True)
    (photos / "out").mkdir()
    for place in (".ipynb_checkpoints/a.png", "out/b.png", "c.png"):
        (photos / place).write_bytes(image.read_bytes())
    (photos / "out" / "runs.jsonl").touch()
    (photos / "gone.png").symlink_to("nowhere.png")
    (photos / "up").symlink_to("..")
    odd = os.fsencode(photos) + b"/Ri\xdf\n.png"
    with open(odd, "wb") as file:
        file.write(image.read_bytes())
    assert run_predict(saved, photos, "--csv", tmp_path / "v.csv") == 1
    out, error = capsys.readouterr()
    assert [line.split("\t")[0].rpartition("/")[2] for line in out.splitlines()] == [
        r"Ri\udcdf\n.png",
        "c.png",
    ]
    assert "gone.png: a link that leads nowhere" in error
    assert "up: a link to a folder; not followed" in error
    assert "Passed over" in error
    with (tmp_path / "v.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        paths = {line["path"] for line in csv.DictReader(file)}
    assert os.fsdecode(odd) in paths  # as it is, to be found again


def test_pipes_own_results_and_odd_names_neither_hang_nor_forge(model, saved, image, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    os.mkfifo(photos / "pipe.png")
    (photos / "a.png").write_bytes(image.read_bytes())
    assert run_predict(saved, photos) == 1
    assert "pipe.png: no regular file" in capsys.readouterr().err
    (photos / "runs.jsonl").touch()
    assert run_predict(saved, photos, image) == 0
    assert "photos: results of cnnzoo" in capsys.readouterr().err
    cnnzoo.save_model(model, saved, class_names=("one\tline\n", "two"))
    run_predict(saved, image)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "picture"], "--out picture: a picture ends in .png"),
        (["--csv", "."], ".: a folder"),
        (["x" * 300], "File name too long"),
    ],
)
def test_what_would_fail_in_the_end_is_refused_at_once(
    saved, image, monkeypatch, tmp_path, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert run_predict(saved, image, *arguments) == 2
    assert message in capsys.readouterr().err


def test_class_names_that_do_not_fit_the_model_are_refused(model, tmp_path):
    for names in (("one",), ("a", "b", "c"), ("a", "a")):
        with pytest.raises(cnnzoo.InputError, match="2 different names"):
            cnnzoo.save_model(model, tmp_path / "m.keras", class_names=names)
    with pytest.raises(cnnzoo.InputError, match=r"ends in \.keras"):
        cnnzoo.save_model(model, tmp_path / "m.h5", class_names=NAMES)


def test_swapped_arguments_are_one_line_with_the_right_order(saved, image, capsys):
    assert run_predict(image, saved) == 2
    assert (
        f"the model comes first, then the images: cnnzoo predict {saved} {image}"
        in capsys.readouterr().err.replace("python -m experiments.predict", "cnnzoo predict")
    )


def test_options_may_stand_anywhere_and_a_model_is_known_by_what_it_is(saved, image, tmp_path, capsys):
    assert predict.main([str(saved), "--csv", str(tmp_path / "a.csv"), str(image)]) == 0
    assert predict.main(["--csv", str(tmp_path / "b.csv"), str(saved), str(image)]) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    latest = tmp_path / "latest"
    latest.symlink_to(saved)
    capsys.readouterr()
    # Not taken for a picture that the network in the package is asked about.
    assert exit_code(lambda: predict.main([str(latest), str(image)])) == 2
    assert "can't be used as a model" in capsys.readouterr().err


def test_adapt_checks_before_it_looks(model, saved, image):
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    for classifier, images, size, message in (
        (model, pixels, 32, "adapt takes a Classifier"),
        (saved, [image], 32, "can't be adapted"),
        (cnnzoo.Classifier(model, NAMES, Decision(1.0, "crack", None, -2.0)), pixels, 0, "batch_size is 0"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.adapt(classifier, images, batch_size=size)


@pytest.mark.parametrize("sound", [-1e308, 10**400, float("nan"), "-3", True])
def test_a_sound_level_that_is_none_is_refused(model, tmp_path, sound):
    with pytest.raises(cnnzoo.InputError, match="sound is "):
        decision = Decision(positive="crack", sound=sound)
        cnnzoo.save_model(model, tmp_path / "m.keras", class_names=NAMES, decision=decision)


def test_a_model_alone_has_nothing_to_look_at(saved, capsys):
    assert exit_code(lambda: predict.main([str(saved)])) == 2
    assert exit_code(lambda: predict.main(["crack_net"])) == 2
    assert capsys.readouterr().err.count("no images to ask") == 2


@pytest.mark.parametrize(
    ("backend", "message"), [("jax", "pip install jax"), ("foo", "there are tensorflow, jax, torch")]
)
def test_a_backend_that_is_not_there_is_one_line(backend, message):
    if importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is installed")
    code = "import cnnzoo\ntry: cnnzoo.create_model('three_conv')\nexcept cnnzoo.InputError as e: print(e)"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert message in run.stdout


@pytest.fixture
def wall(model, tmp_path):
    """A folder of sound tiles, one of them no image, and a model file to which they score unlike its own."""
    folder = tmp_path / "wall"
    folder.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), pixels)
    (folder / "note.png").write_text("no image")
    scores = [
        verdict.probabilities for verdict in cnnzoo.predict(cnnzoo.Classifier(model, NAMES), files(folder))
    ]
    crack = np.array([each[0] for each in scores if each is not None])
    usual = np.median(np.log(crack / (1 - crack)))
    # Nine of twelve count as sound, and score 2 nearer to a crack than those that the model knows.
    threshold = float(np.sort(crack)[8:10].mean())
    decision = Decision(positive="crack", threshold=threshold, sound=float(usual) - 2)
    cnnzoo.save_model(model, tmp_path / "w.keras", class_names=NAMES, decision=decision)
    return folder, tmp_path / "w.keras"


def files(folder):
    return sorted(folder.iterdir())


def test_adapting_moves_the_threshold_and_nothing_else(wall):
    folder, file = wall
    before = cnnzoo.load_model(file)
    after = cnnzoo.adapt(file, files(folder))
    assert after.decision.threshold > before.decision.threshold
    assert after.class_names == before.class_names
    pairs = zip(cnnzoo.predict(before, files(folder)), cnnzoo.predict(after, files(folder)), strict=True)
    changed = 0
    for plain, fitted in pairs:
        assert plain.error == fitted.error
        if not plain.error:
            np.testing.assert_array_equal(plain.probabilities, fitted.probabilities)
            changed += plain.class_name != fitted.class_name
    assert changed > 0
    pixels = np.stack([cv2.imread(str(path))[..., ::-1] for path in files(folder) if path.name != "note.png"])
    assert cnnzoo.adapt(before, pixels).decision == after.decision
    with pytest.raises(cnnzoo.InputError, match="uint8 or paths, not "):
        cnnzoo.adapt(before, pixels / 255)


def test_predict_adapts_to_the_files_that_it_is_given(wall, capsys):
    folder, file = wall
    wanted = [
        verdict.class_name for verdict in cnnzoo.predict(cnnzoo.adapt(file, files(folder)), files(folder))
    ]
    assert predict.main([str(file), str(folder), "--adapt"]) == 1  # one is no image
    out, err = capsys.readouterr()
    assert [line.split("\t")[1] for line in out.splitlines()] == [name for name in wanted if name]
    assert "Adapted: crack is answered from a probability of 0." in err
    assert "note.png" in err


def test_predict_says_where_it_cannot_adapt(saved, wall, image, capsys):
    folder, file = wall
    assert predict.main([str(file), str(image), "--adapt"]) == 0
    assert "Not adapted: fewer than 8 of the images" in capsys.readouterr().err
    assert exit_code(lambda: predict.main([str(saved), str(folder), "--adapt"])) == 2
    assert "can't be adapted" in capsys.readouterr().err


def test_images_unlike_the_training_images_are_warned_of(model, tmp_path, capsys):
    rng = np.random.default_rng(0)
    seen = rng.integers(100, 130, (300, 32, 32, 3), dtype=np.uint8)
    path, photos = tmp_path / "m.keras", tmp_path / "photos"
    likeness = likeness_of(seen[:150], seen[150:])
    cnnzoo.save_model(model, path, class_names=NAMES, likeness=likeness)
    assert cnnzoo.load_model(path).likeness == likeness
    photos.mkdir()
    for i in range(4):
        like = rng.integers(100, 130, (32, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(photos / f"{i}.png"), like if i < 2 else np.full((32, 32, 3), 20 * i, np.uint8))
    assert run_predict(path, photos, "--csv", tmp_path / "v.csv") == 0
    error = capsys.readouterr().err
    assert "50 % of these images are unlike those that this model was trained on" in error
    with (tmp_path / "v.csv").open(newline="") as file:
        assert [float(line["distance"]) > 1 for line in csv.DictReader(file)] == [False, False, True, True]
    # A few by chance are no news.
    assert run_predict(path, photos / "0.png", photos / "1.png") == 0
    assert "unlike" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "changed",
    [{"limit": 0.0}, {"limit": float("nan")}, {"mean": (0.0,) * 20}, {"precision": ((0.0,) * 21,) * 21}],
)
def test_a_likeness_that_measures_no_distance_is_refused(model, tmp_path, changed):
    seen = np.random.default_rng(0).integers(0, 255, (300, 32, 32, 3), dtype=np.uint8)
    likeness = replace(likeness_of(seen[:150], seen[150:]), **changed)
    with pytest.raises(cnnzoo.InputError, match="likeness"):
        cnnzoo.save_model(model, tmp_path / "m.keras", class_names=NAMES, likeness=likeness)

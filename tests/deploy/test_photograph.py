"""`cnnzoo.crack_map`: the drawn crack is found where it was drawn, by looks that say what the model says."""

import threading
import time
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.data.images import resize_image
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.deploy import looking, photograph
from cnnzoo.deploy.looking import AnswerLooker, Looker, batches_of, looks_at
from cnnzoo.deploy.photograph import CrackMapper
from cnnzoo.evaluation.calibration import Decision
from cnnzoo.evaluation.lines import REACH, WIDTHS, dark_lines
from cnnzoo.evaluation.several_views import one_view


@pytest.fixture(scope="module")
def classifier():
    return cnnzoo.load_model("crack_net")


@pytest.fixture(scope="module")
def wall():
    """A photograph of concrete with its crack; drawn with another seed than those that chose thresholds."""
    return draw_tile(np.random.default_rng(5), crack=True, size=512)


@pytest.fixture(scope="module")
def mapped(classifier, wall):
    return cnnzoo.crack_map(classifier, wall[0], tile=160)


def small(name="crack_net", size=32, num_classes=2):
    keras.utils.set_random_seed(0)
    arguments = {} if name == "three_conv" else {"head": "softmax"}
    return cnnzoo.create_model(name, input_shape=(size, size, 3), num_classes=num_classes, **arguments)


def share_within(pixels, one, other):
    """How much of one map lies so many pixels from another at most."""
    near = cv2.dilate(
        other.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1,) * 2)
    )
    return (one & (near > 0)).sum() / max(1, one.sum())


def f1(cracks, mask, pixels):
    precision, recall = share_within(pixels, cracks, mask), share_within(pixels, mask, cracks)
    return 2 * precision * recall / max(1e-9, precision + recall)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_drawn_crack_is_found_without_being_told_its_size(classifier, seed):
    picture, mask = draw_tile(np.random.default_rng(seed), crack=True, size=512)
    found = cnnzoo.crack_map(classifier, picture)
    assert f1(found.cracks, mask, 5) > 0.9
    assert found.tile in found.tried and len(found.tried) > 3
    assert found.tried[found.tile] == max(found.tried.values())
    assert found.traced()[0].extent > 300


def test_a_map_is_of_the_photograph_as_it_is(mapped, wall):
    picture, mask = wall
    assert f1(mapped.cracks, mask, 5) > 0.9
    assert mapped.heat.shape == mapped.cracks.shape == picture.shape[:2]
    assert (mapped.heat.dtype, mapped.cracks.dtype) == (np.uint8, bool)
    assert mapped.heat[mapped.cracks].mean() > 128 > mapped.heat[~mapped.cracks].mean()
    np.testing.assert_array_equal(
        mapped.photograph, draw_tile(np.random.default_rng(5), crack=True, size=512)[0]
    )
    assert list(mapped.tried) == [mapped.tile] == [160]
    assert 0 < mapped.cracked <= 1


def test_a_file_gives_the_map_of_its_pixels(classifier, wall, mapped, tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), wall[0][..., ::-1])
    found = cnnzoo.crack_map(classifier, str(tmp_path / "wall.png"), tile=160)
    np.testing.assert_array_equal(found.heat, mapped.heat)
    # A view that runs backwards, as of OpenCV's colours, is an array like others.
    found = cnnzoo.crack_map(classifier, cv2.imread(str(tmp_path / "wall.png"))[..., ::-1], tile=160)
    np.testing.assert_array_equal(found.cracks, mapped.cracks)


def test_how_much_is_done_is_told_over_all_sizes_of_tiles(classifier, wall):
    told = []
    found = CrackMapper(classifier).map(wall[0], told=told.append)
    assert len(found.tried) > 1 and len(told) > len(found.tried)
    np.testing.assert_allclose(told, np.arange(1, len(told) + 1) / len(told))


def test_no_crack_where_there_is_none(classifier):
    flat = cnnzoo.crack_map(classifier, np.full((300, 400, 3), 128, np.uint8))
    assert not flat.cracks.any() and not flat.heat.any() and flat.cracked == 0
    mapper = CrackMapper(classifier, tile=160)
    sound = (draw_tile(np.random.default_rng(seed), crack=False, size=320)[0] for seed in range(5))
    assert np.median([mapper.map(picture).cracks.sum() for picture in sound]) == 0


@pytest.mark.parametrize(("down", "right"), [(37, 53), (80, 0)])
def test_where_tiles_begin_does_not_show(classifier, wall, mapped, down, right):
    inner = np.s_[40:-40, 40:-40]  # at the border a photograph may say less of a crack
    found = cnnzoo.crack_map(classifier, wall[0][down:, right:], tile=160)
    whole, part = mapped.cracks[down:, right:][inner], found.cracks[inner]
    assert whole.sum() > 1000
    assert (whole & part).sum() / (whole | part).sum() > 0.95
    apart = np.abs(mapped.heat[down:, right:][inner].astype(int) - found.heat[inner])
    assert apart[whole].mean() < 10


def test_parts_in_which_lines_are_looked_for_do_not_show(classifier, wall, mapped, monkeypatch):
    monkeypatch.setattr(photograph, "_PIECE", 100)
    found = cnnzoo.crack_map(classifier, wall[0], tile=160)
    assert np.abs(found.heat.astype(int) - mapped.heat).max() < 10
    assert (found.cracks != mapped.cracks).sum() < 0.01 * mapped.cracks.sum()


def test_a_larger_photograph_of_the_same_wall_has_the_same_crack(classifier, wall, mapped):
    large = cv2.resize(wall[0], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = cnnzoo.crack_map(classifier, large, tile=320)
    half = cv2.resize(found.cracks.astype(np.uint8), (512, 512), interpolation=cv2.INTER_AREA) > 0
    assert f1(half, mapped.cracks, 3) > 0.95


def test_looks_say_what_the_model_says(classifier, wall):
    tiles = np.stack([wall[0][y : y + 160, x : x + 160] for y in (0, 176, 352) for x in (0, 176, 352)])
    looker = Looker(classifier.model, classifier.class_names.index("Positive"))
    found, places = looker.look(tiles)
    said = one_view(classifier.model).predict(tiles, verbose=0)[:, 1].astype(float)
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), said, atol=1e-5)
    assert looker.has_places
    assert places.shape[0] == 9 and places.shape[1] == places.shape[2] > 1


class Recorder(AnswerLooker):
    """Gives the tiles back in place of places, and counts the batches that it has at a time."""

    def __init__(self, size, at_once):
        super().__init__(None, size, 1)
        self.at_once, self.now, self.most = at_once, 0, 0
        self.lock = threading.Lock()

    def look(self, tiles):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
        return tiles.mean(axis=(1, 2, 3)), tiles


@pytest.mark.parametrize("tile", [50, 80, 96, 131, 240])
@pytest.mark.parametrize("overlap", [0, 0.3, 0.5])
@pytest.mark.parametrize("size", [80, 113])  # with 113 the last tile of a row would begin a pixel too late
def test_tiles_resized_together_are_those_resized_alone(wall, tile, overlap, size):
    picture = wall[0][:300, :450]
    batches = batches_of(picture.shape, tile, overlap)
    looks = looks_at(Recorder(size, 1), picture, [(tile, batch) for batch in batches])
    for batch, (_, tiles) in zip(batches, looks, strict=True):
        assert tiles.shape == (len(batch), size, size, 3)
        for (top, left), found in zip(batch, tiles, strict=True):
            alone = resize_image(picture[top : top + tile, left : left + tile], size)
            if tile == size:
                np.testing.assert_array_equal(found, alone)
            # The columns of a row of tiles are those of the row: each tile begins at one of them.
            moved = min(
                np.abs(found[:, 2 + by : size - 2 + by].astype(int) - alone[:, 2:-2]).mean()
                for by in (-1, 0, 1)
            )
            assert moved < 2.5


@pytest.mark.parametrize("at_once", [1, 3])
def test_batches_are_looked_at_at_once_but_no_more_than_may_be(wall, at_once):
    looker, batches = Recorder(32, at_once), [(32, [(y, 0)]) for y in range(0, 400, 10)]
    found = [float(scores[0]) for scores, _ in looks_at(looker, wall[0], batches)]
    assert found == [pytest.approx(wall[0][y : y + 32, :32].mean()) for y in range(0, 400, 10)]
    assert looker.most == at_once


def test_small_models_look_at_several_batches_at_once_where_that_is_safe(monkeypatch):
    at_once = {name: Looker(small(name, size=160), 1).at_once for name in ("crack_net", "densenet121")}
    assert at_once == {"crack_net": 3, "densenet121": 1}
    with monkeypatch.context() as context:
        context.setattr(keras.backend, "backend", lambda: "jax")
        assert Looker(small(), 1).at_once == 1
    monkeypatch.setattr(looking, "usable_cores", lambda: 1)
    assert Looker(small(), 1).at_once == 1


def test_how_many_are_looked_at_at_once_does_not_show(classifier, wall):
    maps = []
    for at_once in (1, 3):
        mapper = CrackMapper(classifier)
        mapper._looker.at_once = at_once
        maps.append(mapper.map(wall[0]))
    assert maps[0].tried == pytest.approx(maps[1].tried)
    np.testing.assert_array_equal(maps[0].heat, maps[1].heat)


def test_the_share_of_cracked_tiles_is_that_of_predict(classifier, wall, tmp_path):
    files = []
    for number, (y, x) in enumerate((y, x) for y in range(0, 512, 128) for x in range(0, 512, 128)):
        files.append(tmp_path / f"{number:02}.png")
        cv2.imwrite(str(files[-1]), wall[0][y : y + 128, x : x + 128, ::-1])
    classifier = replace(classifier, model=one_view(classifier.model))
    said = [verdict.class_name for verdict in cnnzoo.predict(classifier, files)]
    assert 0 < said.count("Positive") < 16
    found = cnnzoo.crack_map(classifier, wall[0], tile=128, overlap=0)
    assert found.cracked == said.count("Positive") / 16


def test_behind_an_average_a_tile_is_the_mean_of_its_places():
    # A mean and a dense layer are linear, and of two classes a softmax gives the difference of scores.
    tiles = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    for class_id in (0, 1):
        found, places = Looker(small(size=96), class_id).look(tiles)
        assert places.shape == (3, 3, 3)
        np.testing.assert_allclose(places.mean(axis=(1, 2)), found, atol=1e-5)


@pytest.mark.parametrize("name", ["three_conv", "lenet5"])
def test_a_model_that_has_no_places_is_asked_about_whole_tiles(name):
    model = small(name)
    looker = Looker(model, 1)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    found, places = looker.look(tiles)
    assert not looker.has_places
    assert places.shape == (3, 1, 1)
    np.testing.assert_array_equal(places.ravel(), found)
    found = cnnzoo.crack_map(cnnzoo.Classifier(model, ("sound", "crack")), np.tile(tiles[0], (3, 4, 1)))
    assert found.cracks.shape == (96, 128)


@pytest.mark.parametrize("size", [36, 100])
@pytest.mark.parametrize(("tile", "overlap"), [(50, 0.0), (72, 0.3), (91, 0.5)])
def test_every_place_is_looked_at_whatever_the_models_input(size, tile, overlap):
    # Not whole multiples of what places are drawn on: a place that no tile covers would divide 0 by 0.
    classifier = cnnzoo.Classifier(small(size=size), ("sound", "crack"))
    picture = np.random.default_rng(0).integers(0, 256, (157, 211, 3), dtype=np.uint8)
    found = cnnzoo.crack_map(classifier, picture, tile=tile, overlap=overlap)
    assert np.isfinite(list(found.tried.values())).all()


@pytest.mark.parametrize("shape", [(40, 200, 3), (100, 70, 3), (16, 16, 3), (17, 400, 3)])
def test_a_tile_larger_than_the_photograph_is_as_large_as_it(classifier, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for tile in (None, 4000):
        found = cnnzoo.crack_map(classifier, picture, tile=tile)
        assert found.cracks.shape == shape[:2]
        assert found.tile <= min(shape[:2])


def test_the_threshold_is_of_the_calibrated_probability(wall):
    # At a temperature of 2 the log-odds are half as large.
    model, picture = one_view(cnnzoo.load_model("crack_net").model), wall[0][:160, :160]
    raw = float(model.predict(resize_image(picture, 160)[None], verbose=0)[0, 1])
    warm = 1 / (1 + ((1 - raw) / raw) ** 0.5)
    warmed = cnnzoo.Classifier(model, ("Negative", "Positive"), Decision(2.0, "Positive", None, -2.0))
    for threshold, cracked in ((warm - 0.001, 1), (warm + 0.001, 0)):
        assert cnnzoo.crack_map(warmed, picture, tile=160, threshold=threshold).cracked == cracked


def test_the_positive_class_is_looked_for_wherever_it_stands(wall):
    classifier = cnnzoo.load_model("crack_net")
    # The same network with its classes the other way round.
    swapped = keras.models.clone_model(classifier.model)
    weights = classifier.model.get_weights()
    swapped.set_weights([*weights[:-2], weights[-2][:, ::-1], weights[-1][::-1]])
    other = cnnzoo.Classifier(swapped, ("a", "b"), Decision(positive="a"))
    plain = cnnzoo.Classifier(classifier.model, ("b", "a"), Decision(positive="a"))
    found, expected = (cnnzoo.crack_map(each, wall[0], tile=160) for each in (other, plain))
    np.testing.assert_allclose(found.heat.astype(int), expected.heat, atol=1)
    assert expected.cracks.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 5}, "tile 5"),
        ({"tile": 50.5}, "tile 50.5"),
        ({"overlap": 1}, "overlap 1"),
        ({"overlap": -0.1}, "overlap -0.1"),
        ({"threshold": 0}, "threshold 0"),
        ({"threshold": 2}, "threshold 2"),
        ({"threshold": float("nan")}, "threshold nan"),
    ],
)
def test_values_that_can_not_be_are_named(classifier, arguments, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.crack_map(classifier, np.zeros((64, 64, 3), np.uint8), **arguments)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((64, 64, 3)), "float64"),
        (np.zeros((64, 64), np.uint8), r"not \(64, 64\)"),
        (np.zeros((64, 64, 4), np.uint8), r"not \(64, 64, 4\)"),
        (np.zeros((15, 64, 3), np.uint8), "64 x 15 pixels"),
        ([[1, 2], [3, 4]], "not list"),
        ("nowhere.jpg", r"nowhere\.jpg"),
    ],
)
def test_what_is_no_photograph_is_said(classifier, picture, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.crack_map(classifier, picture)


@pytest.mark.parametrize(("names", "positive"), [(("crack", "plain"), "crack"), (("good", "Risse"), "Risse")])
def test_of_two_classes_that_which_says_so_is_looked_for(names, positive):
    assert CrackMapper(cnnzoo.Classifier(small(), names)).positive == positive
    decision = Decision(positive=names[0])
    assert CrackMapper(cnnzoo.Classifier(small(), names, decision)).positive == names[0]


def test_where_no_class_says_so_none_is_guessed():
    model, names = small(num_classes=3), ("crack", "joint", "plain")
    for classifier in (cnnzoo.Classifier(model, names), cnnzoo.Classifier(small(), ("cat", "dog"))):
        with pytest.raises(cnnzoo.InputError, match="--positive CLASS"):
            CrackMapper(classifier)
    assert CrackMapper(cnnzoo.Classifier(model, names, Decision(positive="joint"))).positive == "joint"
    with pytest.raises(cnnzoo.InputError, match="crack_map takes a Classifier"):
        CrackMapper(model)


def test_a_look_that_fails_leaves_no_thread_behind(wall, monkeypatch):
    mapper = CrackMapper("crack_net", tile=64)

    def fail(tiles):
        raise MemoryError

    monkeypatch.setattr(mapper._looker, "look", fail)
    before = threading.active_count()
    with pytest.raises(MemoryError) as caught:
        mapper.map(wall[0])
    assert caught.tb is not None  # which holds all that failed
    assert threading.active_count() == before


def test_part_of_a_picture_has_the_lines_that_it_has_in_the_whole():
    gray = np.random.default_rng(0).normal(150, 20, (1401, 1303)).clip(0, 255).astype(np.uint8)
    cv2.line(gray, (100, 1300), (1200, 50), 90, 3)
    whole = dark_lines(gray)
    for part in (np.s_[501:777, 333:901], np.s_[1:50, 1001:1303]):
        outer, within = photograph._widened(part, REACH, gray.shape, grid=max(WIDTHS))
        assert np.abs(dark_lines(gray[outer])[within] - whole[part]).max() < 0.2


@pytest.mark.parametrize("shape", [(16, 60_000), (65_500, 16)])
def test_the_longest_photographs_are_mapped(classifier, shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = cnnzoo.crack_map(classifier, picture, tile=16, overlap=0, threshold=1e-6)
    assert found.heat.shape == shape
    assert found.heat.any()


@pytest.mark.parametrize("tile", [160, 640])
def test_a_crack_is_as_clear_at_the_border_of_what_is_cracked(classifier, tile):
    picture = np.full((700, 900, 3), 150, np.uint8)
    picture += np.random.default_rng(0).integers(0, 20, picture.shape, dtype=np.uint8)
    cv2.line(picture, (0, 100), (899, 600), (60, 60, 60), 5)
    mapper = CrackMapper(classifier, tile=tile)
    seen, _ = mapper._seen(picture, "")
    # As a network says that is surer of a drawn line.
    seen = replace(seen, places=np.minimum(1, 2 * seen.places))
    everywhere, some = np.ones_like(seen.cracked), np.zeros_like(seen.cracked)
    rows, columns = (slice(side // 4, side * 3 // 4) for side in some.shape)
    some[rows, columns] = True
    whole = mapper._heat(picture, replace(seen, cracked=everywhere)).astype(int)
    part = mapper._heat(picture, replace(seen, cracked=some))
    assert np.abs(part - whole)[part > 0].max() < 10
    assert whole[part > 0].max() > 150


def test_what_is_seen_from_far_away_is_as_narrow():
    """At a lower resolution, where the tile is large."""
    picture = np.full((1600, 1600, 3), 150, np.uint8)
    cv2.line(picture, (100, 200), (1500, 1300), (60, 60, 60), 20)
    dark = picture[..., 0] < 100
    wide = cv2.dilate(dark.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
    narrow = photograph._narrowed(picture, wide, 0.1)
    assert (narrow & dark).sum() > 0.9 * dark.sum()
    assert (narrow & ~dark).sum() < 0.3 * dark.sum()

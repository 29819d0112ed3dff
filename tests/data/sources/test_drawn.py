"""Drawn surfaces: what a crack adds on each kind, and that nothing simpler tells the classes apart."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cnnzoo.data.images import read_image
from cnnzoo.data.manifest import build_manifest
from cnnzoo.data.pipeline import load_datasets
from cnnzoo.data.sources import synthetic
from cnnzoo.data.sources.drawn import added, stones
from cnnzoo.data.sources.drawn.photographs import draw_over, graft
from cnnzoo.data.sources.drawn.surfaces import KINDS, coarser, draw_surface_tile, kind_in_turn
from cnnzoo.errors import InputError


def tiles(kind, *, crack, count=12, size=128):
    return [
        draw_surface_tile(np.random.default_rng([crack, n]), crack=crack, kind=kind, size=size)
        for n in range(count)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_crack_is_darker_than_what_it_runs_through(kind):
    darker = []
    for image, cover in tiles(kind, crack=True):
        assert image.shape == (128, 128, 3)
        assert image.dtype == np.uint8
        assert cover.any()
        luma = image.mean(axis=2)
        darker.append(luma[cover].mean() < luma[~cover].mean() - 5)
    assert np.mean(darker) > 0.8
    assert not any(cover.any() for _, cover in tiles(kind, crack=False, count=3))


def test_the_same_numbers_draw_the_same_tile():
    first, again, other = (
        draw_surface_tile(np.random.default_rng(seed), crack=True, size=96)[0] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_brightness_and_contrast_do_not_tell_the_classes_apart():
    labels, light, contrast = [], [], []
    for kind in KINDS:
        for crack in (False, True):
            for image, _ in tiles(kind, crack=crack, count=12, size=160):
                labels.append(crack)
                light.append(image.mean())
                contrast.append(image.mean(axis=2).std())
    assert abs(roc_auc_score(labels, light) - 0.5) < 0.15
    assert abs(roc_auc_score(labels, contrast) - 0.5) < 0.2


def test_over_a_photograph_only_the_crack_differs():
    photograph = np.random.default_rng(0).integers(100, 140, (96, 96, 3), dtype=np.uint8)
    sound, cracked = (draw_over(np.random.default_rng(5), photograph, crack=crack) for crack in (False, True))
    changed = np.abs(cracked.astype(int) - sound).max(axis=2) > 8
    assert 0.005 < changed.mean() < 0.5


def test_a_graft_darkens_the_ground_where_the_photograph_has_its_crack_alone():
    ground = np.random.default_rng(0).integers(100, 200, (96, 96, 3), dtype=np.uint8)
    plain = np.full((96, 96, 3), 150, np.uint8)
    np.testing.assert_array_equal(graft(np.random.default_rng(1), ground, plain), ground)
    cracked = plain.copy()
    cracked[:, 46:50] = 50
    for seed in range(8):
        grafted = graft(np.random.default_rng(seed), ground, cracked)
        darker = grafted.mean(axis=2) < ground.mean(axis=2) - 5
        # A stripe of 4 columns, or of 4 rows where the photograph is turned, in proportion to its ground.
        assert darker.mean() == pytest.approx(4 / 96)
        share = grafted[darker] / ground[darker]
        assert (51 / 151) ** 1.2 < share.mean() < (51 / 151) ** 0.6
        assert share.std() < 0.01


@pytest.fixture
def few_drawn(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path))


def test_drawn_tiles_join_the_training_images_alone(image_folder, few_drawn):
    data = load_datasets(build_manifest(image_folder, progress=False), image_size=32, progress=False)
    positive = data.class_names[0]
    more = added.with_drawn(data, 20, positive)
    count = len(data.train)
    assert len(more.train) == 2 * count + 20 == len(more.train.paths)
    # Each image is there twice, with its label and its path.
    for first in (0, count):
        np.testing.assert_array_equal(more.train.images[first:][:count], data.train.images)
        np.testing.assert_array_equal(more.train.labels[first:][:count], data.train.labels)
        assert more.train.paths[first:][:count] == data.train.paths
    assert (more.train.labels[2 * count :] == 0).sum() == 10
    assert more.validation is data.validation
    assert more.test is data.test
    # Cracks bear the label of the class that was named, whichever it is.
    swapped = added.with_drawn(data, 20, data.class_names[1])
    np.testing.assert_array_equal(swapped.train.labels[2 * count :], 1 - more.train.labels[2 * count :])
    with pytest.raises(InputError, match="--positive"):
        added.with_drawn(data, 20, "")


def test_a_set_of_tiles_is_of_the_kinds_in_turn(tmp_path):
    folder = synthetic.drawn_surfaces(3, root=tmp_path, progress=False)
    for number in range(3):
        rng = np.random.default_rng([0, 0, number])
        tile, _ = draw_surface_tile(rng, crack=False, kind=kind_in_turn(number))
        kept = read_image(folder / "Negative" / f"{number + 1:05}.jpg")
        assert np.abs(coarser(rng, tile).astype(int) - kept).mean() < 4  # what a JPEG loses


def test_grafts_are_on_bricks_more_often_than_on_others():
    plain = np.full((4, 32, 32, 3), 150, np.uint8)
    grounds = np.broadcast_to(np.arange(80, dtype=np.uint8)[:, None, None, None], (80, 32, 32, 3))
    grafted = [*added._grafted(plain, [np.arange(2), np.arange(2, 4)], grounds, 400)]
    # A plain photograph changes no ground, so that each graft says which one it is on.
    kinds = [kind_in_turn(int(tile[0, 0, 0])) for tile in grafted]
    assert kinds.count("brick") / 400 == pytest.approx(0.5 + 0.5 * 2 / 8, abs=0.06)
    assert set(kinds) == set(KINDS)


def test_the_folder_of_drawn_surfaces_keeps_its_tiles(tmp_path):
    few = synthetic.drawn_surfaces(7, root=tmp_path, progress=False)
    more = synthetic.drawn_surfaces(9, root=tmp_path, progress=False)
    for name in ("Negative", "Positive"):
        assert len(list((more / name).iterdir())) == 9
        assert (few / name / "00007.jpg").read_bytes() == (more / name / "00007.jpg").read_bytes()


@pytest.mark.parametrize("corner", [0.0, 0.1, 0.4])
def test_stones_are_wider_than_their_joints_and_rounded_at_the_corners_alone(corner):
    grid = stones._grid(
        np.random.default_rng(0), 128, height=32, length=64, bond=0, ragged=0, tilt=0, corner=corner
    )
    # Half a stone's height from the nearest joint, at most; by hand, on a wall without bond, 32 x 64.
    assert grid.joint.max() == pytest.approx(16, abs=1)
    assert (grid.joint > 4).mean() == pytest.approx(24 / 32 * 56 / 64, abs=0.05)
    square = stones._grid(np.random.default_rng(0), 128, height=32, length=64, bond=0, ragged=0, tilt=0)
    nearer = square.joint - grid.joint
    assert (nearer > -1e-3).all()
    # What a round corner of radius r takes, (1 - pi / 4) r^2, is little of a stone, and none without one.
    assert (nearer > 1e-3).mean() <= 4 * (32 * corner) ** 2 / (32 * 64) + 0.02
    assert (grid.joint < 0).mean() == pytest.approx(4 * 0.2146 * (32 * corner) ** 2 / (32 * 64), abs=0.01)

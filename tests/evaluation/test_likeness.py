"""What is unlike the training images is told apart, and what is like them is not."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cnnzoo.data.images import read_image, resize_image
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.data.sources.drawn.surfaces import draw_surface_tile
from cnnzoo.evaluation.likeness import FEWEST, STATISTICS, likeness_of, looks

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def tiles():
    draws = [draw_tile(np.random.default_rng(i), crack=i % 2 == 1, size=64) for i in range(500)]
    return np.stack([draw[0] if isinstance(draw, tuple) else draw for draw in draws])


def test_hardly_any_image_like_the_training_images_is_called_unlike(tiles):
    found = likeness_of(tiles[:200], tiles[200:400])
    assert np.mean(found.distances(tiles[400:]) > 1) <= 0.06


def test_other_surfaces_are_unlike(tiles):
    found = likeness_of(tiles[:200], tiles[200:400])
    bricks = np.stack(
        [
            draw_surface_tile(np.random.default_rng(i), crack=False, size=64, kind="brick")[0]
            for i in range(60)
        ]
    )
    distances = found.distances(np.concatenate([tiles[400:], bricks]))
    assert roc_auc_score(np.arange(160) >= 100, distances) > 0.95


def test_a_distance_is_that_of_mahalanobis(tiles):
    found = likeness_of(tiles[:200], tiles[200:400])
    seen = np.array([looks(tile) for tile in tiles[:200]])
    away = looks(tiles[450]) - seen.mean(axis=0)
    squared = away @ np.array(found.precision) @ away
    assert found.distances(tiles[450:451])[0] == pytest.approx(np.sqrt(squared) / found.limit)
    # Shrunk towards equal variances, so not quite the inverse of the covariance.
    assert np.trace(np.array(found.precision) @ np.cov(seen.T)) == pytest.approx(STATISTICS, rel=0.35)


def test_colour_is_unlike_gray_images(tiles):
    gray = np.repeat(tiles.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3)
    found = likeness_of(gray[:200], gray[200:400])
    tinted = gray[400:].copy()
    tinted[..., 0] = np.minimum(tinted[..., 0].astype(int) + 25, 255)
    assert (found.distances(gray[400:]) < 1.5).mean() > 0.9
    assert (found.distances(tinted) > 5).all()


def test_with_too_few_images_nothing_is_claimed(tiles):
    assert likeness_of(tiles, tiles[: FEWEST - 1]) is None


@pytest.mark.skipif(not SHARED.exists(), reason="the real images of ../shared are not here")
@pytest.mark.parametrize("other", ["brickwork", "surfaces/concrete", "surfaces/pavement"])
def test_photographs_of_other_surfaces_are_told_from_those_of_metu(other):
    files = sorted((SHARED / "metu_half").glob("*/*.jpg"))
    chosen = np.random.default_rng(0).permutation(len(files))[:900]
    images = np.stack([resize_image(read_image(files[i]), 160) for i in chosen])
    found = likeness_of(images[:400], images[400:700])
    files = sorted((SHARED / other).glob("*/*.jpg"))
    chosen = np.random.default_rng(0).permutation(len(files))[:100]
    others = np.stack([resize_image(read_image(files[i]), 160) for i in chosen])
    own, away = found.distances(images[700:]), found.distances(others)
    assert np.mean(own > 1) <= 0.04
    assert roc_auc_score(np.arange(300) >= 200, np.concatenate([own, away])) > 0.95

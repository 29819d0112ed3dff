import io

import cv2
import numpy as np
import pytest
from PIL import Image

from cnnzoo.data.corruptions import CANVAS, CORRUPTIONS, corrupt
from cnnzoo.data.sources.concrete import draw_tile

TILE = draw_tile(np.random.default_rng(0), crack=True, size=CANVAS)[0]


def changed(kind, strength, seed=0):
    return np.abs(corrupt(TILE, kind, strength, seed=seed).astype(float) - TILE).mean()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_strength_changes_more_than_the_one_before(kind):
    for seed in (0, 1, 2):
        assert (np.diff([0] + [changed(kind, strength, seed) for strength in range(1, 6)]) > 0).all()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_an_image_stays_an_image_and_a_seed_repeats_it(kind):
    image = corrupt(TILE, kind, 3, seed=5)
    assert (image.shape, image.dtype) == (TILE.shape, np.uint8)
    assert (image == corrupt(TILE, kind, 3, seed=5)).all()


@pytest.mark.parametrize("kind", ["exposure", "rotation", "scale"])
def test_half_of_the_images_go_the_other_way(kind):
    images = [corrupt(TILE, kind, 4, seed=seed) for seed in range(30)]
    assert len({image.tobytes() for image in images}) == 2


def test_a_stop_of_light_is_a_gain_of_the_power_1_over_2_2():
    gray = np.full((8, 8, 3), 100, np.uint8)
    values = {int(corrupt(gray, "exposure", 3, seed=seed)[0, 0, 0]) for seed in range(10)}
    assert values == {round(100 * 2 ** (1 / 2.2)), round(100 / 2 ** (1 / 2.2))}


def test_noise_has_the_deviation_that_it_names():
    gray = np.full((256, 256, 3), 128, np.uint8)
    for strength, deviation in enumerate(CORRUPTIONS["noise"].strengths[:4], 1):
        assert corrupt(gray, "noise", strength).std() == pytest.approx(deviation, rel=0.03)


def test_jpeg_is_what_another_encoder_makes_of_it():
    for strength, quality in enumerate(CORRUPTIONS["jpeg"].strengths, 1):
        data = io.BytesIO()
        Image.fromarray(TILE).save(data, "JPEG", quality=int(quality))
        expected = np.asarray(Image.open(data), float)
        assert np.abs(corrupt(TILE, "jpeg", strength) - expected).mean() < 2


def test_a_rotation_turned_back_is_the_image_again():
    (degrees,) = CORRUPTIONS["rotation"].strengths[2:3]
    turned = corrupt(TILE, "rotation", 3, seed=0)
    middle = slice(CANVAS // 4, -CANVAS // 4)
    errors = []
    for sign in (-1, 1):
        matrix = cv2.getRotationMatrix2D(((CANVAS - 1) / 2,) * 2, sign * degrees, 1)
        back = cv2.warpAffine(turned, matrix, (CANVAS, CANVAS))
        errors.append(np.abs(back[middle, middle].astype(float) - TILE[middle, middle]).mean())
    assert min(errors) < 0.4 * max(errors)


def test_blur_takes_detail_away():
    detail = [cv2.Laplacian(corrupt(TILE, "blur", strength), cv2.CV_64F).var() for strength in range(1, 6)]
    assert (np.diff(detail) < 0).all()

import numpy as np
import pytest

from cnnzoo.data.augment import Augmentation, draw_maps, warp
from cnnzoo.errors import InputError

ALL = Augmentation(horizontal_flip=True, vertical_flip=True, rotation=0.2)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 33, 33, 3), dtype=np.uint8)


def augment(images, augmentation, *, seed=0, epoch=0):
    maps = draw_maps(augmentation, count=len(images), size=images.shape[1], seed=seed, epoch=epoch)
    return warp(images, maps)


@pytest.mark.parametrize(
    ("augmentation", "axis"),
    [(Augmentation(horizontal_flip=True), 1), (Augmentation(vertical_flip=True), 0)],
)
def test_a_flip_is_numpys_flip_in_about_half_of_the_cases(images, augmentation, axis):
    augmented = augment(images, augmentation)
    flipped = [np.array_equal(a, np.flip(b, axis)) for a, b in zip(augmented, images, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(augmented, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 16 < sum(flipped) < 48


def test_a_rotation_turns_about_the_centre_by_the_drawn_angle():
    matrix = draw_maps(Augmentation(rotation=0.25), count=500, size=101, seed=3, epoch=1)
    angles = np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]) / (2 * np.pi)
    assert -0.25 <= angles.min() < -0.23
    assert 0.23 < angles.max() <= 0.25
    assert np.allclose(matrix @ np.array([50, 50, 1.0]), 50)
    # A quarter turn, by hand: numpy's rot90 of the same image.
    image = np.random.default_rng(0).integers(0, 256, (1, 101, 101, 3), dtype=np.uint8)
    quarter = np.array([[[0.0, -1.0, 100.0], [1.0, 0.0, 0.0]]])
    assert np.array_equal(warp(image, quarter)[0], np.rot90(image[0], 1))


def test_draws_depend_on_seed_epoch_and_image_alone(images):
    again = augment(images, ALL, seed=1, epoch=2)
    assert np.array_equal(again, augment(images, ALL, seed=1, epoch=2))
    assert np.array_equal(again[:10], augment(images[:10], ALL, seed=1, epoch=2))
    assert not np.array_equal(again, augment(images, ALL, seed=1, epoch=3))
    assert not np.array_equal(again, augment(images, ALL, seed=2, epoch=2))


def test_without_augmentation_images_stay_as_they_are(images):
    assert not Augmentation().active
    assert np.array_equal(augment(images, Augmentation()), images)


def test_a_rotation_beyond_half_a_turn_is_refused():
    with pytest.raises(InputError, match="rotation is 36"):
        Augmentation(rotation=36)

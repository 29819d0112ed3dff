import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cnnzoo.data import augment as module
from cnnzoo.data.augment import Augmentation, draw, warp
from cnnzoo.errors import InputError

ALL = Augmentation(
    horizontal_flip=True,
    vertical_flip=True,
    rotation=0.2,
    quarter_turns=True,
    zoom=0.2,
    light=0.3,
    gamma=0.4,
    colour=0.1,
    blur=1.0,
    noise=8.0,
)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 33, 33, 3), dtype=np.uint8)


def augment(images, augmentation, *, seed=0, epoch=0):
    draws = draw(augmentation, count=len(images), size=images.shape[1], seed=seed, epoch=epoch)
    return module.augment(images, augmentation, draws)


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
    matrix = draw(Augmentation(rotation=0.25), count=500, size=101, seed=3, epoch=1).maps
    angles = np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]) / (2 * np.pi)
    assert -0.25 <= angles.min() < -0.23
    assert 0.23 < angles.max() <= 0.25
    assert np.allclose(matrix @ np.array([50, 50, 1.0]), 50)
    # A quarter turn, by hand: numpy's rot90 of the same image.
    image = np.random.default_rng(0).integers(0, 256, (1, 101, 101, 3), dtype=np.uint8)
    quarter = np.array([[[0.0, -1.0, 100.0], [1.0, 0.0, 0.0]]])
    assert np.array_equal(warp(image, quarter)[0], np.rot90(image[0], 1))
    assert np.array_equal(warp(image, quarter, smooth=False)[0], np.rot90(image[0], 1))


def test_draws_depend_on_seed_epoch_and_image_alone(images):
    again = augment(images, ALL, seed=1, epoch=2)
    assert np.array_equal(again, augment(images, ALL, seed=1, epoch=2))
    assert np.array_equal(again[:10], augment(images[:10], ALL, seed=1, epoch=2))
    assert not np.array_equal(again, augment(images, ALL, seed=1, epoch=3))
    assert not np.array_equal(again, augment(images, ALL, seed=2, epoch=2))


def test_without_augmentation_images_stay_as_they_are(images):
    assert not Augmentation().active
    assert np.array_equal(augment(images, Augmentation()), images)


def symmetries(image):
    turned = [np.rot90(image, k) for k in range(4)]
    return [*turned, *(np.flip(other, 1) for other in turned)]


def test_a_flip_and_quarter_turns_give_numpys_eight_symmetries_equally_often():
    images = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 33, 33, 3), dtype=np.uint8), 800, axis=0)
    augmented = augment(images, Augmentation(horizontal_flip=True, quarter_turns=True))
    counts = [sum(np.array_equal(a, wanted) for a in augmented) for wanted in symmetries(images[0])]
    assert sum(counts) == 800
    assert min(counts) > 70


def test_zoom_scales_about_the_centre_by_up_to_its_share():
    maps = draw(Augmentation(zoom=0.25), count=500, size=101, seed=0, epoch=0).maps
    factors = 1 / maps[:, 0, 0]
    assert 0.8 <= factors.min() < 0.81 and 1.24 < factors.max() <= 1.25
    assert np.allclose(maps @ np.array([50, 50, 1.0]), 50)


def test_light_and_colour_are_one_line_of_each_channel(images):
    augmented = augment(images, Augmentation(light=0.3, colour=0.1)).astype(float)
    for before, after in zip(images.astype(float), augmented, strict=True):
        for channel in range(3):
            x, y = before[..., channel].ravel(), after[..., channel].ravel()
            inside = (y > 0) & (y < 255)
            slope, offset = np.polyfit(x[inside], y[inside], 1)
            assert 0.7 * 0.9 - 0.01 < slope < 1.3 * 1.1 + 0.01
            assert np.abs(slope * x + offset - y)[inside].max() < 1.5


def test_gamma_is_a_power_of_the_level_and_leaves_black_and_white():
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (300, 1, 256, 3))[:, :, :1]
    augmentation = Augmentation(gamma=0.5)
    powers = draw(augmentation, count=300, size=256, seed=0, epoch=0).powers
    assert 1 / 1.5 <= powers.min() < 0.68 and 1.45 < powers.max() <= 1.5
    augmented = augment(ramp, augmentation)
    assert (augmented[:, 0] == 0).all() and (augmented[:, 255] == 255).all()
    for number in (0, 1, 2):
        wanted = [round(255 * (level / 255) ** powers[number]) for level in range(256)]
        assert augmented[number, :, 0, 0].tolist() == wanted


def test_light_without_colour_keeps_grey_grey():
    grey = np.full((50, 8, 8, 3), 90, np.uint8)
    augmented = augment(grey, Augmentation(light=0.5))
    assert (np.ptp(augmented, axis=3) == 0).all()
    means = augmented[:, 0, 0, 0].astype(int)
    assert means.min() < 60 and means.max() > 120


def test_noise_has_the_drawn_deviation_and_no_image_that_of_another():
    grey = np.full((40, 64, 64, 3), 128, np.uint8)
    draws = draw(Augmentation(noise=10.0), count=40, size=64, seed=0, epoch=0)
    noise = augment(grey, Augmentation(noise=10.0)).astype(float) - 128
    seen = draws.noises > 1
    # Rounding to whole levels adds a twelfth to the variance.
    wanted = np.sqrt(draws.noises[seen] ** 2 + 1 / 12)
    np.testing.assert_allclose(noise[seen].std(axis=(1, 2, 3)), wanted, rtol=0.1)
    assert abs(noise.mean()) < 0.1
    correlations = np.corrcoef(noise[draws.noises > 2].reshape(-1, 64 * 64 * 3))
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() < 0.05


def test_blur_is_scipys_gaussian_filter():
    image = np.random.default_rng(0).integers(0, 256, (1, 65, 65, 3), dtype=np.uint8)
    augmentation = Augmentation(blur=3.0)
    draws = draw(augmentation, count=1, size=65, seed=0, epoch=0)
    wanted = gaussian_filter(image[0].astype(float), (draws.blurs[0], draws.blurs[0], 0))
    assert np.abs(augment(image, augmentation)[0] - wanted)[8:-8, 8:-8].max() < 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rotation": 36}, "rotation is 36"),
        ({"light": 1.0}, "light is 1.0"),
        ({"colour": -0.1}, "colour is -0.1"),
        ({"noise": -1}, "noise is -1"),
        ({"zoom": -1}, "zoom is -1"),
        ({"gamma": float("inf")}, "gamma is inf"),
    ],
)
def test_strengths_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**arguments)

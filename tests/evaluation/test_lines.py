"""Dark lines are found whatever their direction, width and surface, and nothing else is."""

import cv2
import numpy as np
import pytest

from cnnzoo.evaluation.lines import _answers, _derivatives, _directions, dark_lines

CLEAR = 4


def surface(deviation, shape=(240, 320)):
    return np.random.default_rng(0).normal(150, deviation, shape).astype(np.float32)


def with_line(picture, by, width, degrees=20):
    """The picture with a line through its middle that is lighter or darker by so many gray levels."""
    height, across = picture.shape
    step = 110 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    middle = np.array([across / 2, height / 2])
    ends = (tuple(int(value) for value in np.rint(middle + sign * step)) for sign in (-1, 1))
    line = cv2.line(np.zeros(picture.shape, np.float32), *ends, 1, width, cv2.LINE_AA)
    return np.clip(picture + by * line, 0, 255).astype(np.uint8), line > 0.9


@pytest.mark.parametrize("deviation", [0, 12])
@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("degrees", [0, 20, 52, 90, 131])
def test_a_dark_line_is_clear_and_its_surroundings_are_not(deviation, width, degrees):
    picture, line = with_line(surface(deviation), -70, width, degrees)
    found = dark_lines(picture)
    assert np.median(found[line]) > 1.5 * CLEAR
    assert (found[cv2.dilate(line.astype(np.uint8), np.ones((31, 31))) == 0] < CLEAR).mean() > 0.98


@pytest.mark.parametrize("width", [1, 3, 8])
def test_a_bright_line_is_none(width):
    picture, line = with_line(surface(6), 70, width)
    assert np.percentile(dark_lines(picture)[line], 95) < CLEAR


def test_a_flat_picture_has_none_and_a_rough_one_hardly():
    assert dark_lines(np.full((100, 150), 77, np.uint8)).max() < 0.001
    for deviation in (5, 40):
        assert (dark_lines(surface(deviation).clip(0, 255).astype(np.uint8)) < CLEAR).mean() > 0.99


def test_a_turned_picture_gives_the_turned_answer():
    picture, _ = with_line(surface(12), -70, 3)
    turned = cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)
    back = cv2.rotate(dark_lines(turned), cv2.ROTATE_90_COUNTERCLOCKWISE)
    np.testing.assert_allclose(back, dark_lines(picture), atol=1e-3)


def test_tiny_pictures_are_taken():
    for shape in ((1, 1), (2, 40), (16, 16)):
        found = dark_lines(np.full(shape, 90, np.uint8))
        assert found.shape == shape and np.isfinite(found).all()


def second_derivative(degrees, length=6):
    """Of a Gaussian of deviation 1 across a line and `length` along it; it answers 1 to white noise."""
    y, x = np.mgrid[-18:19, -18:19]
    angle = np.radians(degrees)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = (across**2 - 1) * np.exp(-(across**2) / 2 - (along / length) ** 2 / 2)
    kernel -= kernel.mean()
    return kernel / np.linalg.norm(kernel)


def filters():
    """As they are when all that they are made of is done to a single place."""
    single = np.zeros((37, 37), np.float32)
    single[18, 18] = 1
    for shares, steps in _directions():
        kernel = np.tensordot(np.float32(shares), _derivatives(single), 1)
        for step in steps:
            kernel = cv2.filter2D(kernel, -1, step)
        yield kernel


def test_each_filter_is_nearly_a_second_derivative_drawn_out():
    for number, kernel in enumerate(filters()):
        assert np.sum(kernel * second_derivative(15 * number)) > 0.98
        assert np.sum(kernel * second_derivative(15 * number + 15)) < 0.7
        assert np.sum(kernel) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("shape", [(221, 219), (440, 441), (18, 18), (19, 700)])
def test_they_answer_as_opencv_filters_do(shape):
    picture = surface(30, shape)
    each = [cv2.filter2D(picture, cv2.CV_32F, k, borderType=cv2.BORDER_REFLECT_101) for k in filters()]
    highest, power = _answers(picture)
    np.testing.assert_allclose(highest, np.maximum(np.max(each, axis=0), 0), atol=2e-3)
    np.testing.assert_allclose(power, np.mean(np.square(each), axis=0), rtol=1e-3, atol=1e-2)

"""What the audit computes in its own way to be fast, beside the plain way of OpenCV and NumPy."""

import cv2
import numpy as np
import pytest

from cnnzoo.data.audit import examine, overlap, texture, twins

SIDE, RADIUS = twins.SIDE, overlap.SEARCH_RADIUS


def by_opencv(bands, first, second, turn, x, y):
    """The part of the first image that lies well inside the second, looked for around its place there."""
    one = np.rot90(bands[first], turn % 4)
    one = one[:, ::-1] if turn >= 4 else one
    left, right = max(0, x) + RADIUS, min(SIDE, SIDE + x) - RADIUS
    top, bottom = max(0, y) + RADIUS, min(SIDE, SIDE + y) - RADIUS
    if (right - left) * (bottom - top) < overlap.MIN_OVERLAP * SIDE * SIDE:
        return 0.0
    part = one[top - y : bottom - y, left - x : right - x].astype(np.float32)
    around = bands[second][top - RADIUS : bottom + RADIUS, left - RADIUS : right + RADIUS].astype(np.float32)
    return cv2.matchTemplate(around, part, cv2.TM_CCOEFF_NORMED).max()


def test_correlations_of_twins_are_those_of_opencv_and_others_stay_below():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 60, (2, SIDE + 40, SIDE + 40))
    smooth = [cv2.GaussianBlur(surface, (0, 0), 1.5) for surface in noise]
    corners = rng.integers(0, 41, (8, 2))
    bands = [smooth[i % 2][a : a + SIDE, b : b + SIDE] for i, (a, b) in enumerate(corners)]
    # The first in each of its turns, and so noisy that they are barely twins.
    bands += [overlap.turned_image(bands[0], turn) for turn in range(8)]
    grain = cv2.GaussianBlur(rng.normal(0, 60, (SIDE, SIDE)), (0, 0), 1.2)
    bands += [band + share * grain for band in bands[8:16] for share in (0.6, 0.9)]
    bands = np.stack(bands).clip(-127, 127).astype(np.int8)
    rows = [
        (*rng.choice(8, 2, replace=False), rng.integers(8), *rng.integers(-70, 71, 2), 0) for _ in range(150)
    ]
    # Image i + 2 is of the same surface: laid where it belongs, it correlates.
    shifts = [corners[i][::-1] - corners[i + 2][::-1] for i in range(6)]
    rows += [(i, i + 2, 0, *shift, 0) for i, shift in enumerate(shifts)]
    rows += [(0, 8 + turn, turn, *rng.integers(-2, 3, 2), 0) for turn in range(8)]
    rows += [(0, 16 + i, i // 2, *rng.integers(-2, 3, 2), 0) for i in range(16)]
    places = np.array([tuple(row) for row in rows], twins._PLACE)
    found = overlap.overlap_correlations(bands, places)
    expected = np.array([by_opencv(bands, *map(int, row[:5])) for row in rows])
    rough = found < overlap.WORTH_COMPARING
    np.testing.assert_allclose(found[~rough], expected[~rough], atol=1e-5)
    np.testing.assert_allclose(found[rough], expected[rough], atol=0.25)
    assert expected[rough].max() < 0.5  # twins have 0.6
    assert found[150:164].min() > 0.99
    assert (found[164:] < 0.7).sum() >= 8
    assert (found[164:] > 0.7).sum() >= 8
    assert (expected == 0).any()
    assert (rough & (expected != 0)).sum() > 50


def test_flat_images_correlate_with_nothing():
    bands = np.stack([np.full((SIDE, SIDE), 5), np.full((SIDE, SIDE), 7)]).astype(np.int8)
    places = np.array([(0, 1, 0, 0, 0, 1), (1, 0, 0, 0, 0, 1)], twins._PLACE)
    assert overlap.overlap_correlations(bands, places).tolist() == [0, 0]


@pytest.mark.parametrize("count", [1, 2, 7, 9216])
def test_percentiles_are_those_of_numpy(count):
    values = np.random.default_rng(0).gamma(1, 20, count).astype(np.float32)
    shares = (0, 1, 5, 25, 50, 95, 99, 100)
    np.testing.assert_allclose(texture._percentiles(values, shares), np.percentile(values, shares), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 3), (5, 7), (96, 96)])
def test_medians_are_those_of_numpy(shape):
    rng = np.random.default_rng(0)
    for highest in (2, 256):
        image = rng.integers(0, highest, (*shape, 3)).astype(np.uint8)
        found = [examine._median(image, channel) for channel in range(3)]
        assert found == np.median(image.reshape(-1, 3), axis=0).tolist()

"""Lengths, widths and outlines of cracks, against shapes whose measures are known without a computer."""

import cv2
import numpy as np
import pytest
from polygons import filled

from cnnzoo.deploy.traces import long_enough, skeleton_length, traced

ROOT = 2**0.5


def field(*bars, shape=(60, 100)):
    """A map with bars of (top, bottom, left, right), the last row and column not in it."""
    cracks = np.zeros(shape, bool)
    for top, bottom, left, right in bars:
        cracks[top:bottom, left:right] = True
    return cracks


def only(cracks, gap=0):
    (crack,) = traced(cracks, gap)
    return crack


@pytest.mark.parametrize("width", range(1, 9))
def test_a_straight_bar_is_as_long_and_as_wide_as_it_is(width):
    crack = only(field((20, 20 + width, 10, 90)))
    assert crack.width == width
    assert crack.extent == pytest.approx(1 + np.hypot(79, width - 1))
    # A skeleton ends about half of the width before each end.
    assert 79 - width <= crack.length <= 79


@pytest.mark.parametrize("width", [3, 6, 12])
def test_a_tilted_bar_has_the_measures_of_a_straight_one(width):
    # Drawn eight times as large, so that steps of pixels are small; sides of 3 to 4 to 5.
    box = cv2.boxPoints(((800, 800), (1000, 8 * width), np.degrees(np.arctan2(3, 4))))
    large = cv2.fillPoly(np.zeros((1600, 1600), np.uint8), [np.rint(box).astype(int)], 255)
    crack = only(cv2.resize(large, (200, 200), interpolation=cv2.INTER_AREA) > 127)
    assert abs(crack.width - width) < 1
    assert abs(crack.extent - np.hypot(125, width)) < 2
    assert 125 - width < crack.length < 1.1 * 125  # along pixels, a line of this slope is 1.08 times as long


def test_the_widest_place_decides():
    assert only(field((20, 23, 10, 90), (18, 25, 40, 47))).width == 7
    assert only(field((20, 22, 0, 100), (0, 60, 50, 54))).width == pytest.approx(4, abs=1)  # to the border


def test_an_l_is_as_long_as_both_its_legs():
    # 24 steps down and 29 to the right; the skeleton takes the corner by its diagonal.
    crack = only(field((5, 30, 10, 11), (29, 30, 10, 40)))
    assert crack.length == pytest.approx(23 + 28 + ROOT)
    assert crack.extent == pytest.approx(1 + np.hypot(24, 29))
    assert crack.width == 1


def test_a_ring_goes_around_and_its_outline_has_a_hole():
    cracks = field((5, 25, 5, 25))
    cracks[10:20, 10:20] = False
    crack = only(cracks)
    # A square of 15 steps a side, with four corners taken by their diagonals.
    assert crack.length == pytest.approx(4 * 13 + 4 * ROOT)
    ((outer, hole),) = crack.polygons
    # Along the edges of pixels, but for corners, which are cut off.
    assert np.min(outer, axis=0).tolist() == [5, 5] and np.max(outer, axis=0).tolist() == [25, 25]
    assert np.min(hole, axis=0).tolist() == [10, 10] and np.max(hole, axis=0).tolist() == [20, 20]


def test_a_pixel_alone_counts_as_one():
    crack = only(field((10, 11, 20, 21)))
    assert (crack.length, crack.extent, crack.width) == (1, 1, 1)
    (((*corners, last),),) = crack.polygons
    assert {tuple(corner) for corner in corners} == {(20.5, 10), (21, 10.5), (20.5, 11), (20, 10.5)}
    assert last == corners[0]


@pytest.mark.parametrize("gap", range(6))
def test_pieces_are_one_crack_up_to_the_gap(gap):
    def apart(distance):
        return field((30, 31, 10, 21), (30, 31, 21 + distance, 32 + distance))

    both = only(apart(gap), gap)
    assert both.length == (10 + 10 if gap else 21)  # the gap itself is not measured
    assert both.extent == 22 + gap
    assert len(both.polygons) == (2 if gap else 1)
    assert [crack.length for crack in traced(apart(gap + 1), gap)] == [10, 10]


def test_the_longest_crack_comes_first_and_outlines_lie_where_they_are():
    cracks = traced(field((5, 6, 3, 9), (50, 52, 20, 95), (20, 40, 50, 51)))
    assert [crack.extent for crack in cracks] == [pytest.approx(1 + np.hypot(74, 1)), 20, 6]
    ((outer,),) = cracks[2].polygons
    assert np.min(outer, axis=0).tolist() == [3, 5] and np.max(outer, axis=0).tolist() == [9, 6]
    assert not traced(field())


def test_outlines_are_closed_rings_that_fill_to_the_map_again():
    rng = np.random.default_rng(0)
    cracks = cv2.GaussianBlur(rng.normal(size=(120, 160)), (0, 0), 2) > 0.05
    polygons = [polygon for crack in traced(cracks, 3) for polygon in crack.polygons]
    assert sum(len(polygon) > 1 for polygon in polygons) >= 3
    for ring in (ring for polygon in polygons for ring in polygon):
        assert len(ring) >= 4 and ring[0] == ring[-1]
    np.testing.assert_array_equal(filled(polygons, cracks.shape), cracks)


def test_what_is_long_enough_stays_with_its_gaps():
    cracks = field((10, 11, 10, 40), (10, 11, 42, 70), (40, 41, 10, 30))
    kept = long_enough(cracks, 2, 50) & cracks
    np.testing.assert_array_equal(kept, field((10, 11, 10, 40), (10, 11, 42, 70)))


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        (["....", "...."], 0),
        ([".#..", "...."], 1),
        (["####", "...."], 3),
        (["#...", "#...", "#..."], 2),
        (["#...", ".#..", "..#.", "...#"], 3 * ROOT),
        (["...#", "..#.", ".#..", "#..."], 3 * ROOT),
        (["##..", "..##"], 2 + ROOT),
        (["#..", "#..", "###"], 4),  # two steps, and no diagonal besides
        (["#.#", ".#.", "#.#"], 4 * ROOT),
        ([".#.", "###", ".#."], 4),
    ],
)
def test_the_length_of_a_skeleton_is_that_of_its_steps(rows, length):
    skeleton = np.array([[mark == "#" for mark in row] for row in rows])
    assert skeleton_length(skeleton) == pytest.approx(length)

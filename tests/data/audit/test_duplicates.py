import cv2
import numpy as np
import pytest

from cnnzoo import limits
from cnnzoo.data.audit import twins as duplicates
from cnnzoo.data.audit.twins import SIDE, TwinIndex, same_file
from cnnzoo.data.sources.concrete import draw_tile

PLANTED = 120
LARGE, TILE = 148, 118  # two tiles shifted by up to a quarter fit into a large one


def thumbnail(image):
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def turned(image, turn):
    """Written out for three dimensions, with numpy alone."""
    image = np.rot90(image, turn % 4)
    return image[:, ::-1] if turn >= 4 else image


def encoded_again(rng, image):
    lit = np.clip((image.astype(float) - 128) * rng.uniform(0.75, 1.25) + 128 + rng.uniform(-25, 25), 0, 255)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))]
    return cv2.imdecode(cv2.imencode(".jpg", lit.astype(np.uint8), quality)[1], cv2.IMREAD_COLOR)


@pytest.fixture(scope="module")
def planted():
    """Thumbnails, and for image i < PLANTED the turn and shift of its twin PLANTED + i; then strangers."""
    rng = np.random.default_rng(0)
    firsts, seconds, truth = [], [], []
    for i in range(PLANTED):
        large, _ = draw_tile(np.random.default_rng([1, i]), crack=bool(i % 2), size=LARGE)
        x, y = rng.integers(-29, 30, 2) if i % 3 else (0, 0)
        left, top = max(0, -x), max(0, -y)
        turn = int(rng.integers(8))
        firsts.append(thumbnail(large[top : top + TILE, left : left + TILE]))
        second = large[top + y : top + y + TILE, left + x : left + x + TILE]
        seconds.append(thumbnail(encoded_again(rng, turned(second, turn))))
        truth.append((turn, x, y))
    strangers = [
        thumbnail(draw_tile(np.random.default_rng([2, i]), crack=bool(i % 2), size=TILE)[0])
        for i in range(160)
    ]
    return [*firsts, *seconds, *strangers], truth


def indexed(images, order=None):
    index = TwinIndex(len(images))
    for i in range(len(images)) if order is None else order:
        index.add(int(i), images[i])
    return index


@pytest.fixture(scope="module")
def found(planted):
    return indexed(planted[0]).find(progress=False).twins


def test_planted_twins_are_found_and_no_others(found):
    pairs = {(twin.first, twin.second) for twin in found}
    wanted = {(i, PLANTED + i) for i in range(PLANTED)}
    assert len(pairs & wanted) / len(wanted) >= 0.98
    assert len(pairs & wanted) / len(pairs) >= 0.98


def test_turn_and_shift_say_how_the_first_lies_on_the_second(planted, found):
    images, truth = planted
    for twin in found:
        turn, x, y = truth[twin.first]
        assert twin.turn == turn
        assert abs(twin.shift[0]) + abs(twin.shift[1]) == pytest.approx((abs(x) + abs(y)) / TILE, abs=0.06)
        # Laid on the second as the twin says, the first looks like it.
        first = turned(images[twin.first].astype(np.float32), twin.turn)
        move = np.float32([[1, 0, SIDE * twin.shift[0]], [0, 1, SIDE * twin.shift[1]]])
        laid = cv2.warpAffine(np.ascontiguousarray(first), move, (SIDE, SIDE), borderValue=-1)
        both = laid >= 0
        second = images[twin.second].astype(np.float32)
        assert np.corrcoef(laid[both], second[both])[0, 1] > 0.7


def test_the_order_in_which_images_come_does_not_matter(planted, found):
    order = np.random.default_rng(0).permutation(len(planted[0]))
    assert indexed(planted[0], order).find(progress=False).twins == found


def test_looking_up_the_last_images_only_finds_their_pairs(planted, found):
    images = planted[0][: 2 * PLANTED]
    some = indexed(images).find(range(PLANTED, 2 * PLANTED), progress=False).twins
    wanted = {(twin.first, twin.second) for twin in found}
    assert len({(twin.first, twin.second) for twin in some} & wanted) >= 0.98 * len(wanted)


def test_flat_images_and_single_ones_have_no_twins():
    flat = [np.full((SIDE, SIDE), 200, np.uint8)] * 5
    assert indexed(flat).find(progress=False).twins == ()
    assert TwinIndex(0).find(progress=False).twins == ()
    tile = thumbnail(draw_tile(np.random.default_rng(0), crack=True, size=TILE)[0])
    assert indexed([tile]).find(progress=False).twins == ()
    assert [(t.first, t.second) for t in indexed([tile, *flat, tile]).find(progress=False).twins] == [(0, 6)]


@pytest.mark.parametrize("turn", range(8))
def test_points_and_spectra_turn_with_their_image(turn):
    image = cv2.GaussianBlur(
        np.random.default_rng(0).normal(0, 30, (SIDE, SIDE)).astype(np.float32), (0, 0), 2
    )
    points = duplicates._key_points(image)
    there = duplicates._turned_points(points, turn)
    image_there = np.ascontiguousarray(turned(image, turn))
    assert [image[y, x] for x, y in points] == [image_there[y, x] for x, y in there]
    spectra = duplicates._spectra(image_there, there.astype(np.int8)).astype(float)
    expected = duplicates._turned_spectra(duplicates._spectra(image, points), turn)
    assert spectra == pytest.approx(expected, abs=1e-3)
    back = duplicates._turned_points(there, duplicates._inverse(turn))
    assert (back == points).all()


def test_copies_of_a_file_are_named_with_the_first_of_them():
    pairs = [(twin.first, twin.second, twin.score) for twin in same_file(["a", "b", "a", "c", "a", "b"])]
    assert pairs == [(0, 2, 1.0), (0, 4, 1.0), (1, 5, 1.0)]


def test_small_tiles_are_told_apart_and_their_twins_found():
    """Thumbnails of 64 pixels show no fine grain: unlike tiles that overlap little correlate by chance."""
    rng, side = np.random.default_rng(3), 64
    index = TwinIndex(800)

    def add(position, image):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        index.add(position, cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), image.shape)

    for i in range(100):
        large, _ = draw_tile(np.random.default_rng([4, i]), crack=bool(i % 2), size=side + 16)
        x, y = rng.integers(0, 17, 2)
        add(i, np.ascontiguousarray(large[8 : 8 + side, 8 : 8 + side]))
        add(100 + i, encoded_again(rng, turned(large[y : y + side, x : x + side], int(rng.integers(8)))))
    for i in range(600):
        add(200 + i, draw_tile(np.random.default_rng([5, i]), crack=bool(i % 2), size=side)[0])
    pairs = {(twin.first, twin.second) for twin in index.find(progress=False).twins}
    true = {(i, 100 + i) for i in range(100)}
    assert not pairs - true
    assert len(pairs & true) >= 90


def test_the_number_of_threads_does_not_matter(planted, found, monkeypatch):
    for cores in (1, 5):
        monkeypatch.setattr(limits, "usable_cores", lambda cores=cores: cores)
        monkeypatch.setattr(duplicates, "_LOOKED_UP", 500)
        assert indexed(planted[0]).find(progress=False).twins == found

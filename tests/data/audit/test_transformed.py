"""Copies as tools make them that augment before a split, planted by OpenCV's own warp among strangers."""

import csv

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnzoo.data.audit.examine import audit_manifest, twins_between
from cnnzoo.data.audit.findings import Audit
from cnnzoo.data.audit.groups import components
from cnnzoo.data.audit.summary import summary
from cnnzoo.data.audit.transformed import SIDE, TransformedIndex, _map
from cnnzoo.data.audit.twins import Twin
from cnnzoo.data.manifest import build_manifest
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.data.splits import split_manifest
from experiments import audit as command

SIZE, PLANTED, STRANGERS = 160, 10, 24


def tile(*seed):
    return draw_tile(np.random.default_rng(seed), crack=bool(seed[-1] % 2), size=SIZE)[0]


def about_the_middle(linear):
    middle = np.full(2, (SIZE - 1) / 2)
    return np.hstack([np.float64(linear), (middle - np.float64(linear) @ middle)[:, None]])


def map_of(i):
    """One of rotations, zooms and shears, every third mirrored before."""
    angle, zoom, shear = [(0.6, 1, 0), (0, 1.35, 0), (0, 0.75, 0), (0, 1, 0.25), (-0.4, 1.15, 0.1)][i % 5]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.diag([-1.0 if i % 3 == 2 else 1, 1])
    return about_the_middle(zoom * turn @ [[1, shear], [0, 1]] @ mirror)


def copy_of(i, image):
    """Empty corners are black, reflected or drawn out, as tools fill them."""
    border = (cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE)[i % 3]
    laid = cv2.warpAffine(image, map_of(i), (SIZE, SIZE), borderMode=border)
    return np.clip(laid.astype(float) * 0.9 + 8, 0, 255).astype(np.uint8)


def framed(i, image):
    """Rotated, each a little further, with black corners."""
    angle = 0.2 + 0.05 * i
    laid = about_the_middle([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return cv2.warpAffine(image, laid, (SIZE, SIZE))


def indexed(images):
    index = TransformedIndex(len(images))
    for i, image in enumerate(images):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        index.add(i, gray, cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return index


@pytest.fixture(scope="module")
def images():
    """Originals, then a copy of each, then strangers in black frames."""
    originals = [tile(1, i) for i in range(PLANTED)]
    copies = [copy_of(i, image) for i, image in enumerate(originals)]
    return [*originals, *copies, *(framed(i, tile(2, i)) for i in range(STRANGERS))]


@pytest.fixture(scope="module")
def found(images):
    return indexed(images).find(progress=False)


def test_transformed_copies_are_found_and_no_others(found):
    pairs = {(twin.first, twin.second) for twin in found.twins}
    wanted = {(i, PLANTED + i) for i in range(PLANTED)}
    assert not pairs - wanted
    assert len(pairs & wanted) >= PLANTED - 1
    assert found.tightened is None


def test_the_map_says_where_the_first_lies_on_the_second(found):
    for twin in found.twins:
        planted = map_of(twin.first)
        a, b, c, d, e, f = twin.affine
        for corner in ([0.5, 0.5], [0.2, 0.3], [0.8, 0.4]):
            there = (planted @ [*(SIZE * np.array(corner) - 0.5), 1] + 0.5) / SIZE
            assert there == pytest.approx(
                [np.dot([a, b, c], [*corner, 1]), np.dot([d, e, f], [*corner, 1])], abs=0.02
            )
        assert twin.centred


def test_quarter_turns_and_shifts_are_told_as_such():
    large = draw_tile(np.random.default_rng(5), crack=True, size=SIZE + 20)[0]
    first, second = large[:SIZE, :SIZE], large[20:, 10 : SIZE + 10]
    for turn in (1, 6):
        turned = np.rot90(first, turn % 4)
        turned = np.ascontiguousarray(turned[:, ::-1] if turn >= 4 else turned)
        (twin,) = indexed([turned, np.ascontiguousarray(second)]).find(progress=False).twins
        assert twin.affine is None
        # Turned back, it lies 10 pixels to the left and 20 above.
        assert twin.turn == (3 if turn == 1 else 6)
        assert twin.shift == pytest.approx((-10 / SIZE, -20 / SIZE), abs=0.02)
        assert twin.centred


def test_what_is_known_is_not_looked_for_again(images):
    index = indexed(images)
    known = [Twin(0, PLANTED, 0.9)]
    assert (0, PLANTED) not in {(t.first, t.second) for t in index.find(known, progress=False).twins}
    last = index.find(queries=range(PLANTED, 2 * PLANTED), progress=False).twins
    assert len(last) >= PLANTED - 1


def test_flat_images_and_none_have_no_copies():
    flat = [np.full((SIZE, SIZE, 3), 200, np.uint8)] * 3
    assert indexed(flat).find(progress=False).twins == ()
    assert TransformedIndex(0).find(progress=False).twins == ()


def test_digits_are_not_chained():
    digits = [cv2.resize(np.uint8(d * 15), (SIZE, SIZE)) for d in load_digits().images[:150]]
    found = indexed([cv2.cvtColor(digit, cv2.COLOR_GRAY2RGB) for digit in digits]).find(progress=False)
    assert np.bincount(components(150, found.twins)).max() <= 5


def test_a_map_of_points_leaves_out_the_worst():
    rng = np.random.default_rng(0)
    points, planted = rng.uniform(0, 128, (12, 2)), np.array([[0.9, 0.3, 5], [-0.2, 1.1, 7]])
    laid = np.column_stack([points, np.ones(12)]) @ planted.T
    laid[3] += 9
    assert _map(points, laid) == pytest.approx(planted, abs=1e-6)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    root = tmp_path_factory.mktemp("augmented") / "photos"
    for i, image in enumerate(images):
        origin = i % PLANTED if i < 2 * PLANTED else i
        path = root / ("crack", "sound")[origin % 2] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return root


def test_a_family_is_named_drawn_and_stays_on_one_side(folder, tmp_path, capsys):
    manifest = build_manifest(folder, progress=False)
    audit = audit_manifest(manifest, cached=False, progress=False)
    assert len(audit.families) >= PLANTED - 1
    split = split_manifest(manifest, groups=list(audit.groups), seed=0)
    sides = {i: side for side in ("train", "validation", "test") for i in getattr(split, side)}
    for family in audit.families:
        assert len(family) == 2
        assert len({sides[image] for image in family}) == 1
    audit.save(tmp_path / "audit.json")
    assert Audit.load(tmp_path / "audit.json") == audit
    assert command.main([str(folder), "--out", str(tmp_path / "out")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"looks augmented offline: {len(audit.families)} families of 2 images" in said
    assert (tmp_path / "out" / "augmented-photos.jpg").stat().st_size > 1000
    with (tmp_path / "out" / "issues.csv").open(newline="") as file:
        kinds = [line["kind"] for line in csv.DictReader(file)]
    assert kinds.count("augmented_copy") == len(audit.augmented)
    assert summary(manifest, audit).families == len(audit.families)


def test_overlapping_photographs_do_not_look_augmented(folder):
    audit = audit_manifest(build_manifest(folder, progress=False), cached=False, progress=False)
    moved = [Twin(i, i + 20, 0.9, affine=(1.1, 0.2, 0.05 * i - 0.4, -0.2, 1.1, 0.3)) for i in range(16)]
    values = {name: getattr(audit, name) for name in ("groups", "ordered", "suspects", "oddities")}
    natural = Audit(twins=tuple(moved), label_accuracy=None, **values)
    assert natural.augmented == () and natural.families == []


def test_copies_in_another_folder_are_found(images, folder, tmp_path):
    for i in range(5):
        path = tmp_path / ("crack", "sound")[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), copy_of(i + 1, images[i] if i else tile(3, 0)))
    manifest, other = build_manifest(folder, progress=False), build_manifest(tmp_path, progress=False)
    twins = twins_between(manifest, other, progress=False).twins
    pairs = {(manifest.images[t.first].path, other.images[t.second].path) for t in twins}
    for i in range(1, 5):
        name = ("crack", "sound")[i % 2]
        assert (f"{name}/{i:03}.png", f"{name}/{i}.png") in pairs

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cnnzoo.data.audit import groups
from cnnzoo.data.audit.examine import audit_manifest, twins_between
from cnnzoo.data.audit.findings import Audit
from cnnzoo.data.audit.texture import texture_features
from cnnzoo.data.audit.twins import Twin
from cnnzoo.data.manifest import build_manifest
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.data.splits import Split

SIZE = 96


def write(path, image, quality=95):
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    cv2.imwrite(str(path), np.ascontiguousarray(image), options)


def tile(*seed, crack=False):
    return draw_tile(np.random.default_rng(seed), crack=crack, size=SIZE)[0]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Sixty drawn tiles a class, with a copy, a turned one, a blurred, a black, a small one."""
    root = tmp_path_factory.mktemp("audited")
    for label, name in enumerate(("plain", "crack")):
        for i in range(60):
            write(root / name / f"{i:02}.png", tile(label, i, crack=bool(label)))
    shutil.copy(root / "plain" / "03.png", root / "plain" / "copy.png")
    write(root / "crack" / "turned.jpg", np.rot90(tile(1, 5, crack=True))[::-1], quality=60)
    write(root / "plain" / "blurred.png", cv2.GaussianBlur(tile(7, 7), (0, 0), 9))
    write(root / "plain" / "black.png", tile(7, 8) // 40)
    write(root / "plain" / "small.png", tile(7, 9)[:80, :70])
    return build_manifest(root, progress=False)


@pytest.fixture(scope="module")
def audit(manifest):
    return audit_manifest(manifest, cached=False, progress=False)


def position(manifest, path):
    return [image.path for image in manifest.images].index(path)


def test_copies_and_turned_images_are_twins_of_one_group(manifest, audit):
    copy = tuple(sorted(position(manifest, f"plain/{name}.png") for name in ("03", "copy")))
    turned = tuple(sorted(position(manifest, f"crack/{name}") for name in ("05.png", "turned.jpg")))
    assert {(twin.first, twin.second) for twin in audit.twins} == {copy, turned}
    assert {twin.score == 1 for twin in audit.twins if (twin.first, twin.second) == copy} == {True}
    assert sorted(map(tuple, audit.groups_of_many)) == sorted([copy, turned])


def test_odd_images_are_named_by_kind(manifest, audit):
    odd = {(manifest.images[o.image].path, o.kind) for o in audit.oddities}
    assert {("plain/blurred.png", "blurred"), ("plain/black.png", "dark"), ("plain/small.png", "size")} <= odd
    assert {path for path, _ in odd} == {"plain/blurred.png", "plain/black.png", "plain/small.png"}


def test_a_leak_is_a_test_image_with_a_twin_in_training(manifest, audit):
    original, turned = (position(manifest, f"crack/{name}") for name in ("05.png", "turned.jpg"))
    first, copy = (position(manifest, f"plain/{name}.png") for name in ("03", "copy"))
    split = Split(train=(original, first), validation=(copy,), test=(turned,))
    assert list(audit.leaked(split)) == [turned]
    assert {audit.leaked(split)[turned].first, audit.leaked(split)[turned].second} == {original, turned}
    assert audit.leaked(Split(train=(0,), validation=(original, first), test=(turned, copy))) == {}


def test_an_audit_is_saved_and_kept_for_the_same_images(manifest, audit, tmp_path):
    audit.save(tmp_path / "audit.json")
    assert Audit.load(tmp_path / "audit.json") == audit
    assert audit_manifest(manifest, progress=False) == audit
    # The second time nothing is read: the folder may be gone.
    assert audit_manifest(replace(manifest, root=tmp_path / "gone"), progress=False) == audit


def test_twins_in_another_folder_are_found_under_every_turn(manifest, tmp_path):
    for turn in range(8):
        image = np.rot90(tile(0, 10 + turn), turn % 4)
        write(tmp_path / "plain" / f"{turn}.jpg", image[:, ::-1] if turn >= 4 else image, quality=70)
        write(tmp_path / "crack" / f"{turn}.png", tile(9, turn, crack=True))
    other = build_manifest(tmp_path, progress=False)
    pairs = {
        (manifest.images[twin.first].path, other.images[twin.second].path)
        for twin in twins_between(manifest, other, progress=False).twins
    }
    assert pairs == {(f"plain/{10 + turn}.png", f"plain/{turn}.jpg") for turn in range(8)}


def test_runs_of_neighbours_are_groups_where_files_follow_their_photographs(tmp_path):
    rng = np.random.default_rng(0)
    for photograph in range(10):
        colour = rng.uniform(60, 200, 3)
        for i in range(12):
            # Numbered without leading zeros: 2 comes before 10.
            for name in (f"ordered/{12 * photograph + i}.png", f"shuffled/{rng.integers(10**9)}.png"):
                noisy = np.clip(colour + rng.normal(0, 25, (SIZE, SIZE, 1)), 0, 255)
                write(tmp_path / name, noisy.astype(np.uint8))
    manifest = build_manifest(tmp_path, progress=False)
    audit = audit_manifest(manifest, cached=False, progress=False)
    assert list(audit.ordered) == ["ordered"]
    group_of = {image.path: group for image, group in zip(manifest.images, audit.groups, strict=True)}
    neighbours = [(i, i + 1) for i in range(119) if (i + 1) % 12]
    together = [group_of[f"ordered/{a}.png"] == group_of[f"ordered/{b}.png"] for a, b in neighbours]
    assert np.mean(together) > 0.9
    alone = [group for path, group in group_of.items() if path.startswith("shuffled")]
    assert len(set(alone)) == len(alone)


def test_a_long_run_is_cut_into_equal_pieces():
    runs = np.array([4] * 10 + [1] * 3 + [2] * 4)
    assert groups._cut_long(runs, 4).tolist() == [0] * 4 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 4


def test_a_component_of_two_runs_goes_to_the_one_that_has_most_of_it():
    components = np.array([0, 0, 0, 1, 2, 3])
    runs = np.array([5, 5, 6, 6, 6, -1])
    joined = groups.join(components, runs).tolist()
    assert joined[0] == joined[1] == joined[2]
    assert joined[3] == joined[4]
    assert len({joined[0], joined[3], joined[5]}) == 3


def stripes(rng):
    pitch, angle = rng.uniform(0.2, 0.8), rng.uniform(0, 3)
    y, x = np.mgrid[:SIZE, :SIZE]
    wave = np.sin(pitch * (np.cos(angle) * x + np.sin(angle) * y))
    return (128 + 40 * wave + rng.normal(0, 40, (SIZE, SIZE)))[..., None].repeat(3, 2)


def noise(rng):
    return rng.normal(128, 40, (SIZE, SIZE, 1)).repeat(3, 2)


def label_folder(root, kinds, count, swapped=()):
    rng = np.random.default_rng(0)
    for name, kind in kinds.items():
        for i in range(count):
            (other,) = set(kinds) - {name}
            home = other if (name, i) in swapped else name
            write(root / home / f"{name}{i}.png", np.clip(kind(rng), 0, 255).astype(np.uint8))
    return build_manifest(root, progress=False)


def test_swapped_labels_are_named_with_the_right_class(tmp_path):
    swapped = {("noise", 3), ("noise", 40), ("stripes", 7)}
    manifest = label_folder(tmp_path, {"noise": noise, "stripes": stripes}, 100, swapped)
    audit = audit_manifest(manifest, cached=False, progress=False)
    found = {(manifest.images[s.image].path, manifest.class_names[s.suggested]) for s in audit.suspects}
    assert found == {
        ("stripes/noise3.png", "noise"),
        ("stripes/noise40.png", "noise"),
        ("noise/stripes7.png", "stripes"),
    }


def test_where_classes_look_alike_no_label_is_doubted(tmp_path):
    manifest = label_folder(tmp_path, {"a": noise, "b": noise}, 60)
    audit = audit_manifest(manifest, cached=False, progress=False)
    assert audit.suspects == ()
    assert audit.label_accuracy < 0.95


def test_features_are_the_same_for_turned_images():
    gray = tile(1, 1, crack=True)[..., 0].astype(np.float32)
    expected = texture_features(gray)
    assert np.isfinite(expected).all()
    for turn in range(8):
        image = np.rot90(gray, turn % 4)
        image = np.ascontiguousarray(image[:, ::-1] if turn >= 4 else image)
        assert texture_features(image) == pytest.approx(expected, rel=1e-3, abs=0.05)


def test_copies_of_a_copy_leak_too(audit):
    # Images 0, 1 and 2 are one file, and 3 shows what 2 shows: only 0 is named as a twin of each copy.
    twins = (Twin(0, 1, 1.0), Twin(0, 2, 1.0), Twin(2, 3, 0.9))
    copies = replace(audit, twins=twins)
    assert list(copies.leaked(Split(train=(1,), validation=(0,), test=(2,)))) == [2]
    assert list(copies.leaked(Split(train=(1,), validation=(0, 2), test=(3,)))) == [3]
    assert list(copies.leaked(Split(train=(), validation=(0, 1), test=(2, 3)))) == []

"""Sets whose unrelated images look alike: what is certain counts, the rest is doubtful."""

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnzoo.data.audit.chance import raise_needed
from cnnzoo.data.audit.examine import audit_manifest
from cnnzoo.data.audit.findings import Audit
from cnnzoo.data.audit.groups import components, find_runs
from cnnzoo.data.audit.summary import summary
from cnnzoo.data.audit.twins import SIDE, TwinIndex
from cnnzoo.data.manifest import build_manifest

DIGITS, PLANTED = 300, 24


def drawn_large(digit):
    """Smooth, as a digit of 8 x 8 pixels is once it is enlarged."""
    image = np.round(digit * 255 / 16).astype(np.uint8)
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def digits():
    """Enlarged digits, and then copies of the first: identical, turned, and shifted by a few pixels."""
    images = [drawn_large(digit) for digit in load_digits().images[:DIGITS]]
    for i in range(PLANTED):
        image = images[i]
        if i % 3 == 1:
            image = np.rot90(image, 1 + i % 2)
        if i % 3 == 2:
            image = cv2.warpAffine(image, np.float32([[1, 0, 4], [0, 1, -3]]), (SIDE, SIDE))
        images.append(np.ascontiguousarray(image))
    return images


@pytest.fixture(scope="module")
def found(digits):
    index = TwinIndex(len(digits))
    for i, image in enumerate(digits):
        index.add(i, image)
    return index.find(progress=False)


def test_digits_drawn_large_are_hundreds_of_groups(digits, found):
    groups = components(len(digits), found.twins)
    assert len(set(groups.tolist())) > 0.85 * DIGITS
    assert np.bincount(groups).max() <= 5
    assert 0.8 < found.tightened < 1


def test_planted_copies_of_digits_are_still_found(found):
    pairs = {(twin.first, twin.second) for twin in found.twins}
    planted = [(i, DIGITS + i) in pairs for i in range(PLANTED)]
    assert all(planted[0::3])
    assert np.mean(planted) >= 0.75


def test_what_does_not_count_is_doubtful_with_the_closest_image(found):
    named = {image for twin in found.doubtful for image in (twin.first, twin.second)}
    assert len(named) > DIGITS / 2
    assert len(found.doubtful) <= len(named)
    assert max(twin.score for twin in found.doubtful) < found.tightened
    assert not set(found.doubtful) & set(found.twins)


def level(scores, count=1000):
    """The raised threshold, of pairs that chain nothing, as a correlation."""
    pairs = np.arange(2 * len(scores)).reshape(-1, 2) % count
    labels = np.arange(count)  # a class each: no chain is too long
    excess = np.arctanh(scores) - np.arctanh(0.6)
    certain = np.zeros(len(scores), bool)
    return float(np.tanh(np.arctanh(0.6) + raise_needed(pairs, excess, certain, labels)))


def test_the_threshold_rises_with_what_unrelated_images_reach():
    rng = np.random.default_rng(0)
    twins = np.tanh(rng.uniform(1.2, 2.5, 300))
    for mean, least, most in ((0.2, 0.599, 0.601), (0.7, 0.8, 0.95)):
        unrelated = np.tanh(rng.normal(mean, 0.13, 20_000))
        raised = level(np.append(unrelated, twins))
        assert least <= raised <= most
        assert (unrelated >= raised).sum() <= 40


def test_a_class_of_one_chain_is_taken_apart_unless_it_is_certain():
    chain = np.stack([np.arange(39), np.arange(1, 40)], 1)
    labels = np.repeat([0, 1], 60)
    excess = np.linspace(0.5, 1.5, 39)
    assert raise_needed(chain, excess, np.zeros(39, bool), labels) > 1
    assert raise_needed(chain, excess, np.ones(39, bool), labels) == 0


def test_an_audit_keeps_and_tells_what_it_fell_back_to(digits, tmp_path):
    root = tmp_path / "digits"
    for i, image in enumerate(digits[:160]):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    manifest = build_manifest(root, progress=False)
    audit = audit_manifest(manifest, cached=False, progress=False)
    audit.save(tmp_path / "audit.json")
    assert Audit.load(tmp_path / "audit.json") == audit
    facts = summary(manifest, audit)
    assert facts.groups > 120
    assert facts.doubtful > 20
    assert f"{facts.tightened:.3f}" in facts.fallback


def test_a_small_class_in_order_keeps_enough_runs_to_split(tmp_path):
    for name, count in (("few", 40), ("many", 90)):
        (tmp_path / name).mkdir()
        for i in range(count):
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), np.full((16, 16), i, np.uint8))
    manifest = build_manifest(tmp_path, progress=False)
    light = np.array([int(image.path.split("/")[1][:-4]) for image in manifest.images], float)
    colours = np.stack([light, 0 * light, 0 * light, light], 1)
    runs, ordered = find_runs(manifest, colours)
    assert list(ordered) == ["many"]
    labels = np.array([image.label for image in manifest.images])
    assert len(np.unique(runs[labels == 1])) >= 12
    assert (runs[labels == 0] == -1).all()  # too few to judge

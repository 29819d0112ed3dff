from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cnnzoo.data.manifest import ImageRecord, Manifest
from cnnzoo.data.splits import few, fold_splits, split_manifest
from cnnzoo.errors import InputError
from experiments.cli.process import OPTION_OF_ARGUMENT


def manifest_of(contents):
    """A manifest without files: for each class the content of each image."""
    images = tuple(
        ImageRecord(f"{label}/{i:05}.png", label, 8, 8, "RGB", content)
        for label, row in enumerate(contents)
        for i, content in enumerate(row)
    )
    return Manifest(Path("nowhere"), tuple(map(str, range(len(contents)))), images)


def different(*counts):
    return manifest_of([[f"{label}-{i}" for i in range(count)] for label, count in enumerate(counts)])


def metu_like():
    """Two classes of 10,000, 1,500 contents in up to four copies, far apart, like the real set."""
    rng = np.random.default_rng(0)
    rows = []
    for label in range(2):
        row = [f"{label}-{i}" for i in range(10_000)]
        for original in range(750):
            for copy in rng.choice(np.arange(750, 10_000), rng.integers(1, 4), replace=False):
                row[copy] = row[original]
        rows.append(row)
    return manifest_of(rows)


def sides(split):
    return split.train, split.validation, split.test


@pytest.mark.parametrize(
    "fractions", [(0.7, 0.2, 0.1), (0.6, 0.2, 0.2), (0.34, 0.33, 0.33), (0.9, 0.05, 0.05)]
)
@pytest.mark.parametrize("counts", [(400, 400), (1000, 60), (100, 200, 300, 37)])
def test_splits_are_disjoint_covering_and_stratified(fractions, counts):
    manifest = different(*counts)
    split = split_manifest(manifest, fractions=fractions)
    assert sorted(i for side in sides(split) for i in side) == list(range(sum(counts)))
    for side, fraction in zip(sides(split), fractions, strict=True):
        assert list(side) == sorted(side)
        found = Counter(manifest.images[i].label for i in side)
        for label, count in enumerate(counts):
            assert abs(found[label] - fraction * count) <= 2


def test_the_seed_decides():
    manifest = different(100, 100)
    assert split_manifest(manifest, seed=3) == split_manifest(manifest, seed=3)
    assert split_manifest(manifest, seed=3) != split_manifest(manifest, seed=4)
    assert all(type(i) is int for i in split_manifest(manifest).test)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_copies_stay_together_and_fractions_hold(seed):
    manifest = metu_like()
    split = split_manifest(manifest, seed=seed)
    contents = [{manifest.images[i].sha256 for i in side} for side in sides(split)]
    assert not contents[0] & contents[1] | contents[0] & contents[2] | contents[1] & contents[2]
    assert sorted(i for side in sides(split) for i in side) == list(range(20_000))
    for side, fraction in zip(sides(split), (0.7, 0.2, 0.1), strict=True):
        for label in range(2):
            share = sum(manifest.images[i].label == label for i in side) / 10_000
            assert abs(share - fraction) < 0.01


def test_the_same_bytes_in_two_classes_stay_together():
    manifest = manifest_of(
        [["x", "y"] + [f"0-{i}" for i in range(20)], ["y", "x"] + [f"1-{i}" for i in range(20)]]
    )
    for seed in range(10):
        split = split_manifest(manifest, seed=seed)
        for content in "xy":
            both = {i for i, image in enumerate(manifest.images) if image.sha256 == content}
            assert len(both) == 2
            assert sum(both <= set(side) for side in sides(split)) == 1


@pytest.mark.parametrize("counts", [(10, 10), (10, 11, 1000), (13, 10, 10, 10, 57)])
def test_small_classes_are_on_every_side(counts):
    for seed in range(5):
        split = split_manifest(different(*counts), seed=seed)
        labels = np.repeat(np.arange(len(counts)), counts)
        assert all(set(labels[list(side)]) == set(range(len(counts))) for side in sides(split))


@pytest.mark.parametrize(
    "fractions",
    [(0.7, 0.2, 0.2), (1.1, -0.2, 0.1), (0.8, 0.2, 0.0), (0.7, 0.3), (0.7, float("nan"), 0.1), ()],
    ids=str,
)
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(InputError, match="fractions"):
        split_manifest(different(50, 50), fractions=fractions)


def test_a_class_too_small_for_three_sides_is_named():
    with pytest.raises(InputError, match=r"class '1' has 9 different images or groups .* at least 10"):
        split_manifest(different(50, 9))
    with pytest.raises(InputError, match="class '1' has 1 different image"):
        split_manifest(manifest_of([[f"{i}" for i in range(50)], ["same"] * 50]))


def test_too_few_groups_name_the_ways_out_and_what_they_give_up():
    manifest, groups = grouped([[10] * 5, [1] * 50])
    with pytest.raises(InputError, match=r"groups=range.*the accuracy is flattering.*smaller groups") as told:
        split_manifest(manifest, groups=groups)
    command = told.value.told(OPTION_OF_ARGUMENT)
    assert "--split random" in command
    assert "--groups FILE.csv" in command
    # Too few images are too few for a random split as well.
    with pytest.raises(InputError, match=r"add images$"):
        split_manifest(different(50, 9))


def grouped(sizes_by_class):
    """A manifest with a group for each size, and the group of each image."""
    rows = [[f"{label}-{i}" for i in range(sum(sizes))] for label, sizes in enumerate(sizes_by_class)]
    numbers = np.repeat(range(sum(map(len, sizes_by_class))), np.concatenate(sizes_by_class))
    return manifest_of(rows), numbers


@pytest.mark.parametrize("seed", range(3))
def test_groups_stay_whole_and_sides_stratified(seed):
    rng = np.random.default_rng(seed)
    manifest, groups = grouped([rng.integers(1, 30, 150), rng.integers(1, 4, 900)])
    split = split_manifest(manifest, groups=groups, seed=seed)
    assert sorted(i for side in sides(split) for i in side) == list(range(len(groups)))
    for group in set(groups.tolist()):
        members = set(np.flatnonzero(groups == group).tolist())
        assert sum(members <= set(side) for side in sides(split)) == 1
    labels = np.array([image.label for image in manifest.images])
    for side, fraction in zip(sides(split), (0.7, 0.2, 0.1), strict=True):
        for label in (0, 1):
            share = (labels[list(side)] == label).sum() / (labels == label).sum()
            assert abs(share - fraction) < 0.02


def test_groups_of_one_image_each_let_copies_part():
    manifest = metu_like()
    split = split_manifest(manifest, groups=range(len(manifest.images)))
    contents = [{manifest.images[i].sha256 for i in side} for side in sides(split)]
    assert contents[0] & contents[2]


def test_too_few_groups_are_named():
    manifest, groups = grouped([[10] * 5, [1] * 50])
    with pytest.raises(InputError, match="class '0' has 5 different images or groups"):
        split_manifest(manifest, groups=groups)


def test_few_training_images_come_from_the_same_split_class_by_class():
    manifest = different(700, 300)
    split = split_manifest(manifest)
    sizes = [few(split, manifest, size) for size in (10, 50, 500)]
    for part, size in zip(sizes, (10, 50, 500), strict=True):
        assert len(part.train) == size
        assert sum(manifest.images[i].label for i in part.train) == pytest.approx(0.3 * size, abs=1)
        assert part.test == split.test
        # As many labels for validation as the split has by its fractions, but never none of a class.
        assert len(part.validation) == max(4, round(size * 2 / 7))
        assert {manifest.images[i].label for i in part.validation} == {0, 1}
    for small, large in pairwise(sizes):
        assert set(small.train) < set(large.train) < set(split.train)
        assert set(small.validation) < set(large.validation) <= set(split.validation)


@pytest.mark.parametrize("size", [3, 701, 10_000])
def test_a_size_that_cannot_be_had_is_named(size):
    manifest = different(700, 300)
    with pytest.raises(InputError, match=f"train_size {size}: there are 700 training images"):
        few(split_manifest(manifest), manifest, size)


@pytest.mark.parametrize("size", [4, 10, 20, 35])
def test_few_images_hold_two_of_a_rare_class_too(size):
    manifest = different(2000, 100)
    side = few(split_manifest(manifest), manifest, size)
    for part in (side.train, side.validation):
        assert sum(manifest.images[i].label == 1 for i in part) >= 2


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_test_each_image_once_and_keep_groups_whole(folds):
    manifest = metu_like()
    groups = np.unique([image.sha256 for image in manifest.images], return_inverse=True)[1]
    splits = fold_splits(manifest, folds, groups=groups)
    assert len(splits) == folds
    assert sorted(i for split in splits for i in split.test) == list(range(20_000))
    for split in splits:
        assert sorted(i for side in sides(split) for i in side) == list(range(20_000))
        for a, b in pairwise([*sides(split), split.train]):
            assert not {groups[i] for i in a} & {groups[i] for i in b}
        # Two in nine of what is not tested are to choose by, each class alike.
        assert len(split.validation) == pytest.approx(2 / 9 * (20_000 - len(split.test)), rel=0.2)
        for side in sides(split):
            assert sum(manifest.images[i].label for i in side) == pytest.approx(len(side) / 2, rel=0.05)
    assert splits == fold_splits(manifest, folds, groups=groups)


def test_a_class_of_fewer_groups_than_folds_is_said():
    with pytest.raises(InputError, match="class '1' has 4 different images or groups of them: too few for 5"):
        fold_splits(different(40, 4), 5, groups=range(44))

"""Manifest to training, validation and test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnnzoo.data.class_names import SIDES
from cnnzoo.data.manifest import Manifest
from cnnzoo.errors import InputError

DEFAULT_FRACTIONS = (0.7, 0.2, 0.1)
MAX_FOLDS = 20
_FEW_STREAM = 5
_OTHER_GROUPS = (
    "{random} (near-duplicates may then be on both sides, so the accuracy is flattering), or {regroup}"
)
_OTHER_GROUPS_ARGUMENTS = {
    "random": "give each image a group of its own with groups=range(len(manifest.images))",
    "regroup": "smaller groups with groups=",
}


@dataclass(frozen=True)
class Split:
    """Sorted indices into `Manifest.images`: disjoint, and together all of them but for what `few` drops."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_manifest(
    manifest: Manifest,
    *,
    groups: Sequence[int] | npt.NDArray | None = None,
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    given: bool = True,
) -> Split:
    """Splits as the folders say, or at random, each class alike, with every group whole on one side.

    Where the images are already split, the sides are kept, and one that is missing is cut out of another by
    groups: test and validation out of training, training out of validation. Near-duplicates that lie on two
    given sides stay there: `audit_manifest` finds them. Else scikit-learn's `StratifiedGroupKFold` deals the
    groups out, as evenly as they allow; where every image is a group of its own, its `train_test_split` cuts.

    Args:
        manifest: of the images.
        groups: a number per image of the manifest; by default byte-identical files are a group, which leaves
            other near-duplicates free to lie on two sides: `audit_manifest` finds those.
        fractions: shares of training, validation and test images.
        given: False deals out images anew that are already split.
        seed: the same seed, manifest and groups give the same split.

    Raises:
        InputError: the fractions are not three positive shares of 1, or a class has too few images or groups.
    """
    if not (len(fractions) == 3 and min(fractions) > 0 and abs(sum(fractions) - 1) <= 1e-6):
        raise InputError(f"split fractions {fractions}: they must be three positive numbers with the sum 1")
    labels = np.array([image.label for image in manifest.images])
    if groups is None:
        groups = [image.sha256 for image in manifest.images]  # type: ignore[misc]
    if np.ndim(groups) != 1 or len(groups) != len(labels):
        raise InputError(f"groups must be a number for each of the {len(labels):,} images of the manifest")
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    if given and manifest.already_split:
        return _as_given(manifest, labels, numbers, fractions, seed)
    _check_enough(manifest, labels, numbers, fractions)
    if len(np.unique(numbers)) == len(labels):
        return _cut_images(labels, fractions, seed)
    return _deal_groups(manifest, labels, numbers, fractions, seed)


def leave_out(
    manifest: Manifest,
    away: Sequence[bool] | npt.NDArray,
    *groupings: Sequence[int] | npt.NDArray,
    seed: int = 0,
) -> Split:
    """Returns a split that tests on the images of `away` and trains on the others, two in nine to choose by.

    An image whose group, by any grouping, reaches into `away` is on no side.

    Args:
        manifest: of the images.
        away: whether each is left out of training, as all of one surface are.
        *groupings: a number per image each; the groups of the first are whole on one side.
        seed: the same seed, manifest and groups give the same split.

    Raises:
        InputError: a class has too few groups to train on and choose by, or no image to test on.
    """
    labels = np.array([image.label for image in manifest.images])
    left = np.asarray(away, bool)
    alike = left.copy()
    for groups in groupings:
        alike |= np.isin(groups, np.asarray(groups)[left])
    rest = np.flatnonzero(~alike)
    _, numbers = np.unique(np.asarray(groupings[0]), return_inverse=True)
    kept, validation, _ = DEFAULT_FRACTIONS
    share = validation / (kept + validation)
    for label, name in enumerate(manifest.class_names):
        found, needed = len(np.unique(numbers[rest][labels[rest] == label])), max(2, round(1 / share))
        if found < needed:
            raise InputError(
                f"class {name!r} has {found} different images or groups of them to train on and choose by; "
                f"at least {needed} are needed: add images to the other folders"
            )
    return _tested_on(manifest, np.flatnonzero(left), rest, labels, numbers, share, seed)


def _tested_on(
    manifest: Manifest,
    test: npt.NDArray,
    rest: npt.NDArray,
    labels: npt.NDArray,
    groups: npt.NDArray,
    share: float,
    seed: int,
) -> Split:
    """A split with these test images, which cuts that share out of the rest to choose by."""
    train, chosen = _cut_groups(manifest, rest, labels, groups, share, seed, (SIDES[0], SIDES[1]))
    sides = [train, chosen, test]
    _check_classes(manifest, labels, sides)
    return Split(*(_indices(side) for side in sides))


def fold_splits(
    manifest: Manifest,
    folds: int,
    *,
    groups: Sequence[int] | npt.NDArray,
    seed: int = 0,
) -> list[Split]:
    """Returns `folds` splits that test each image once, each class alike, every group whole on one side.

    Two in nine of the images that a split doesn't test on are to choose by. Sides that folders give are not
    kept.

    Args:
        manifest: of the images.
        folds: at least 2.
        groups: a number per image of the manifest.
        seed: the same seed, manifest and groups give the same splits.

    Raises:
        InputError: a class has fewer groups than folds, or too few to choose by.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([image.label for image in manifest.images])
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    for label, name in enumerate(manifest.class_names):
        found = len(np.unique(numbers[labels == label]))
        if found < folds:
            raise InputError(
                f"class {name!r} has {found} different images or groups of them: too few for {folds} folds"
            )
    kept, validation, _ = DEFAULT_FRACTIONS
    share = validation / (kept + validation)
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [
        _tested_on(manifest, test, rest, labels, numbers, share, seed)
        for rest, test in dealer.split(labels, labels, numbers)
    ]


def few(split: Split, manifest: Manifest, train_size: int, *, seed: int = 0) -> Split:
    """Returns a split of `train_size` training images, each class alike, validation in proportion.

    Labelled images for validation are labels too: so few training images go with few of them. The test
    images stay the same. The images of a smaller size are among those of a larger one.

    Raises:
        InputError: `train_size` is more than there are, or too few for two images of each class.
    """
    classes = len(manifest.class_names)
    if not 2 * classes <= train_size <= len(split.train):
        raise InputError(
            f"{{train_size}} {train_size}: there are {len(split.train):,} training images; at least "
            f"{2 * classes} are needed, or all",
            train_size="train_size",
        )
    validation = max(2 * classes, round(train_size * len(split.validation) / len(split.train)))
    return Split(
        train=_some(split.train, manifest, train_size, seed),
        validation=_some(split.validation, manifest, min(validation, len(split.validation)), seed),
        test=split.test,
    )


def _some(indices: tuple[int, ...], manifest: Manifest, count: int, seed: int) -> tuple[int, ...]:
    """The first `count` of a shuffled order in which the classes take turns by their shares."""
    order = np.random.default_rng([seed, _FEW_STREAM]).permutation(indices)
    labels = np.array([manifest.images[i].label for i in order])
    places = np.empty(len(order))
    for label in np.unique(labels):
        here = np.flatnonzero(labels == label)
        places[here] = (np.arange(len(here)) + 0.5) / len(here)
        places[here[:2]] = 0  # two of each class come first, however rare it is
    return tuple(sorted(int(i) for i in order[np.argsort(places, kind="stable")[:count]]))


def _check_enough(
    manifest: Manifest, labels: npt.NDArray, groups: npt.NDArray, fractions: tuple[float, float, float]
) -> None:
    needed = int(np.ceil(1 / min(fractions)))
    for label, name in enumerate(manifest.class_names):
        count = len(np.unique(groups[labels == label]))
        if count < needed:
            wanted = (
                f"class {name!r} has {count} different images or groups of them (near-duplicates, and "
                f"neighbours in the order of the files, are one group); at least {needed} are needed for "
                f"each side of the split {fractions} to have one: "
            )
            if (labels == label).sum() < needed:
                raise InputError(f"{wanted}add images")
            raise InputError(f"{wanted}add images, {_OTHER_GROUPS}", **_OTHER_GROUPS_ARGUMENTS)


def _as_given(
    manifest: Manifest,
    labels: npt.NDArray,
    groups: npt.NDArray,
    fractions: tuple[float, float, float],
    seed: int,
) -> Split:
    """The sides that the folders give; one that is missing is cut out of another."""
    names = np.array([image.side for image in manifest.images])
    sides = [np.flatnonzero(names == name) for name in SIDES]
    for missing, source in ((2, 0), (1, 0), (0, 1)):  # test, then validation, then training
        if len(sides[missing]):
            continue
        share = fractions[missing] / (fractions[missing] + fractions[source])
        sides[source], sides[missing] = _cut_groups(
            manifest, sides[source], labels, groups, share, seed, (SIDES[source], SIDES[missing])
        )
    _check_classes(manifest, labels, sides)
    return Split(*(_indices(side) for side in sides))


def _cut_groups(
    manifest: Manifest,
    here: npt.NDArray,
    labels: npt.NDArray,
    groups: npt.NDArray,
    share: float,
    seed: int,
    names: tuple[str, str],
) -> tuple[npt.NDArray, npt.NDArray]:
    """Cuts a share out of the images of one side, whole groups of them, each class alike."""
    folds = max(2, round(1 / share))
    for label, name in enumerate(manifest.class_names):
        found = len(np.unique(groups[here][labels[here] == label]))
        if found < folds:
            raise InputError(
                f"class {name!r} has {found} different images or groups of them in {names[0]}; at least "
                f"{folds} are needed to cut {names[1]} out of them: add images, or a folder for {names[1]}"
            )
    from sklearn.model_selection import StratifiedGroupKFold  # takes seconds to import: where it is needed

    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    kept, away = next(iter(dealer.split(here, labels[here], groups[here])))
    return here[kept], here[away]


def _check_classes(manifest: Manifest, labels: npt.NDArray, sides: Sequence[npt.NDArray]) -> None:
    for side, name in zip(sides, ("training", "validation", "test"), strict=True):
        missing = set(range(len(manifest.class_names))) - set(labels[side].tolist())
        if missing:
            raise InputError(
                f"class {manifest.class_names[min(missing)]!r} has no {name} images: its groups are too few "
                f"or too large: {_OTHER_GROUPS}",
                **_OTHER_GROUPS_ARGUMENTS,
            )


def _cut_images(labels: npt.NDArray, fractions: tuple[float, float, float], seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    def cut(items: npt.NDArray, share: float) -> tuple[npt.NDArray, npt.NDArray]:
        kept, away = train_test_split(items, test_size=share, stratify=labels[items], random_state=seed)
        return kept, away

    rest, test = cut(np.arange(len(labels)), fractions[2])
    train, validation = cut(rest, fractions[1] / (1 - fractions[2]))
    return Split(_indices(train), _indices(validation), _indices(test))


def _deal_groups(
    manifest: Manifest,
    labels: npt.NDArray,
    groups: npt.NDArray,
    fractions: tuple[float, float, float],
    seed: int,
) -> Split:
    from sklearn.model_selection import StratifiedGroupKFold

    folds = _folds(fractions)
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = [part for _, part in dealer.split(labels, labels, groups)]
    # The folds are alike by construction; which ones are the test images is the seed's doing.
    ends = np.cumsum([max(1, round(fraction * folds)) for fraction in (fractions[2], fractions[1])])
    test, validation, train = np.split(np.array([np.sort(part) for part in parts], object), ends)
    sides = [np.concatenate(list(side)).astype(int) for side in (train, validation, test)]
    _check_classes(manifest, labels, sides)
    return Split(*(_indices(side) for side in sides))


def _folds(fractions: tuple[float, float, float]) -> int:
    """The smallest number of folds that gives each side its share to a hundredth, or the best one."""

    def error(folds: int) -> float:
        return max(abs(max(1, round(f * folds)) / folds - f) for f in fractions)

    candidates = range(3, MAX_FOLDS + 1)
    return next((folds for folds in candidates if error(folds) <= 0.01), min(candidates, key=error))


def _indices(side: npt.NDArray) -> tuple[int, ...]:
    return tuple(sorted(int(i) for i in side))

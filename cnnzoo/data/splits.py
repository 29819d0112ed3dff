"""Manifest to training, validation and test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from cnnzoo.data.manifest import Manifest
from cnnzoo.errors import InputError

DEFAULT_FRACTIONS = (0.7, 0.2, 0.1)


@dataclass(frozen=True)
class Split:
    """Sorted indices into `Manifest.images`: disjoint, and together all of them."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_manifest(
    manifest: Manifest, *, fractions: tuple[float, float, float] = DEFAULT_FRACTIONS, seed: int = 0
) -> Split:
    """Splits at random, each class alike, byte-identical files always on one side.

    scikit-learn's `train_test_split` cuts over the different contents. Near-duplicates, such as overlapping
    crops of one photograph, can still come to lie on two sides.

    Args:
        manifest: of the images.
        fractions: shares of training, validation and test images.
        seed: the same seed and manifest give the same split.

    Raises:
        InputError: the fractions are not three positive shares of 1, or a class has too few images.
    """
    if not (len(fractions) == 3 and min(fractions) > 0 and abs(sum(fractions) - 1) <= 1e-6):
        raise InputError(f"split fractions {fractions}: three positive numbers with the sum 1 are wanted")
    contents: dict[str, list[int]] = {}
    for index, image in enumerate(manifest.images):
        contents.setdefault(image.sha256, []).append(index)
    groups = list(contents.values())
    labels = [manifest.images[group[0]].label for group in groups]
    _check_enough(manifest, labels, fractions)
    rest, test = _cut(list(range(len(groups))), labels, fractions[2], seed)
    train, validation = _cut(rest, [labels[i] for i in rest], fractions[1] / (1 - fractions[2]), seed)
    sides = [tuple(sorted(i for g in side for i in groups[g])) for side in (train, validation, test)]
    return Split(*sides)


def _check_enough(manifest: Manifest, labels: list[int], fractions: tuple[float, float, float]) -> None:
    counts = np.bincount(labels, minlength=len(manifest.class_names))
    needed = int(np.ceil(1 / min(fractions)))
    for name, count in zip(manifest.class_names, counts, strict=True):
        if count < needed:
            raise InputError(
                f"class {name!r} has {count} different images; at least {needed} are needed for each side "
                f"of the split {fractions} to have one"
            )


def _cut(items: Sequence[int], labels: list[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    kept, cut = train_test_split(items, test_size=share, stratify=labels, random_state=seed)
    return kept, cut

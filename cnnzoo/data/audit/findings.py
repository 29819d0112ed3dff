"""What an audit of a folder of images found."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

from cnnzoo.data.audit.groups import components
from cnnzoo.data.audit.twins import Twin
from cnnzoo.data.manifest import Manifest
from cnnzoo.data.splits import Split
from cnnzoo.files import cache_dir, keep, kept

VERSION = 9  # of what an audit finds: older ones in the cache are not read
FEWEST_FAMILIES = 6  # from which on a folder looks augmented
FAMILIES_PER_IMAGE = 0.005  # and so many of its images: a few pairs of a large folder are chance
MOSTLY_CENTRED = 0.25  # of the pairs; of overlapping photographs about a tenth


@dataclass(frozen=True)
class Suspect:
    """An image whose label is worth a second look: what it may be instead, how likely the given one is."""

    image: int
    suggested: int
    given_probability: float


@dataclass(frozen=True)
class Oddity:
    """An image that is far from the others in one respect: `kind` is dark, bright, flat, blurred or size."""

    image: int
    kind: str
    score: float


@dataclass(frozen=True)
class Audit:
    """What `audit_manifest` found.

    Attributes:
        twins: pairs of images of one piece of surface; numbers are positions in `Manifest.images`.
        groups: for each image the number of its group.
        ordered: length of the runs, in images, by name of each class whose file order shows its photographs.
        suspects: images whose label is worth a second look, the least likely label first.
        label_accuracy: share of images that the out-of-fold classifier gets right; None if not asked.
        oddities: exposure, focus and size.
        tightened: the correlation from which on a pair counts as twins, where unrelated images of these
            reach the usual threshold; None where that holds.
        doubtful: for each image its closest pair, if any, that the usual threshold would have counted.
        given: for each image the out-of-fold probability of its label; empty where labels were not judged.
        transformed_tightened: as `tightened`, for pairs of which one is rotated, zoomed, sheared or cropped.
    """

    twins: tuple[Twin, ...]
    groups: tuple[int, ...]
    ordered: dict[str, int]
    suspects: tuple[Suspect, ...]
    label_accuracy: float | None
    oddities: tuple[Oddity, ...]
    tightened: float | None = None
    doubtful: tuple[Twin, ...] = ()
    given: tuple[float, ...] = ()
    transformed_tightened: float | None = None

    @cached_property
    def groups_of_many(self) -> list[list[int]]:
        """The groups of more than one image, the largest first."""
        return _of_many(self.groups)

    @cached_property
    def augmented(self) -> tuple[Twin, ...]:
        """Pairs of which a tool made one of the other, where a folder looks augmented; none elsewhere.

        Photographs of one place, and crops of one photograph, are turned and zoomed too, but overlap
        anyhow: the middles of few lie on each other. A tool leaves them nearly where they are.
        """
        made: list[Twin] = []
        for free in (False, True):
            pairs = [t for t in self.twins if (t.affine is not None if free else t.turn > 0)]
            centred = [twin for twin in pairs if twin.centred]
            if len(centred) >= MOSTLY_CENTRED * len(pairs):
                made += centred
        families = _of_many(components(len(self.groups), made).tolist())
        enough = len(families) >= max(FEWEST_FAMILIES, FAMILIES_PER_IMAGE * len(self.groups))
        return tuple(made) if enough else ()

    @cached_property
    def families(self) -> list[list[int]]:
        """Images with what a tool made of them, the largest family first; none where nothing looks so."""
        return _of_many(components(len(self.groups), self.augmented).tolist())

    def leaked(self, split: Split) -> dict[int, Twin]:
        """The test images that have a twin among the training images, each with its closest one."""
        # Copies of a file are each a twin of the first of them alone: what holds for one holds for all.
        first = {twin.second: twin.first for twin in self.twins if twin.score == 1}
        train = {first.get(image, image): image for image in reversed(split.train)}
        tested: dict[int, list[int]] = {}
        for image in split.test:
            tested.setdefault(first.get(image, image), []).append(image)
        found: dict[int, Twin] = {}
        alike = [(first.get(t.first, t.first), first.get(t.second, t.second), t) for t in self.twins]
        for a, b, twin in alike:
            for here, there in ((a, b), (b, a)):
                for image in tested.get(here, ()):
                    if there in train and twin.score > getattr(found.get(image), "score", 0):
                        found[image] = replace(
                            twin, first=min(image, train[there]), second=max(image, train[there])
                        )
        return found

    def save(self, path: Path) -> None:
        """Writes a file of the cache that `load` reads."""
        keep(path, json.dumps(asdict(self)))

    @staticmethod
    def load(path: Path) -> "Audit | None":
        """Reads what `save` wrote; None where there is nothing, or, with a word, where it is damaged."""
        text = kept(path)
        return None if text is None else msgspec.convert(json.loads(text), Audit)


def _of_many(groups: Iterable[int]) -> list[list[int]]:
    members: dict[int, list[int]] = {}
    for image, group in enumerate(groups):
        members.setdefault(group, []).append(image)
    return sorted((m for m in members.values() if len(m) > 1), key=lambda m: (-len(m), m[0]))


def audit_file(manifest: Manifest) -> Path:
    """Returns where the cache keeps, or would keep, the audit of these images."""
    return cache_dir("audits") / f"{manifest.fingerprint[:32]}-v{VERSION}.json"

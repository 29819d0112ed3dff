"""What an audit found, in numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from cnnzoo.data.class_names import SIDES
from cnnzoo.errors import InputError

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Twin
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.data.splits import Split

SPLIT_SEED = 0  # one split for every seed and recipe: all are tested on the same images
TRUSTED_ACCURACY = 0.95  # out of fold, from which on doubts about labels are worth showing
# Of METU's half: images whose label was worth a second look, and how many were mislabelled when an AI model
# looked at each, one by one: results/audit/second_look.csv.
LOOKED_AT, MISLABELLED = 14, 0


@dataclass(frozen=True)
class AuditFacts:
    """What an audit found, in numbers for a record.

    `twins` of the `images` show what another one shows, `identical` ones are copies of a file.
    `random_split_leaked` of `random_split_test` test images would have a twin in training. `ordered` has the
    length of the runs of each class in the order of its photographs, `suspects` the paths of the images whose
    label is worth a second look, which count from a `label_accuracy` of `TRUSTED_ACCURACY` on. Where
    unrelated images reach the usual threshold, `tightened` is the correlation from which on a pair counted,
    and `doubtful` of the images without a twin would have had one. `transformed_tightened` is that
    correlation for rotated, zoomed, sheared and cropped copies. `families` of up to `largest_family` images
    are what a tool made of one each, where the folder looks so; `largest_group` images must stay together.
    """

    images: int
    groups: int
    identical: int
    twins: int
    random_split_leaked: int
    random_split_test: int
    ordered: dict[str, int]
    label_suspects: int
    label_accuracy: float | None
    oddities: int
    suspects: tuple[str, ...] = ()
    tightened: float | None = None
    doubtful: int = 0
    transformed_tightened: float | None = None
    families: int = 0
    largest_family: int = 0
    largest_group: int = 0

    @property
    def augmented(self) -> str:
        """A sentence on a folder that looks augmented; empty elsewhere."""
        if not self.families:
            return ""
        sizes = "2" if self.largest_family == 2 else f"2 to {self.largest_family:,}"
        return (
            f"This folder looks augmented offline: {self.families:,} families of {sizes} images (turned, "
            "mirrored, rotated, zoomed, sheared or cropped copies)"
        )

    @property
    def transformed_fallback(self) -> str:
        """A sentence on transformed copies where fewer count than usual; empty elsewhere."""
        if self.transformed_tightened is None:
            return ""
        return (
            "Rotated, zoomed, sheared and cropped copies: unrelated images of this set look alike at the "
            "usual threshold, or would be chained together; only pairs that correlate by "
            f"{self.transformed_tightened:.3f} or more count"
        )

    @property
    def labels_judged(self) -> bool:
        """Whether the classifier behind the doubts about labels is good enough for them to count."""
        return (self.label_accuracy or 0) >= TRUSTED_ACCURACY

    @property
    def fallback(self) -> str:
        """A sentence on near-duplicates where fewer count than usual; empty elsewhere."""
        return fallback(self.tightened, self.twins + self.doubtful)


def where_checked() -> str:
    """Says how many of such suspects were mislabelled where somebody looked."""
    return (
        f"of {LOOKED_AT} such images of METU's half that were looked at, {MISLABELLED or 'none'} "
        f"{'was' if MISLABELLED < 2 else 'were'} mislabelled"
    )


def fallback(tightened: float | None, alike: int) -> str:
    """Says that of `alike` images only pairs from a correlation of `tightened` on count; else nothing."""
    if tightened is None:
        return ""
    return (
        f"Near-duplicates: {alike:,} images look alike at the usual threshold, as unrelated images of this "
        f"set do; only pairs that correlate by {tightened:.3f} or more count, the others are doubtful"
    )


def summary(manifest: "Manifest", audit: "Audit") -> AuditFacts:
    """Counts what the audit of a manifest found."""
    plain = random_split(manifest)
    named = _images(audit.twins)
    return AuditFacts(
        images=len(manifest.images),
        groups=len(set(audit.groups)),
        identical=len(_images(twin for twin in audit.twins if twin.score == 1)),
        twins=len(named),
        random_split_leaked=len(audit.leaked(plain)) if plain else 0,
        random_split_test=len(plain.test) if plain else 0,
        ordered=audit.ordered,
        label_suspects=len(audit.suspects),
        suspects=tuple(manifest.images[suspect.image].path for suspect in audit.suspects),
        label_accuracy=audit.label_accuracy,
        oddities=len(audit.oddities),
        tightened=audit.tightened,
        doubtful=len(_images(audit.doubtful) - named),
        transformed_tightened=audit.transformed_tightened,
        families=len(audit.families),
        largest_family=max(map(len, audit.families), default=0),
        largest_group=max(map(len, audit.groups_of_many), default=1),
    )


def random_split(manifest: "Manifest") -> "Split | None":
    """The split that knows no groups; None where there are too few images for one."""
    from cnnzoo.data.splits import split_manifest

    try:
        own = list(range(len(manifest.images)))
        return split_manifest(manifest, groups=own, seed=SPLIT_SEED, given=False)
    except InputError:
        return None


def given_leaks(manifest: "Manifest", audit: "Audit") -> "dict[tuple[str, str], dict[int, Twin]]":
    """Returns what leaks between the sides that the folders give: see `leaks_between_sides`."""
    from cnnzoo.data.splits import Split

    sides = {
        side: tuple(i for i, image in enumerate(manifest.images) if image.side == side) for side in SIDES
    }
    return leaks_between_sides(audit, Split(**sides))


def leaks_between_sides(audit: "Audit", split: "Split") -> "dict[tuple[str, str], dict[int, Twin]]":
    """Returns, for every two sides, the images of the second that have a near-duplicate in the first."""
    from cnnzoo.data.splits import Split

    found = {}
    for first, second in combinations(SIDES, 2):
        pair = Split(train=getattr(split, first), validation=(), test=getattr(split, second))
        found[first, second] = audit.leaked(pair)
    return {sides: leaked for sides, leaked in found.items() if leaked}


def _images(twins: "Iterable[Twin]") -> set[int]:
    """The images that pairs name."""
    return {image for twin in twins for image in (twin.first, twin.second)}

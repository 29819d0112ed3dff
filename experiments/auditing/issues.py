"""issues.csv: a line for each thing that an audit found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Twin
    from cnnzoo.data.manifest import Manifest


DOUBTFUL = "doubtful_near_duplicate"
AUGMENTED = "augmented_copy"


class Issue(NamedTuple):
    """A line of issues.csv. `twin` is the other image of a pair, `suggestion` the class it may be."""

    path: str
    kind: str
    score: float | str
    twin: str = ""
    suggestion: str = ""


def issues_of(manifest: "Manifest", audit: "Audit") -> Iterator[Issue]:
    def path(i: int) -> str:
        return str(manifest.root / manifest.images[i].path)

    for bad in manifest.bad:
        yield Issue(str(manifest.root / bad.path), "unreadable", "", suggestion=bad.reason)
    for i, image in enumerate(manifest.images):
        if image.warning:
            yield Issue(path(i), "decodes_with_warnings", "", suggestion=image.warning)
    for suspect in audit.suspects:
        suggested = manifest.class_names[suspect.suggested]
        yield Issue(path(suspect.image), "label", round(suspect.given_probability, 4), suggestion=suggested)
    augmented = {(twin.first, twin.second) for twin in audit.augmented}
    for twin in audit.twins:
        labels = {manifest.images[i].label for i in (twin.first, twin.second)}
        same = "identical" if twin.score == 1 else "near_duplicate"
        same = AUGMENTED if (twin.first, twin.second) in augmented else same
        yield issue_of_pair(manifest, manifest, twin, same if len(labels) == 1 else "twin_in_other_class")
    for twin in audit.doubtful:
        yield issue_of_pair(manifest, manifest, twin, DOUBTFUL)
    for oddity in audit.oddities:
        yield Issue(path(oddity.image), oddity.kind, round(oddity.score, 2))


def issue_of_pair(first: "Manifest", second: "Manifest", twin: "Twin", kind: str) -> Issue:
    a, b = first.images[twin.first], second.images[twin.second]
    return Issue(str(first.root / a.path), kind, round(twin.score, 4), str(second.root / b.path))

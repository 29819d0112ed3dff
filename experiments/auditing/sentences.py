"""What an audit found, in sentences for the terminal."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnzoo.data.audit.summary import TRUSTED_ACCURACY, AuditFacts, summary

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Twin
    from cnnzoo.data.manifest import Manifest


def say_findings(manifest: "Manifest", audit: "Audit") -> None:
    """Prints what the audit of a folder found."""
    found = summary(manifest, audit)
    counts = ", ".join(f"{name} {count:,}" for name, count in manifest.counts().items())
    sizes = Counter((image.width, image.height) for image in manifest.images)
    ((width, height), usual), *_ = sizes.most_common(1)
    print(f"\n{manifest.root}: {found.images:,} images ({counts}); {usual:,} of {width} x {height} pixels")
    if manifest.bad:
        print(f"  {len(manifest.bad):,} files can't be read: {manifest.bad[0].path} …")
    print(
        f"  {found.twins:,} images show what another one shows; {found.identical:,} of them are copies "
        "of a file"
    )
    crossed = sum(manifest.images[t.first].label != manifest.images[t.second].label for t in audit.twins)
    if crossed:
        print(f"  {crossed:,} pairs of them lie in different classes")
    if found.random_split_test:
        print(_random_leak(found))
    for name, length in audit.ordered.items():
        print(f"  {name} is in the order of its photographs: runs of about {length} files belong together")
    print(f"  {found.groups:,} groups that must each stay on one side of a split")
    print(f"  {_labels(audit)}")
    kinds = Counter(oddity.kind for oddity in audit.oddities)
    print("  odd: " + (", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())) or "none"))


def _random_leak(found: AuditFacts) -> str:
    return (
        f"  with a random split {found.random_split_leaked:,} of {found.random_split_test:,} test "
        "images have a twin in training"
    )


def _labels(audit: "Audit") -> str:
    if audit.label_accuracy is None:
        return "labels: too few groups of images to doubt any"
    if audit.label_accuracy < TRUSTED_ACCURACY:
        return (
            f"labels: not judged, a simple classifier is right for {audit.label_accuracy:.1%} of the images, "
            f"and its doubts count from {TRUSTED_ACCURACY:.0%} on"
        )
    return f"{len(audit.suspects):,} labels are doubtful"


def say_leak(first: "Manifest", second: "Manifest", twins: "Sequence[Twin]") -> None:
    """Prints how many images of the second folder show what an image of the first shows."""
    seen = {twin.second for twin in twins}
    print(
        f"\n{len(seen):,} of {len(second.images):,} images of {second.root} show what an image of "
        f"{first.root} shows"
    )

"""What an audit found, in sentences for the terminal."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.audit.summary import TRUSTED_ACCURACY, AuditFacts, fallback, summary, where_checked
from cnnzoo.data.class_names import SIDES, positive_class
from cnnzoo.errors import printable
from experiments.auditing.issues import AUGMENTED, DOUBTFUL
from experiments.cli.folder_lines import class_line, doubts
from experiments.cli.say import say

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Found, Twin
    from cnnzoo.data.manifest import ImageRecord, Manifest

LISTED = 10  # unusable files on the terminal


def say_classes(folder: Path, manifest: "Manifest") -> None:
    """Prints what a folder was read as, before anything is looked at."""
    say(f"\n{printable(folder)}: {len(manifest.images):,} images")
    say(f"  {class_line(manifest.counts(), positive_class(manifest.class_names))}")
    if manifest.already_split:
        sides = Counter(image.side for image in manifest.images)
        told = ", ".join(f"{side} {sides[side]:,}" for side in SIDES if sides[side])
        say(f"  Already split: {told}")
    for line in doubts(manifest):
        say(f"  Warning: {line}")


def say_given_leaks(manifest: "Manifest", leaks: "dict[tuple[str, str], dict[int, Twin]]") -> None:
    """Prints what leaks between the sides of a folder that is already split."""
    for (first, second), leaked in leaks.items():
        path = printable(manifest.images[min(leaked)].path)
        say(f"  Leak: {len(leaked):,} images of {second} have a near-duplicate in {first}, {path} among them")
    if not leaks:
        say("  No image has a near-duplicate on another side of the split")


def say_findings(manifest: "Manifest", audit: "Audit", stem: str, *, by_networks: bool = False) -> None:
    """Prints what the audit of a folder found.

    `stem` is in the names of what is drawn of it; `by_networks` says that trained networks were heard too.
    """
    found = summary(manifest, audit)
    sizes = Counter((image.width, image.height) for image in manifest.images)
    ((width, height), usual), *_ = sizes.most_common(1)
    say(f"  {usual:,} images of {width} x {height} pixels")
    for bad in manifest.bad[:LISTED]:
        say(f"  Unusable: {printable(bad.path)}: {printable(bad.reason)}")
    if len(manifest.bad) > LISTED:
        say(f"  … and {len(manifest.bad) - LISTED:,} more unusable files; issues.csv names them all")
    if warned := [image for image in manifest.images if image.warning]:
        say(f"  {_damaged(warned)}")
    say(f"  {_near_duplicates(found)}")
    if found.fallback:
        say(f"  {found.fallback} ({DOUBTFUL} in issues.csv)")
    if found.augmented:
        say(f"  {found.augmented}: see kind {AUGMENTED} in issues.csv")
    if found.transformed_fallback:
        say(f"  {found.transformed_fallback}")
    crossed = sum(manifest.images[t.first].label != manifest.images[t.second].label for t in audit.twins)
    if crossed:
        several = crossed != 1
        say(
            f"  {crossed:,} pair{'s' * several} of near-duplicates lie{'s' * (not several)} in different "
            "classes: one of the labels is wrong, or they overlap or show the place at different times and "
            "only one shows what is looked for: see kind twin_in_other_class in issues.csv"
        )
    if found.random_split_leaked and not manifest.already_split:
        say(_random_leak(found))
    for name, length in audit.ordered.items():
        say(
            f"  {printable(name)} is in the order of its photographs: runs of about {length} files belong "
            "together"
        )
    say(f"  {found.groups:,} groups that must each stay on one side of a split{_largest(found)}")
    say(f"  {_labels(audit, stem, by_networks)}")
    kinds = Counter(oddity.kind for oddity in audit.oddities)
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    say(f"  Odd exposure, focus or size: {told or 'none'}")


def _damaged(warned: "Sequence[ImageRecord]") -> str:
    first = f"{printable(warned[0].path)}: {warned[0].warning}"
    if len(warned) == 1:
        return f"1 image decodes with warnings, part of it may be garbage: {first}"
    return (
        f"{len(warned):,} images decode with warnings, parts of them may be garbage: {first}; "
        "see kind decodes_with_warnings in issues.csv"
    )


def _near_duplicates(found: AuditFacts) -> str:
    if not found.twins:
        return "No image has a near-duplicate"
    copies = f"{found.identical:,} of them are copies of a file" if found.identical else "none is a copy"
    return f"{found.twins:,} images have a near-duplicate; {copies}"


def _largest(found: AuditFacts) -> str:
    if found.largest_group == 1:
        return ""
    share = 100 * found.largest_group / found.images
    return f", the largest of {found.largest_group:,} images ({share:.1f} %)"


def _random_leak(found: AuditFacts) -> str:
    return (
        f"  With a random split, {found.random_split_leaked:,} of {found.random_split_test:,} test "
        "images would have a near-duplicate in training"
    )


def _labels(audit: "Audit", stem: str, by_networks: bool) -> str:
    if count := len(audit.suspects):
        images = f"{count:,} images are" if count != 1 else "1 image is"
        label = "their label" if count != 1 else "its label"
        return f"{images} worth a second look at {label} (labels-{stem}.jpg; {where_checked()})"
    if by_networks:
        return "No label is worth a second look, by these verdicts"
    if audit.label_accuracy is None:
        return "Labels not checked: there are too few groups of images"
    if audit.label_accuracy < TRUSTED_ACCURACY:
        return (
            "Labels not checked: the quick check behind it was right on only "
            f"{100 * audit.label_accuracy:.1f} % of the images, and its doubts mean something from "
            f"{100 * TRUSTED_ACCURACY:.0f} % on"
        )
    return "No label is worth a second look"


def say_leak(first: "Manifest", second: "Manifest", found: "Found") -> None:
    """Prints how many images of the second folder have a near-duplicate in the first."""
    seen = {twin.second for twin in found.twins}
    say(
        f"\n{len(seen):,} of {len(second.images):,} images of {printable(second.root)} have a near-duplicate "
        f"in {printable(first.root)}"
    )
    alike = seen | {twin.second for twin in found.doubtful}
    if line := fallback(found.tightened, len(alike)):
        say(f"  {line} ({DOUBTFUL} in issues.csv)")

"""`python -m experiments.audit DIR…`: what in a folder of images would make a comparison dishonest."""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnzoo.errors import InputError
from experiments.commands import Parser, called, exit_code
from experiments.records import file_stem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.audit.twins import Twin
    from cnnzoo.data.manifest import Manifest

SHOWN = 24  # pictures on a contact sheet
GROUPS_SHOWN = 50
GROUP_PICTURES = 6
TILE = 160  # pixels


class Issue(NamedTuple):
    """A line of issues.csv. `twin` is the other image of a pair, `suggestion` the likelier class."""

    path: str
    kind: str
    score: float | str
    twin: str = ""
    suggestion: str = ""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("audit"),
        description="Find copies; turned, mirrored, shifted and re-encoded images; runs of neighbours; "
        "doubtful labels, odd exposure, focus and sizes; files that can't be read. With several folders, as "
        "in `audit train/ test/`, also what leaks from one into another.",
        epilog="Exit code: 0 the audit was made, whatever it found; 2 an argument or a folder can't be used.",
    )
    parser.add_argument(
        "folders", metavar="DIR", nargs="+", type=Path, help="a folder per class in each of them"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("audit"), help="folder for the results (default: audit)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="images per class, at most")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audits every folder and every two of them. Returns the exit code."""
    options = parse_arguments(arguments)
    from cnnzoo.data.audit.examine import audit_manifest, twins_between
    from cnnzoo.data.manifest import build_manifest

    if len({folder.resolve() for folder in options.folders}) < len(options.folders):
        raise InputError("a folder is named twice")
    manifests = [build_manifest(folder, limit=options.limit, skip_bad=True) for folder in options.folders]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {options.out}: {error.strerror}") from None
    issues: list[Issue] = []
    names = _names(manifests)
    for name, manifest in zip(names, manifests, strict=True):
        audit = audit_manifest(manifest)
        issues += _issues(manifest, audit)
        _say(manifest, audit)
        _draw(options.out, name, manifest, audit)
        # Every image and its group, for `compare --groups` once somebody has corrected them.
        groups = zip((image.path for image in manifest.images), audit.groups, strict=True)
        _write(options.out / f"groups-{name}.csv", ("path", "group"), groups)
    for a, b in combinations(range(len(manifests)), 2):
        first, second = manifests[a], manifests[b]
        twins = twins_between(first, second)
        issues += [_pair(first, second, twin, "leak") for twin in twins]
        _say_leak(first, second, twins)
        _draw_pairs(options.out / f"leak-{names[a]}-{names[b]}.jpg", first, second, twins)
    _write(options.out / "issues.csv", Issue._fields, issues)
    print(
        f"\nwritten: {options.out / 'issues.csv'} ({len(issues):,} lines), and groups and pictures beside it"
    )
    return 0


def _names(manifests: "Sequence[Manifest]") -> list[str]:
    """A name for the pictures of each folder: its own, with a number where two are named alike."""
    names: list[str] = []
    for manifest in manifests:
        name = file_stem(manifest.root.resolve().name)
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(lines)


def _issues(manifest: "Manifest", audit: "Audit") -> Iterator[Issue]:
    def path(i: int) -> str:
        return str(manifest.root / manifest.images[i].path)

    for bad in manifest.bad:
        yield Issue(str(manifest.root / bad.path), "unreadable", "", suggestion=bad.reason)
    for suspect in audit.suspects:
        suggested = manifest.class_names[suspect.suggested]
        yield Issue(path(suspect.image), "label", round(suspect.given_probability, 4), suggestion=suggested)
    for twin in audit.twins:
        labels = {manifest.images[i].label for i in (twin.first, twin.second)}
        same = "identical" if twin.score == 1 else "near_duplicate"
        yield _pair(manifest, manifest, twin, same if len(labels) == 1 else "twin_in_other_class")
    for oddity in audit.oddities:
        yield Issue(path(oddity.image), oddity.kind, round(oddity.score, 2))


def _pair(first: "Manifest", second: "Manifest", twin: "Twin", kind: str) -> Issue:
    a, b = first.images[twin.first], second.images[twin.second]
    return Issue(str(first.root / a.path), kind, round(twin.score, 4), str(second.root / b.path))


def _say(manifest: "Manifest", audit: "Audit") -> None:
    from experiments.plan import summary

    found: dict[str, Any] = summary(manifest, audit)
    counts = ", ".join(f"{name} {count:,}" for name, count in manifest.counts().items())
    sizes = Counter((image.width, image.height) for image in manifest.images)
    ((width, height), usual), *_ = sizes.most_common(1)
    print(f"\n{manifest.root}: {found['images']:,} images ({counts}); {usual:,} of {width} x {height} pixels")
    if manifest.bad:
        print(f"  {len(manifest.bad):,} files can't be read: {manifest.bad[0].path} …")
    print(
        f"  {found['twins']:,} images show what another one shows; {found['identical']:,} of them are copies "
        "of a file"
    )
    crossed = sum(manifest.images[t.first].label != manifest.images[t.second].label for t in audit.twins)
    if crossed:
        print(f"  {crossed:,} pairs of them lie in different classes")
    if found["random_split_test"]:
        print(_random_leak(found))
    for name, length in audit.ordered.items():
        print(f"  {name} is in the order of its photographs: runs of about {length} files belong together")
    print(f"  {found['groups']:,} groups that must each stay on one side of a split")
    print(f"  {_labels(audit)}")
    kinds = Counter(oddity.kind for oddity in audit.oddities)
    print("  odd: " + (", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())) or "none"))


def _random_leak(found: dict[str, Any]) -> str:
    return (
        f"  with a random split {found['random_split_leaked']:,} of {found['random_split_test']:,} test "
        "images have a twin in training"
    )


def _labels(audit: "Audit") -> str:
    from cnnzoo.data.audit.findings import TRUSTED_ACCURACY

    if audit.label_accuracy is None:
        return "labels: too few groups of images to doubt any"
    if audit.label_accuracy < TRUSTED_ACCURACY:
        return (
            f"labels: not judged, a simple classifier is right for {audit.label_accuracy:.1%} of the images, "
            f"and its doubts count from {TRUSTED_ACCURACY:.0%} on"
        )
    return f"{len(audit.suspects):,} labels are doubtful"


def _say_leak(first: "Manifest", second: "Manifest", twins: "Sequence[Twin]") -> None:
    seen = {twin.second for twin in twins}
    print(
        f"\n{len(seen):,} of {len(second.images):,} images of {second.root} show what an image of "
        f"{first.root} shows"
    )


def _draw(out: Path, name: str, manifest: "Manifest", audit: "Audit") -> None:
    from experiments import pictures
    from experiments.plan import random_split

    split = random_split(manifest)
    # The pairs that a random split would tear apart, where there are any.
    torn = list(dict.fromkeys(audit.leaked(split).values())) if split else []
    _draw_pairs(out / f"twins-{name}.jpg", manifest, manifest, torn or audit.twins)
    names = manifest.class_names
    if audit.suspects:
        shown = audit.suspects[:SHOWN]
        pictures.draw(
            out / f"labels-{name}.jpg",
            [_tile(manifest, suspect.image) for suspect in shown],
            [_title(manifest, s.image, f"is it {names[s.suggested]}?") for s in shown],
        )
    if audit.oddities:
        odd = audit.oddities[:SHOWN]
        pictures.draw(
            out / f"odd-{name}.jpg",
            [_tile(manifest, oddity.image) for oddity in odd],
            [_title(manifest, oddity.image, oddity.kind) for oddity in odd],
        )
    _draw_groups(out / f"groups-{name}.jpg", manifest, audit)


def _title(manifest: "Manifest", image: int, text: str) -> str:
    return f"{Path(manifest.images[image].path).name[:22]}\n{text}"


def _tile(manifest: "Manifest", image: int) -> "npt.NDArray[np.uint8]":
    from cnnzoo.data.images import read_image, resize_image

    return resize_image(read_image(manifest.root / manifest.images[image].path), TILE)


def _draw_pairs(path: Path, first: "Manifest", second: "Manifest", twins: "Sequence[Twin]") -> None:
    """Some pairs, near-duplicates before copies: both images, one above the other."""
    import numpy as np

    from experiments import pictures

    near = [twin for twin in twins if twin.score < 1] or list(twins)
    some = np.random.default_rng(0).permutation(len(near))[:SHOWN]
    if not len(some):
        return
    chosen = [near[i] for i in sorted(some)]
    white = np.full((4, TILE, 3), 255, np.uint8)
    pictures.draw(
        path,
        [np.vstack([_tile(first, twin.first), white, _tile(second, twin.second)]) for twin in chosen],
        [
            f"{Path(first.images[t.first].path).name[:20]}\n{Path(second.images[t.second].path).name[:20]}"
            for t in chosen
        ],
        columns=8,
        height=3.9,
    )


def _draw_groups(path: Path, manifest: "Manifest", audit: "Audit") -> None:
    """Fifty groups of several images, up to six of each in a row of its own."""
    import numpy as np

    from experiments import pictures

    groups = audit.groups_of_many
    some = np.random.default_rng(0).permutation(len(groups))[:GROUPS_SHOWN]
    if not len(some):
        return
    blank = np.full((TILE, TILE, 3), 255, np.uint8)
    tiles, titles = [], []
    for i in sorted(some):
        members = groups[i][:GROUP_PICTURES]
        tiles += [_tile(manifest, image) for image in members] + [blank] * (GROUP_PICTURES - len(members))
        titles += [Path(manifest.images[image].path).name[:22] for image in members]
        titles += [""] * (GROUP_PICTURES - len(members))
    pictures.draw(path, tiles, titles, columns=GROUP_PICTURES)


if __name__ == "__main__":
    sys.exit(exit_code(main))

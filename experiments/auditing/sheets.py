"""Contact sheets of what an audit found."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.audit.summary import random_split
from experiments.style.contact_sheet import draw_sheet
from experiments.style.text import shorten

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
NAME_LENGTH = 28  # characters above a picture


def draw_sheets(out: Path, name: str, manifest: "Manifest", audit: "Audit") -> list[Path]:
    """Draws near-duplicates, suspects, odd images and groups of a folder; returns what was drawn."""
    split = random_split(manifest)
    # The pairs that a random split would tear apart, where there are any.
    torn = list(dict.fromkeys(audit.leaked(split).values())) if split else []
    what = "near-duplicates that a random split would tear apart" if torn else "near-duplicates"
    file = out / f"near-duplicates-{name}.jpg"
    written = draw_pairs(file, manifest, manifest, torn or audit.twins, what)
    names = manifest.class_names
    if audit.suspects:
        shown = audit.suspects[:SHOWN]
        draw_sheet(
            out / f"labels-{name}.jpg",
            [_tile(manifest, suspect.image) for suspect in shown],
            [
                f"{number}. {_title(manifest, s.image, f'is it {names[s.suggested]}?')}"
                for number, s in enumerate(shown, 1)
            ],
            heading=f"{len(shown):,} of {len(audit.suspects):,} images that are worth a second look at their "
            f"label, in the order of second-look-{name}.csv, which takes the answers",
        )
        written.append(out / f"labels-{name}.jpg")
    if audit.oddities:
        odd = audit.oddities[:SHOWN]
        draw_sheet(
            out / f"odd-{name}.jpg",
            [_tile(manifest, oddity.image) for oddity in odd],
            [_title(manifest, oddity.image, oddity.kind) for oddity in odd],
            heading=f"{len(odd):,} of {len(audit.oddities):,} images of odd exposure, focus or size",
        )
        written.append(out / f"odd-{name}.jpg")
    written += _draw_families(out / f"augmented-{name}.jpg", manifest, audit)
    return written + _draw_groups(out / f"groups-{name}.jpg", manifest, audit)


def _title(manifest: "Manifest", image: int, text: str) -> str:
    return f"{_named(manifest, image)}\n{text}"


def _named(manifest: "Manifest", image: int) -> str:
    """Class and file of an image, as they fit above a picture."""
    return shorten(manifest.images[image].path, NAME_LENGTH)


def _tile(manifest: "Manifest", image: int) -> "npt.NDArray[np.uint8]":
    from cnnzoo.data.images import resize_image

    with manifest.reading(image) as pixels:
        return resize_image(pixels, TILE)


def draw_pairs(
    path: Path, first: "Manifest", second: "Manifest", twins: "Sequence[Twin]", what: str = "near-duplicates"
) -> list[Path]:
    """Some pairs, near-duplicates before copies: both images, one above the other. Returns what was drawn."""
    import numpy as np

    near = [twin for twin in twins if twin.score < 1] or list(twins)
    some = np.random.default_rng(0).permutation(len(near))[:SHOWN]
    if not len(some):
        return []
    chosen = [near[i] for i in sorted(some)]
    white = np.full((4, TILE, 3), 255, np.uint8)
    draw_sheet(
        path,
        [np.vstack([_tile(first, twin.first), white, _tile(second, twin.second)]) for twin in chosen],
        [f"{_named(first, twin.first)}\n{_named(second, twin.second)}" for twin in chosen],
        columns=8,
        height=3.9,
        heading=f"{len(chosen):,} of {len(twins):,} pairs of {what}: above the first, below the second",
    )
    return [path]


def _draw_groups(path: Path, manifest: "Manifest", audit: "Audit") -> list[Path]:
    """Fifty groups of several images, by their numbers in the CSV."""
    groups = audit.groups_of_many
    about = [f"group {audit.groups[members[0]]}: {len(members):,} images" for members in groups]
    heading = f"groups of several images; numbers as in {path.stem}.csv"
    return _draw_rows(path, manifest, groups, about, heading)


def _draw_families(path: Path, manifest: "Manifest", audit: "Audit") -> list[Path]:
    """Fifty families of images that look made of one another."""
    about = [f"{len(members):,} images" for members in audit.families]
    return _draw_rows(path, manifest, audit.families, about, "families that look augmented offline")


def _draw_rows(
    path: Path, manifest: "Manifest", groups: Sequence[list[int]], about: Sequence[str], heading: str
) -> list[Path]:
    """Some groups, up to six images of each in a row of its own. Returns what was drawn."""
    import numpy as np

    some = np.random.default_rng(0).permutation(len(groups))[:GROUPS_SHOWN]
    if not len(some):
        return []
    blank = np.full((TILE, TILE, 3), 255, np.uint8)
    tiles, titles = [], []
    for i in sorted(some):
        members = groups[i][:GROUP_PICTURES]
        tiles += [_tile(manifest, image) for image in members] + [blank] * (GROUP_PICTURES - len(members))
        titles += [
            f"{about[i] if image == members[0] else ''}\n{_named(manifest, image)}" for image in members
        ]
        titles += [""] * (GROUP_PICTURES - len(members))
    heading = f"{len(some):,} of {len(groups):,} {heading}"
    draw_sheet(path, tiles, titles, columns=GROUP_PICTURES, heading=heading)
    return [path]

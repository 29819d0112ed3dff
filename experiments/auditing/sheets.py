"""Contact sheets of what an audit found."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.audit.summary import random_split
from experiments.style.contact_sheet import draw_sheet

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


def draw_sheets(out: Path, name: str, manifest: "Manifest", audit: "Audit") -> None:
    """Draws twins, doubtful labels, odd images and groups of a folder."""

    split = random_split(manifest)
    # The pairs that a random split would tear apart, where there are any.
    torn = list(dict.fromkeys(audit.leaked(split).values())) if split else []
    draw_pairs(out / f"twins-{name}.jpg", manifest, manifest, torn or audit.twins)
    names = manifest.class_names
    if audit.suspects:
        shown = audit.suspects[:SHOWN]
        draw_sheet(
            out / f"labels-{name}.jpg",
            [_tile(manifest, suspect.image) for suspect in shown],
            [_title(manifest, s.image, f"is it {names[s.suggested]}?") for s in shown],
        )
    if audit.oddities:
        odd = audit.oddities[:SHOWN]
        draw_sheet(
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


def draw_pairs(path: Path, first: "Manifest", second: "Manifest", twins: "Sequence[Twin]") -> None:
    """Some pairs, near-duplicates before copies: both images, one above the other."""
    import numpy as np

    near = [twin for twin in twins if twin.score < 1] or list(twins)
    some = np.random.default_rng(0).permutation(len(near))[:SHOWN]
    if not len(some):
        return
    chosen = [near[i] for i in sorted(some)]
    white = np.full((4, TILE, 3), 255, np.uint8)
    draw_sheet(
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
    draw_sheet(path, tiles, titles, columns=GROUP_PICTURES)

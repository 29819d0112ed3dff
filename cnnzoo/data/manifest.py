"""A folder per class becomes a checked list of images: every file is opened once, none silently dropped."""

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from cnnzoo.bars import track
from cnnzoo.data.folders import BadFile
from cnnzoo.data.formats import FORMATS
from cnnzoo.data.images import examine_image, reading
from cnnzoo.data.layout import Member, read_layout
from cnnzoo.errors import InputError, printable
from cnnzoo.files import write_whole
from cnnzoo.limits import in_threads

LISTED = 50  # bad files named in an error message; more than that nobody mends by hand


@dataclass(frozen=True)
class ImageRecord:
    """One image of a folder or a CSV file.

    Attributes:
        path: below the root, with forward slashes; absolute where it lies elsewhere.
        label: class id.
        width, height: pixels, upright.
        mode: Pillow's.
        sha256: of the file.
        side: "train", "validation" or "test" where the images are already split.
        group: as a CSV file gives it.
        warning: of the decoder, that data inside the file are damaged.
    """

    path: str
    label: int
    width: int
    height: int
    mode: str
    sha256: str
    side: str = ""
    group: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Manifest:
    """The images of a folder or a CSV file.

    Attributes:
        root: the folder that the paths are below.
        class_names: sorted; a class id is the position in it.
        images: sorted by class, then path.
        bad: files left out with `skip_bad`.
        passed_over: folders in it that hold no data of the user's, such as our own output, and why.
        sources: of images that were `joined`, the number of the folder that each is from; else empty.
    """

    root: Path
    class_names: tuple[str, ...]
    images: tuple[ImageRecord, ...]
    bad: tuple[BadFile, ...] = ()
    passed_over: tuple[BadFile, ...] = ()
    sources: tuple[int, ...] = ()

    @property
    def already_split(self) -> bool:
        """Whether its folders, or its CSV file, say which images are for training and which for testing."""
        return any(image.side for image in self.images)

    @property
    def given_groups(self) -> list[int] | None:
        """A number for each image by the groups that a CSV file gives; None where it gives none."""
        numbers: dict[str, int] = {}
        groups = [numbers.setdefault(image.group, len(numbers)) for image in self.images]
        return groups if any(image.group for image in self.images) else None

    @property
    def usual_size(self) -> tuple[int, int]:
        """Median width and height, in pixels."""
        width, height = np.median([(image.width, image.height) for image in self.images], axis=0)
        return int(width), int(height)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of class names, paths, labels and contents: the same wherever and whenever the folder lies."""
        sources = self.sources or (0,) * len(self.images)
        images = sorted(
            zip(self.images, sources, strict=True), key=lambda each: (each[0].label, each[0].path)
        )
        # The side, the group and the source only where they are given.
        rows = [
            [image.path, image.label, image.sha256, *filter(None, (image.side, image.group, source))]
            for image, source in images
        ]
        return sha256(json.dumps([self.class_names, rows]).encode()).hexdigest()

    def reading(self, position: int) -> AbstractContextManager[npt.NDArray[np.uint8]]:
        """Gives the pixels of an image, as it was when it was listed.

        Raises:
            InputError: it can't be read, or has changed since.
        """
        image = self.images[position]
        return reading(self.root / image.path, image.sha256)

    def counts(self) -> dict[str, int]:
        """Images by class name."""
        counts = np.bincount([image.label for image in self.images], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def save(self, path: str | Path) -> None:
        """Writes JSON that `load` reads."""
        content = {
            "root": str(self.root.resolve()),
            "class_names": self.class_names,
            "images": [list(vars(image).values()) for image in self.images],
            "bad": [asdict(bad) for bad in self.bad],
            "passed_over": [asdict(folder) for folder in self.passed_over],
            "sources": self.sources,
        }
        write_whole(Path(path), json.dumps(content))

    @staticmethod
    def load(path: str | Path) -> "Manifest":
        """Reads what `save` wrote.

        Raises:
            InputError: no such file, or not one that `save` wrote.
        """
        try:
            content = msgspec.convert(json.loads(Path(path).read_text(encoding="utf-8")), _Saved)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # the latter of what is nested without end
            raise InputError(f"{path}: no manifest; make it again with build_manifest") from error
        images = tuple(ImageRecord(*values) for values in content.images)
        others = content.bad, content.passed_over, content.sources
        return Manifest(Path(content.root), content.class_names, images, *others)


@dataclass(frozen=True)
class _Saved:
    """A manifest in its file: of an image the values of its record alone, since there are many."""

    root: str
    class_names: tuple[str, ...]
    images: tuple[tuple[str, int, int, int, str, str, str, str, str], ...]
    bad: tuple[BadFile, ...]
    passed_over: tuple[BadFile, ...]
    sources: tuple[int, ...] = ()


def build_manifest(
    root: str | Path, *, limit: int | None = None, skip_bad: bool = False, progress: bool = True
) -> Manifest:
    """Opens every image of a folder, or of a CSV file, once, in parallel.

    A class is a folder right below `root`, its images lie anywhere below that; or such folders lie in
    `train`, `val` and `test`, or these in them. Passed over are hidden files, what systems, clouds and
    editors leave behind, what cnnzoo wrote, and what lies beside the class folders and is no image by its
    name. Links to folders are not followed inside a class, so that no file comes twice.

    Args:
        root: a folder per class, or a CSV file with the columns path and class, and split and group if they
            are known; its paths are relative to its own folder.
        limit: images per class at most, chosen at random but always the same ones; of each side as many
            where they are already split.
        skip_bad: list files that are no images in `Manifest.bad` instead of stopping at them.
        progress: show a bar on the terminal.

    Raises:
        InputError: no folder per class, a layout that can be read in more than one way, an empty class, or
            files that are no usable images: each is named.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: it must be at least 1 image per class")
    layout = read_layout(Path(root))
    members = _limited(layout.members, limit)
    checked = in_threads(lambda member: _check(layout.root, member), members)
    results = [*track(checked, len(members), "checking images", unit="images", progress=progress)]
    bad = [BadFile(_below(layout.root, path), reason) for path, reason in layout.bad]
    bad += [result for result in results if isinstance(result, BadFile)]
    if bad and not skip_bad:
        raise InputError(*_bad_lines(Path(root), bad), skip_bad="skip_bad=True")
    manifest = Manifest(
        root=layout.root,
        class_names=layout.class_names,
        images=tuple(result for result in results if isinstance(result, ImageRecord)),
        bad=tuple(bad),
        passed_over=tuple(BadFile(_below(layout.root, path), reason) for path, reason in layout.passed_over),
    )
    for name, count in manifest.counts().items():
        if not count:
            raise InputError(
                f"{printable(root)}: none of the files of class {printable(name)} is a usable image; add "
                "images, or take it out"
            )
    return manifest


def joined(manifests: Sequence[Manifest]) -> Manifest:
    """Returns the images of several manifests as one, which remembers where each is from.

    How the folders split is not kept; a group stays within its manifest.

    Raises:
        InputError: their classes differ, two of them list the same file, or some give groups and others none.
    """
    _check_joinable(manifests)
    roots = [manifest.root.resolve() for manifest in manifests]
    above = Path(os.path.commonpath(roots))
    found: dict[str, tuple[ImageRecord, int]] = {}
    bad: list[BadFile] = []
    passed_over: list[BadFile] = []
    for source, (root, manifest) in enumerate(zip(roots, manifests, strict=True)):
        for image in manifest.images:
            path = _below(above, root / image.path)
            if path in found:
                first = manifests[found[path][1]].root
                raise InputError(
                    f"{printable(manifest.root)}: {printable(image.path)} is in {printable(first)} too; name "
                    "each folder once, and none within another"
                )
            group = image.group and f"{source}/{image.group}"
            found[path] = replace(image, path=path, side="", group=group), source
        for name, files in (("bad", bad), ("passed_over", passed_over)):
            files += [replace(file, path=_below(above, root / file.path)) for file in getattr(manifest, name)]
    images = sorted(found.values(), key=lambda each: (each[0].label, each[0].path))
    return Manifest(
        root=above,
        class_names=manifests[0].class_names,
        images=tuple(image for image, _ in images),
        bad=tuple(bad),
        passed_over=tuple(passed_over),
        sources=tuple(source for _, source in images),
    )


def _check_joinable(manifests: Sequence[Manifest]) -> None:
    first = manifests[0]
    for other in manifests[1:]:
        if other.class_names != first.class_names:
            mine, others = (", ".join(map(printable, each.class_names)) for each in (first, other))
            raise InputError(
                f"{printable(other.root)}: its classes are {others}, those of {printable(first.root)} "
                f"{mine}; rename its folders"
            )
        if (other.given_groups is None) != (first.given_groups is None):
            with_groups, without = (first, other) if first.given_groups else (other, first)
            raise InputError(
                f"{printable(without.root)}: gives no groups, but {printable(with_groups.root)} does; give "
                "them for all of them or for none"
            )


def _limited(members: tuple[Member, ...], limit: int | None) -> tuple[Member, ...]:
    if limit is None:
        return members
    places: dict[tuple[int, str], list[int]] = {}
    for place, member in enumerate(members):
        places.setdefault((member.label, member.side), []).append(place)
    kept: list[int] = []
    for each in places.values():
        count = min(limit, len(each))
        kept += [each[i] for i in np.random.default_rng(0).choice(len(each), count, replace=False)]
    return tuple(members[place] for place in sorted(kept))


def _below(root: Path, path: Path) -> str:
    """The path below the root; as it is where it lies elsewhere, as one of a CSV file may."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _check(root: Path, member: Member) -> ImageRecord | BadFile:
    path, name = member.path, _below(root, member.path)
    try:
        facts = examine_image(path)
    except InputError as error:
        return BadFile(name, str(error))
    suffix, kind = path.suffix.lower(), facts.kind
    if suffix not in FORMATS[kind] and suffix:
        return BadFile(name, f"named {suffix} but holds a {kind} image; rename it to {FORMATS[kind][0]}")
    return ImageRecord(
        path=name,
        label=member.label,
        width=facts.width,
        height=facts.height,
        mode=facts.mode,
        sha256=facts.sha256,
        side=member.side,
        group=member.group,
        warning=facts.warning,
    )


def _bad_lines(root: Path, bad: list[BadFile]) -> list[str]:
    count = "1 file is" if len(bad) == 1 else f"{len(bad)} files are"
    lines = [
        f"{printable(root)}: {count} no usable image; mend or remove, or go on without ({{skip_bad}}):",
        *(f"  {printable(file.path)}: {file.reason}" for file in bad[:LISTED]),
    ]
    if len(bad) > LISTED:
        lines.append(f"  … and {len(bad) - LISTED} more")
    return lines

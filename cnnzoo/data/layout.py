"""How a folder, or a CSV file, says which image is of which class: the readings of it, and what is refused.

A folder per class; sides of a split with a folder per class in each, or a folder per class with the sides in
each; a CSV file. A layout with more than one likely reading is refused: a misreading looks like a result.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from cnnzoo.data.class_names import SIDES, positive_class, side_of
from cnnzoo.data.folders import Listing, look_below, look_into, no_data
from cnnzoo.data.formats import is_picture
from cnnzoo.data.table import as_meant, read_table, shown
from cnnzoo.errors import InputError, printable

# Folders of pictures to cut out by hand or by box, with what was cut out beside them.
_PICTURES = {"images", "image", "imgs", "img", "photos", "jpegimages", "original", "originals", "rgb",
             "input", "inputs"}  # fmt: skip
_TARGETS = {"masks", "mask", "labels", "label", "annotations", "annotation", "groundtruth", "gt", "seg",
            "segmentation", "segmentations", "segmentationclass", "bboxes", "targets", "binary"}  # fmt: skip

CSV_COLUMNS = {
    "path": ("file", "filename", "file_name", "image", "image_path", "filepath"),
    "class": ("label", "class_name", "category"),
    "split": ("", "side", "set", "subset", "partition", "phase"),
    "group": ("", "groups", "group_id", "photograph", "photo"),
}
_OWN_COLUMNS = {"verdict", "probability", "distance"}  # of the lists that `suggest` writes
_IN_A_CSV = "or list the images in a CSV file with the columns path,class"


# Each folder is looked into several times while a layout is read; afterwards files may come and go.
_look_into = lru_cache(maxsize=None)(look_into)


@dataclass(frozen=True)
class Member:
    """A file that should be an image, its class, its side of a given split and its given group, or ""."""

    path: Path
    label: int
    side: str = ""
    group: str = ""


@dataclass(frozen=True)
class Layout:
    """The images of a folder or a CSV file.

    Attributes:
        root: the folder that paths are told from.
        class_names: sorted.
        members: sorted by class, then path.
        bad: what no image can be read from, with why.
        passed_over: folders that hold no data of the user's, and columns and lines of a CSV file that are
            not used, with why.
    """

    root: Path
    class_names: tuple[str, ...]
    members: tuple[Member, ...]
    bad: tuple[tuple[Path, str], ...] = ()
    passed_over: tuple[tuple[Path, str], ...] = ()


def read_layout(source: Path) -> Layout:
    """Reads which images there are, without opening any.

    Raises:
        InputError: no such folder or file, fewer than two classes, an empty one, or a layout that could be
            read in more than one way; the message says what was seen and how to give it.
    """
    try:
        return _read_layout(source)
    finally:
        _look_into.cache_clear()


def _read_layout(source: Path) -> Layout:
    if not source.exists():
        raise InputError(f"{printable(source)}: no such folder")
    if source.is_file():
        if source.suffix.lower() != ".csv":
            raise InputError(
                f"{printable(source)}: a file; give a folder with a folder of images per class, or a CSV "
                "file with the columns path,class"
            )
        return _from_csv(source)
    if reason := no_data(source):
        raise InputError(f"{printable(source)}: {reason}, not images; give the folder of images")
    top = _look_into(source, follow=True)
    if not top.folders and top.bad and top.bad[0][0] == source:
        raise InputError(f"{printable(source)}: {top.bad[0][1]}")
    _refuse_segmentation(source, top.folders)
    layout = _by_side(source, top) or _by_class_and_side(source, top) or _by_class(source, top)
    return _with_what_lies_beside(layout, [top], filter(is_picture, top.files))


def _with_what_lies_beside(layout: Layout, above: Sequence[Listing], stray: Iterable[Path]) -> Layout:
    """Adds what the listings above the class folders name, and files outside of these."""
    outside = [(path, "lies outside the class folders") for path in stray]
    bad = [entry for listing in above for entry in listing.bad]
    passed_over = [entry for listing in above for entry in listing.passed_over]
    return replace(layout, bad=(*outside, *bad, *layout.bad), passed_over=(*passed_over, *layout.passed_over))


def _by_class(root: Path, top: Listing) -> Layout:
    if len(top.folders) < 2:
        raise InputError(f"{printable(root)}: {_too_few(top)}")
    _refuse_nested(root, top.folders)
    return _layout(root, {("", folder.name): [folder] for folder in top.folders})


def _by_side(root: Path, top: Listing) -> Layout | None:
    """Sides with classes in each, as in train/crack; None where the folders are no sides."""
    sides: dict[str, list[Path]] = {}
    for folder in top.folders:
        sides.setdefault(side_of(folder.name), []).append(folder)
    others = sides.pop("", [])
    if not sides or (others and len(sides) < 2 and not _holds_folders_alone(next(iter(sides.values()))[0])):
        return None
    seen = _listed([folder.name for folder in top.folders if side_of(folder.name)])
    if others:
        raise InputError(
            f"{printable(root)}: {seen} look like the sides of a split, but beside them lies "
            f"{_listed([other.name for other in others])}; move it elsewhere"
        )
    if twice := next((folders for folders in sides.values() if len(folders) > 1), None):
        raise InputError(
            f"{printable(root)}: {_listed([f.name for f in twice])} both name the same side of a split; "
            "leave one of them"
        )
    inside = {side: _look_into(folders[0], follow=True) for side, folders in sides.items()}
    if not any(listing.folders for listing in inside.values()):
        if len(sides) < 2:
            return None
        raise InputError(
            f"{printable(root)}: {seen} look like the sides of a split, but hold no folder per class; sort "
            f"the images of each into class folders, {_IN_A_CSV},split"
        )
    return _of_sides(root, sides, inside)


def _of_sides(root: Path, sides: dict[str, list[Path]], inside: dict[str, Listing]) -> Layout:
    classes = {side: tuple(folder.name for folder in listing.folders) for side, listing in inside.items()}
    for side, listing in inside.items():
        _refuse_segmentation(sides[side][0], listing.folders)
    if len(set(classes.values())) > 1:
        largest = sides[max(classes, key=lambda side: len(classes[side]))][0]
        told = "; ".join(
            f"{sides[side][0].name} has {_listed(names) or 'none'}" for side, names in classes.items()
        )
        raise InputError(
            f"{printable(root)}: a folder that is already split needs the same class folders on each side: "
            f"{told}. Give one side alone, as {printable(largest)}, {_IN_A_CSV},split"
        )
    folders: dict[tuple[str, str], list[Path]] = {}
    for side, listing in inside.items():
        if len(listing.folders) < 2:
            raise InputError(f"{printable(sides[side][0])}: {_too_few(listing)}")
        _refuse_nested(sides[side][0], listing.folders)
        for folder in listing.folders:
            folders[side, folder.name] = [folder]
    stray = [path for listing in inside.values() for path in listing.files if is_picture(path)]
    return _with_what_lies_beside(_layout(root, folders), list(inside.values()), stray)


def _by_class_and_side(root: Path, top: Listing) -> Layout | None:
    """Classes with sides in each, as in crack/train; None where they hold something else."""
    inside = {folder: _look_into(folder) for folder in top.folders}
    sides = {folder: [side_of(below.name) for below in listing.folders] for folder, listing in inside.items()}
    if not any(any(each) for each in sides.values()):
        return None
    pictures = [path for listing in inside.values() for path in listing.files if is_picture(path)]
    if (
        pictures
        or len({frozenset(each) for each in sides.values()}) > 1
        or any("" in e for e in sides.values())
    ):
        told = "; ".join(
            f"{folder.name} has {_listed([below.name for below in listing.folders]) or 'no folder'}"
            for folder, listing in inside.items()
        )
        raise InputError(
            f"{printable(root)}: some class folders are split into train and test, but not all alike: {told}"
            f"{'; and images beside them' * bool(pictures)}. Give every class the same sides, "
            f"{_IN_A_CSV},split"
        )
    folders: dict[tuple[str, str], list[Path]] = {}
    for folder, listing in inside.items():
        for below in listing.folders:
            folders.setdefault((side_of(below.name), folder.name), []).append(below)
    beside = [path for listing in inside.values() for path in listing.files]
    return _with_what_lies_beside(_layout(root, folders), list(inside.values()), beside)


def _layout(root: Path, folders: dict[tuple[str, str], list[Path]]) -> Layout:
    """Lists the files of every folder, by side and class."""
    names = tuple(sorted({name for _, name in folders}))
    members: list[Member] = []
    bad: list[tuple[Path, str]] = []
    passed_over: list[tuple[Path, str]] = []
    for (side, name), places in folders.items():
        for place in places:
            below = look_below(place, _look_into)
            if not below.files and not below.bad:
                raise InputError(f"{printable(place)}: an empty class folder; add images or remove it")
            members += [Member(path, names.index(name), side) for path in below.files]
            bad += below.bad
            passed_over += below.passed_over
    return Layout(root, names, _sorted(members), tuple(bad), tuple(passed_over))


def _sorted(members: Sequence[Member]) -> tuple[Member, ...]:
    """By class, then path; where there is but one side, the images are split as those of any other folder."""
    if len({member.side for member in members}) == 1:
        members = [replace(member, side="") for member in members]
    return tuple(sorted(members, key=lambda member: (member.label, member.path.as_posix())))


def _refuse_nested(root: Path, tops: Sequence[Path]) -> None:
    """Refuses folders of folders, unless the upper names alone are plainly those of the two classes."""
    places = {top: _descended(top) for top in tops}
    parts = {top: [folder.name for folder in place.folders] for top, place in places.items()}
    plain = positive_class([top.name for top in tops])
    if plain and not any(positive_class(names) for names in parts.values()):
        return
    nested = [top for top, place in places.items() if len(parts[top]) > 1 and not _mostly_here(place)]
    if not nested:
        return
    seen = ", ".join(f"{top.name} holds {_listed(parts[top])}" for top in nested[:3])
    raise InputError(
        f"{printable(root)}: folders within folders: {seen}; a class is a folder with its images right in "
        f"it. Give one of them, as {printable(nested[0])}, put the images of each class into one folder, "
        f"{_IN_A_CSV}"
    )


def _descended(folder: Path) -> Listing:
    """What lies in a folder, or in the only one in it."""
    listing = _look_into(folder)
    while len(listing.folders) == 1 and not any(map(is_picture, listing.files)):
        listing = _look_into(listing.folders[0])
    return listing


def _mostly_here(listing: Listing) -> bool:
    """Whether most images lie right here, and not in the folders in it."""
    here = sum(map(is_picture, listing.files))
    return here > sum(
        is_picture(path) for folder in listing.folders for path in look_below(folder, _look_into).files
    )


def _holds_folders_alone(folder: Path) -> bool:
    listing = _look_into(folder)
    return len(listing.folders) > 1 and not any(map(is_picture, listing.files))


def _refuse_segmentation(root: Path, folders: Sequence[Path]) -> None:
    words = {folder.name: set(re.split(r"[^a-z]+", folder.name.lower())) for folder in folders}
    targets = [name for name, each in words.items() if each & _TARGETS or {"ground", "truth"} <= each]
    pictures = [name for name, each in words.items() if each & _PICTURES and name not in targets]
    if pictures and targets:
        raise InputError(
            f"{printable(root)}: {printable(pictures[0])} and {printable(targets[0])} look like pictures "
            "with their masks or boxes, not like two classes; sort the pictures into a folder per "
            "class, as crack and sound"
        )


def _too_few(listing: Listing) -> str:
    below = [folder for top in listing.folders for folder in _look_into(top).folders]
    if len(listing.folders) == 1 and len(below) > 1:
        (only,) = listing.folders
        return (
            f"holds one folder, {printable(only.name)}, with {_listed([b.name for b in below])} in it; "
            f"give {printable(only)}"
        )
    found = (
        f"one class folder ({printable(listing.folders[0].name)})" if listing.folders else "no class folder"
    )
    pictures = sum(map(is_picture, listing.files))
    beside = f", images right in it ({pictures})" if pictures else ""
    return f"{found}{beside}; at least two folders are needed, each with the images of one class"


def _from_csv(source: Path) -> Layout:
    def wrong(what: str) -> InputError:
        return InputError(f"{printable(source)}: {what}")

    listed = read_table(source, CSV_COLUMNS, wrong)
    # A list to label, half filled: what lacks its class still is no mistake.
    lines = [(number, cells) for number, cells in listed if _class(cells) or not cells["path"].strip()]
    left = len(listed) - len(lines)
    if listed and not lines:
        raise wrong("no line has a class yet; fill in the column class")
    split = _split_column(lines)
    root, members = source.parent.absolute(), []
    taken: dict[Path, int] = {}
    names = tuple(sorted({_class(cells) for _, cells in lines}))
    for number, cells in lines:
        name = _class(cells)
        if not cells["path"].strip():
            raise wrong(f"line {number} lacks its path")
        path = _listed_path(root, cells["path"])
        if (before := taken.setdefault(path, number)) != number:
            raise wrong(f"line {number} names {shown(cells['path'])} as line {before} does; once is enough")
        side = cells.get(split, "").strip()
        if side and not side_of(side):
            raise wrong(f"line {number}: {shown(side)} is none of {', '.join(SIDES)}")
        members.append(Member(path, names.index(name), side_of(side), cells.get("group", "").strip()))
    if len(names) < 2:
        seen = f"one class, {shown(names[0])}" if names else "no line below the titles"
        without = f", and {left:,} lines without a class" if left else ""
        raise wrong(f"{seen}{without}; at least two are needed")
    for name in ("side", "group"):
        given = Counter(bool(getattr(member, name)) for member in members)
        if len(given) > 1:
            column = "split" if name == "side" else "group"
            raise wrong(
                f"{given[False]} lines have no {column}; give it to all lines, or leave the column out"
            )
    unused = [
        (source / title, "a column that is not used; for split and group call it that")
        for title in (lines[0][1].keys() - CSV_COLUMNS.keys() - _OWN_COLUMNS - {split})
    ]
    if left:
        some = source.with_name(f"{left:,} of {len(listed):,} lines of {source.name}")
        unused.append((some, "no class yet, left out"))
    return Layout(root, names, _sorted(members), passed_over=tuple(sorted(unused)))


def _split_column(lines: Sequence[tuple[int, dict[str, str]]]) -> str:
    """The column with the sides: `split`, else any whose cells are all names of sides."""
    if not lines or "split" in lines[0][1]:
        return "split"
    others = lines[0][1].keys() - CSV_COLUMNS.keys()
    return next(
        (title for title in sorted(others) if all(side_of(cells[title]) for _, cells in lines)), "split"
    )


def _listed_path(root: Path, cell: str) -> Path:
    """The path of a cell, as it is where there is such a file, for a name may hold blanks and backslashes."""
    meant = as_meant(cell)
    found = next((name for name in (meant, cell, meant.strip()) if _is_there(root / name)), None)
    return Path(os.path.normpath(root / (found or meant.strip().replace("\\", "/"))))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with what no file system takes
        return False


def _class(cells: dict[str, str]) -> str:
    return as_meant(cells["class"]).strip()


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name) for name in names[:4]] + (["…"] if len(names) > 4 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)

"""How a folder, or a CSV file, says which image is of which class: the readings of it, and what is refused.

A folder per class; sides of a split with a folder per class in each, or a folder per class with the sides in
each; a CSV file. A layout with more than one likely reading is refused: a misreading looks like a result.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnnzoo.data.class_names import SIDES, positive_class, side_of
from cnnzoo.data.folders import Listing, look_below, look_into
from cnnzoo.data.formats import is_picture
from cnnzoo.data.table import read_table
from cnnzoo.errors import InputError, printable

# Folders of pictures to cut out by hand or by box, with what was cut out beside them.
_PICTURES = {"images", "image", "imgs", "img", "photos", "jpegimages", "originals", "rgb", "input", "inputs"}
_TARGETS = {"masks", "mask", "labels", "label", "annotations", "annotation", "groundtruth", "ground_truth",
            "gt", "segmentation", "segmentations", "segmentationclass", "bboxes", "targets"}  # fmt: skip

CSV_COLUMNS = {
    "path": ("file", "filename", "file_name", "image", "image_path", "filepath"),
    "class": ("label", "class_name", "category"),
    "split": ("", "side", "set", "subset"),
    "group": ("", "groups"),
}
_IN_A_CSV = "or list the images in a CSV file with the columns path,class"


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
        passed_over: folders that hold no data of the user's, with why.
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
    if not source.exists():
        raise InputError(f"{printable(source)}: no such folder")
    if source.is_file():
        if source.suffix.lower() != ".csv":
            raise InputError(
                f"{printable(source)}: a file; give a folder with a folder of images per class, or a CSV "
                "file with the columns path,class"
            )
        return _from_csv(source)
    top = look_into(source, follow=True)
    if not top.folders and top.bad and top.bad[0][0] == source:
        raise InputError(f"{printable(source)}: {top.bad[0][1]}")
    stray = tuple((path, "lies outside the class folders") for path in top.files if is_picture(path))
    _refuse_segmentation(source, top.folders)
    layout = _by_side(source, top) or _by_class_and_side(source, top) or _by_class(source, top, stray)
    return replace(
        layout, bad=(*stray, *top.bad, *layout.bad), passed_over=(*top.passed_over, *layout.passed_over)
    )


def _by_class(root: Path, top: Listing, stray: Sequence[object]) -> Layout:
    if len(top.folders) < 2:
        raise InputError(f"{printable(root)}: {_too_few(root, top, stray)}")
    _refuse_nested(root, top.folders)
    return _layout(root, {("", folder.name): [folder] for folder in top.folders})


def _by_side(root: Path, top: Listing) -> Layout | None:
    """Sides with classes in each, as in train/crack; None where the folders are no sides."""
    sides: dict[str, list[Path]] = {}
    for folder in top.folders:
        sides.setdefault(side_of(folder.name), []).append(folder)
    others = sides.pop("", [])
    if not sides or (others and len(sides) < 2):
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
    inside = {side: look_into(folders[0], follow=True) for side, folders in sides.items()}
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
            raise InputError(f"{printable(sides[side][0])}: {_too_few(sides[side][0], listing, ())}")
        _refuse_nested(sides[side][0], listing.folders)
        for folder in listing.folders:
            folders[side, folder.name] = [folder]
    stray = [
        (path, "lies outside the class folders")
        for listing in inside.values()
        for path in listing.files
        if is_picture(path)
    ]
    layout = _layout(root, folders)
    bad = [entry for listing in inside.values() for entry in listing.bad]
    passed_over = [entry for listing in inside.values() for entry in listing.passed_over]
    return replace(layout, bad=(*stray, *bad, *layout.bad), passed_over=(*passed_over, *layout.passed_over))


def _by_class_and_side(root: Path, top: Listing) -> Layout | None:
    """Classes with sides in each, as in crack/train; None where they hold something else."""
    inside = {folder: look_into(folder) for folder in top.folders}
    sides = {folder: [side_of(below.name) for below in listing.folders] for folder, listing in inside.items()}
    if not any(len(set(filter(None, each))) > 1 for each in sides.values()):
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
    layout = _layout(root, folders)
    beside = [(path, "lies outside the class folders") for each in inside.values() for path in each.files]
    bad = [entry for listing in inside.values() for entry in listing.bad]
    passed_over = [entry for listing in inside.values() for entry in listing.passed_over]
    return replace(layout, bad=(*beside, *bad, *layout.bad), passed_over=(*passed_over, *layout.passed_over))


def _layout(root: Path, folders: dict[tuple[str, str], list[Path]]) -> Layout:
    """Lists the files of every folder, by side and class."""
    names = tuple(sorted({name for _, name in folders}))
    members: list[Member] = []
    bad: list[tuple[Path, str]] = []
    passed_over: list[tuple[Path, str]] = []
    for (side, name), places in folders.items():
        for place in places:
            below = look_below(place)
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
    """Refuses folders of folders, unless the upper names are plainly those of the two classes."""
    if positive_class([top.name for top in tops]):
        return
    inside = {top: look_into(top) for top in tops}
    if any(is_picture(path) for listing in inside.values() for path in listing.files):
        return
    parts = {top: [folder.name for folder in listing.folders] for top, listing in inside.items()}
    if max(map(len, parts.values())) < 2:
        return
    seen = ", ".join(f"{top.name} holds {_listed(names)}" for top, names in list(parts.items())[:3] if names)
    first = next(top for top, names in parts.items() if len(names) > 1)
    raise InputError(
        f"{printable(root)}: folders within folders: {seen}; a class is a folder with its images right in "
        f"it. Give one of them, as {printable(first)}, put the images of each class into one folder, "
        f"{_IN_A_CSV}"
    )


def _refuse_segmentation(root: Path, folders: Sequence[Path]) -> None:
    names = {folder.name.lower(): folder.name for folder in folders}
    pictures, targets = names.keys() & _PICTURES, names.keys() & _TARGETS
    if pictures and targets and len(names) <= 3:
        raise InputError(
            f"{printable(root)}: {names[min(pictures)]} and {names[min(targets)]} look like pictures with "
            "their masks or boxes, not like two classes; sort the pictures into a folder per "
            "class, as crack and sound"
        )


def _too_few(root: Path, listing: Listing, stray: Sequence[object]) -> str:
    below = [folder for top in listing.folders for folder in look_into(top).folders]
    if len(listing.folders) == 1 and len(below) > 1:
        (only,) = listing.folders
        return (
            f"holds one folder, {printable(only.name)}, with {_listed([b.name for b in below])} in it; "
            f"give {printable(only)}"
        )
    found = (
        f"one class folder ({printable(listing.folders[0].name)})" if listing.folders else "no class folder"
    )
    pictures = len(stray) or sum(map(is_picture, listing.files))
    beside = f", images right in it ({pictures})" if pictures else ""
    return f"{found}{beside}; at least two folders are needed, each with the images of one class"


def _from_csv(source: Path) -> Layout:
    def wrong(what: str) -> InputError:
        return InputError(f"{printable(source)}: {what}")

    lines = read_table(source, CSV_COLUMNS, wrong)
    root = source.parent
    names = tuple(sorted({cells["class"] for _, cells in lines}))
    taken: dict[str, int] = {}
    members = []
    for number, cells in lines:
        if not cells["path"] or not cells["class"]:
            raise wrong(f"line {number} lacks its path or its class")
        if (before := taken.setdefault(cells["path"], number)) != number:
            raise wrong(
                f"line {number} names {printable(cells['path'])} as line {before} does; once is enough"
            )
        side = side_of(cells.get("split", ""))
        if cells.get("split") and not side:
            raise wrong(f"line {number}: {cells['split']!r} is none of {', '.join(SIDES)}")
        path = root / cells["path"].replace("\\", "/")
        members.append(Member(path, names.index(cells["class"]), side, cells.get("group", "")))
    if len(names) < 2:
        raise wrong(
            f"{'one class, ' + names[0] if names else 'no line below the titles'}; at least two are needed"
        )
    for name in ("side", "group"):
        given = Counter(bool(getattr(member, name)) for member in members)
        if len(given) > 1:
            column = "split" if name == "side" else "group"
            raise wrong(
                f"{given[False]} lines have no {column}; give it to all lines, or leave the column out"
            )
    return Layout(root, names, _sorted(members))


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name) for name in names[:4]] + (["…"] if len(names) > 4 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)

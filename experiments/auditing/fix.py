"""`audit --fix`: answers on labels become a list of images and classes; nothing is moved or deleted."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.layout import CSV_COLUMNS
from cnnzoo.data.table import as_meant, read_table, shown, write_table
from cnnzoo.errors import InputError, printable
from experiments.cli.arguments import make_folders
from experiments.cli.process import quoted, to_type
from experiments.cli.say import say

if TYPE_CHECKING:
    from cnnzoo.data.manifest import Manifest

REMOVE = "remove"
LISTED = 10  # files without an image on the terminal
ANSWER_TITLES = ("label", "right", "class_right")
COLUMNS = {"path": CSV_COLUMNS["path"], "answer": ANSWER_TITLES, "sha256": ("",)}


def fix_labels(files: Sequence[Path], manifest: "Manifest", out: Path, name: str) -> None:
    """Writes `labels-NAME.csv` with the right labels, and says what has changed.

    Raises:
        InputError: an answer that is none, on no image of the manifest, or other than that of another file;
            or an older list has changes that no file answers. Nothing is written then.
    """
    target = out / f"labels-{name}.csv"
    answers: dict[int, int | None] = {}
    asked: set[int] = set()
    for file in files:
        if target.resolve() == file.resolve():
            raise InputError(f"--fix {printable(file)}: the list goes there; give the answers another name")
        found, without = read_answers(file, manifest)
        twice = [i for i in found if answers.get(i, found[i]) != found[i]]
        if twice:
            path = printable(manifest.images[twice[0]].path)
            raise InputError(f"--fix {printable(file)}: answers {path} otherwise than a file before it does")
        answers |= found
        asked |= without
    unanswered = len(asked - answers.keys())
    _check_older(target, manifest, answers)
    answered = files[-1]
    labels = [answers.get(i, image.label) for i, image in enumerate(manifest.images)]
    emptied = set(range(len(manifest.class_names))) - set(labels)
    if emptied:
        left = printable(manifest.class_names[min(emptied)])
        raise InputError(f"--fix {printable(answered)}: it leaves no image of {left}; each class needs some")
    make_folders(out, [""])
    write_table(target, *_table(manifest, labels, out))
    for bad in manifest.bad[:LISTED]:
        say(f"  Left out: {printable(bad.path)}: {printable(bad.reason)}")
    if len(manifest.bad) > LISTED:
        say(f"  … and {len(manifest.bad) - LISTED:,} more files that are no usable image")
    say(_told(manifest, answers, unanswered))
    say(f"Now: {to_type('compare')} --labels {quoted(target)}")


def _check_older(target: Path, manifest: "Manifest", answers: Mapping[int, int | None]) -> None:
    """Checks that no change of an older list is lost."""
    if not target.exists():
        return

    def wrong(what: str) -> InputError:
        return InputError(f"{printable(target)}: {what}; move it away, it may hold your changes")

    known, names = _known(manifest), manifest.class_names
    kept = {image: "" for image in range(len(manifest.images))}
    for _, cells in read_table(target, {"path": (), "class": ()}, wrong):
        image = _image(cells["path"], known, target.parent)
        if image is not None:
            kept[image] = as_meant(cells["class"])
    lost = [
        i for i, image in enumerate(manifest.images) if kept[i] != names[image.label] and i not in answers
    ]
    if lost:
        raise wrong(
            f"it changes {len(lost):,} more images, {printable(manifest.images[lost[0]].path)} the first; "
            "name the answers to these too, each file with its own --fix"
        )


def read_answers(path: Path, manifest: "Manifest") -> tuple[dict[int, int | None], set[int]]:
    """Returns the right class of each image that has an answer, None to remove it; and those that have none.

    Raises:
        InputError: the file can't be read, or a line of it can't be meant.
    """

    def wrong(what: str) -> InputError:
        return InputError(f"--fix {printable(path)}: {what}")

    known = _known(manifest)
    answers: dict[int, int | None] = {}
    lines: dict[int, int] = {}
    named: set[int] = set()
    for number, cells in read_table(path, COLUMNS, wrong):
        image = _image(cells["path"], known, path.parent)
        if image is None:
            raise wrong(
                f"line {number}: {shown(cells['path'])} is no image of {printable(manifest.root)}; give its "
                "path below that folder, or take the line out"
            )
        digits = as_meant(cells.get("sha256", "")).strip()
        if digits and not manifest.images[image].sha256.startswith(digits):
            raise wrong(
                f"line {number}: {shown(cells['path'])} is another image than the one that was listed"
            )
        named.add(image)
        answer = as_meant(cells["answer"]).strip()
        if not answer:
            continue
        label = _meant(answer, manifest.class_names, number, wrong)
        if answers.setdefault(image, label) != label:
            raise wrong(
                f"line {number} answers {shown(cells['path'])} otherwise than line {lines[image]} does; "
                "leave one of them"
            )
        lines.setdefault(image, number)
    return answers, named - answers.keys()


def _known(manifest: "Manifest") -> dict[str, int]:
    """Each image by its path below the root, as in most tables, and by its whole one, as in issues.csv."""
    whole = {str(manifest.root / image.path): i for i, image in enumerate(manifest.images)}
    absolute = {os.path.abspath(path): i for path, i in whole.items()}
    return absolute | whole | {image.path: i for i, image in enumerate(manifest.images)}


def _image(cell: str, known: Mapping[str, int], beside: Path) -> int | None:
    """The image that a cell names: a name may begin with an apostrophe, and begin or end with a blank."""
    names = (as_meant(cell), cell, as_meant(cell).strip(), as_meant(cell).strip().replace("\\", "/"))
    # Last as compare would read it: from the folder of the list.
    others = (os.path.abspath(beside / name) for name in names[2:])
    return next((known[name] for name in (*names, *others) if name in known), None)


def _meant(answer: str, names: Sequence[str], number: int, wrong: Callable[[str], InputError]) -> int | None:
    """The class of an answer, None for `remove`."""
    if answer in names:
        return names.index(answer)
    alike = [name for name in names if name.casefold() == answer.casefold()]
    if len(alike) == 1:
        return names.index(alike[0])
    if answer.casefold() == REMOVE:
        return None
    listed = ", ".join(map(printable, names))
    raise wrong(f"line {number}: {shown(answer)} is no answer; give {listed} or {REMOVE}")


def _table(
    manifest: "Manifest", labels: Sequence[int | None], out: Path
) -> tuple[Sequence[str], list[list[str]]]:
    """Titles and lines of the list, split and group where the images have them."""
    images = manifest.images
    columns = [name for name in ("side", "group") if any(getattr(image, name) for image in images)]
    lines = [
        [
            _from(out, manifest.root / image.path),
            manifest.class_names[label],
            *(getattr(image, column) for column in columns),
        ]
        for image, label in zip(images, labels, strict=True)
        if label is not None
    ]
    return ["path", "class", *("split" if c == "side" else c for c in columns)], lines


def _from(out: Path, path: Path) -> str:
    """The path from the folder of the list, so that both may move together; whole where a link is between."""
    here, image = Path(os.path.abspath(out)), Path(os.path.abspath(path))
    linked = here.resolve() != here
    return image.as_posix() if linked else Path(os.path.relpath(image, here)).as_posix()


def _told(manifest: "Manifest", answers: Mapping[int, int | None], unanswered: int) -> str:
    counted = Counter(
        "removed" if label is None else "kept" if label == manifest.images[i].label else "changed"
        for i, label in answers.items()
    )
    changed, removed, kept = counted["changed"], counted["removed"], counted["kept"]
    parts = [
        f"{changed:,} label{'s' * (changed != 1)} changed",
        f"{removed:,} image{'s' * (removed != 1)} left out",
        f"{kept:,} confirmed" if kept else "",
        f"{unanswered:,} without an answer" if unanswered else "",
    ]
    return ", ".join(filter(None, parts))

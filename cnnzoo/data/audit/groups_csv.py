"""A CSV file of groups: the columns path and group."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.table import as_meant, read_table, shown
from cnnzoo.errors import InputError, printable

if TYPE_CHECKING:
    from cnnzoo.data.manifest import Manifest


def read_groups(path: Path, manifest: "Manifest") -> list[int]:
    """Reads a CSV file with the columns path and group, a line for each image of the manifest.

    Raises:
        InputError: the file can't be read, lacks a column or an image, has one in two groups, or a line has
            more or fewer cells than titles. Lines of images that the manifest lacks, by `limit` say, are
            passed over.
    """

    def wrong(what: str) -> InputError:
        return InputError(f"{{groups}} {printable(path)}: {what}", groups="groups")

    paths = [image.path for image in manifest.images]
    known = set(paths)
    named: dict[str, str] = {}
    for number, cells in read_table(path, {"path": (), "group": ()}, wrong):
        name, group = _named(cells["path"], known), cells["group"].strip()
        if not name or not group:
            raise wrong(f"line {number} lacks its path or its group")
        if named.setdefault(name, group) != group:
            raise wrong(
                f"line {number}: {shown(name)} is in two groups, {shown(named[name])} and {shown(group)}"
            )
    missing = [path for path in paths if not named.get(path)]
    if missing:
        example = min(set(named) - known, default="")
        hint = f"; it names {shown(example)}, which is no image of {manifest.root}" if example else ""
        raise wrong(f"no group for {len(missing):,} images, {shown(missing[0])} the first{hint}")
    numbers: dict[str, int] = {}
    return [numbers.setdefault(named[path], len(numbers)) for path in paths]


def _named(cell: str, known: Collection[str]) -> str:
    """The image of a cell: a name may begin with an apostrophe, and begin or end with a blank."""
    return next((name for name in (as_meant(cell), cell) if name in known), as_meant(cell).strip())

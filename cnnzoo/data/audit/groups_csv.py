"""A CSV file of groups: the columns path and group."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.errors import InputError

if TYPE_CHECKING:
    from cnnzoo.data.manifest import Manifest


def read_groups(path: Path, manifest: "Manifest") -> list[int]:
    """Reads a CSV file with the columns path and group, a line for each image of the manifest.

    Raises:
        InputError: the file can't be read, lacks a column or an image, or has one in two groups. Lines of
            images that the manifest lacks, by `limit` say, are passed over.
    """

    def wrong(what: str) -> InputError:
        return InputError(f"{{groups}} {path}: {what}", groups="groups")

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise wrong(str(getattr(error, "strerror", None) or error)) from None
    if not lines or not {"path", "group"} <= set(lines[0]):
        raise wrong("a first line with path,group and a line per image are wanted")
    named: dict[str, str] = {}
    for line in lines:
        path_, group = line["path"], (line["group"] or "").strip()
        if named.setdefault(path_, group) != group:
            raise wrong(f"{path_!r} is in two groups, {named[path_]!r} and {group!r}")
    paths = [image.path for image in manifest.images]
    missing = [path for path in paths if not named.get(path)]
    if missing:
        example = min(set(named) - set(paths), default="")
        hint = f"; it names {example!r}, which is no image of {manifest.root}" if example else ""
        raise wrong(f"no group for {len(missing):,} images, {missing[0]!r} the first{hint}")
    numbers: dict[str, int] = {}
    return [numbers.setdefault(named[path], len(numbers)) for path in paths]

"""second-look-NAME.csv: the images whose label is worth a second look, with a column for the answers."""

from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.table import as_meant, read_table, shown, write_table
from cnnzoo.errors import InputError, printable
from experiments.auditing.fix import ANSWER_TITLES

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.manifest import Manifest

TITLES = ("path", "class", "suggested", "score", "answer", "sha256")
DIGITS = 16  # of the hash of a file, by which an answer knows its image


def write_second_look(path: Path, manifest: "Manifest", audit: "Audit") -> list[Path]:
    """Writes a line per image, in the order of the contact sheet; lines with an answer are kept.

    Raises:
        InputError: a file of that name is no such list, or has answers on other images: they would be lost.
    """
    own, answered = _answered(path, manifest)
    if not audit.suspects:
        return []
    names = manifest.class_names
    lines: list[dict[str, object]] = []
    for suspect in audit.suspects:
        image = manifest.images[suspect.image]
        line = {
            "path": image.path,
            "class": names[image.label],
            "suggested": names[suspect.suggested],
            "score": round(suspect.given_probability, 4),
            "sha256": image.sha256[:DIGITS],
        }
        before = answered.pop(image.path, {})
        lines.append({**line, **{title: before.get(title, "") for title in ("answer", *own)}})
    # Somebody looked at these too, when the list was another one.
    lines += [{**line, "suggested": "", "score": ""} for line in answered.values()]
    titles = (*TITLES, *own)
    write_table(path, titles, [[line.get(title, "") for title in titles] for line in lines])
    return [path]


def _answered(path: Path, manifest: "Manifest") -> tuple[tuple[str, ...], dict[str, dict[str, str]]]:
    """Titles of the user's own, and the lines of a list of ours that have an answer or such a cell."""
    if not path.exists():
        return (), {}

    def wrong(what: str) -> InputError:
        return InputError(f"{printable(path)}: {what}; mend it or move it away, it may hold your answers")

    columns = {"path": (), "class": ("",), "answer": ANSWER_TITLES, "sha256": ("",)}
    read = read_table(path, columns, wrong)
    own = tuple(dict.fromkeys(title for _, cells in read for title in cells if title not in TITLES))
    known = {image.path: image.sha256[:DIGITS] for image in manifest.images}
    found: dict[str, dict[str, str]] = {}
    for number, cells in read:
        line = {title: as_meant(cell).strip() for title, cell in cells.items()}
        if not any(line.get(title) for title in ("answer", *own)):
            continue
        if known.get(line["path"]) != line.get("sha256", ""):
            raise wrong(
                f"line {number} answers {shown(cells['path'])}, which is no such image of this folder"
            )
        found[line["path"]] = line
    return own, found

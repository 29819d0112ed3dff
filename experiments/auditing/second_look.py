"""second-look-NAME.csv: the images whose label is worth a second look, with a column for the answers."""

from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.table import as_meant, read_table, write_table
from cnnzoo.errors import InputError, printable

if TYPE_CHECKING:
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.manifest import Manifest

TITLES = ("path", "class", "suggested", "score", "answer")


def write_second_look(path: Path, manifest: "Manifest", audit: "Audit") -> list[Path]:
    """Writes a line per image, in the order of the contact sheet; answers that stand there already are kept.

    Raises:
        InputError: a file of that name is no such list.
    """
    answers = _answers(path)
    if not audit.suspects:
        return []
    names = manifest.class_names
    lines: list[tuple[object, ...]] = []
    for suspect in audit.suspects:
        image = manifest.images[suspect.image]
        score = round(suspect.given_probability, 4)
        answer = answers.pop(image.path, ("", ""))[1]
        lines.append((image.path, names[image.label], names[suspect.suggested], score, answer))
    # Somebody looked at these too, when the list was another one.
    lines += [(name, given, "", "", answer) for name, (given, answer) in answers.items()]
    write_table(path, TITLES, lines)
    return [path]


def _answers(path: Path) -> dict[str, tuple[str, str]]:
    """Class and answer of the images that have one in a list of ours, by path."""
    if not path.exists():
        return {}

    def wrong(what: str) -> InputError:
        return InputError(f"{printable(path)}: {what}; mend it or move it away, it may hold your answers")

    lines = read_table(path, {"path": (), "class": ("",), "answer": ("",)}, wrong)
    return {
        as_meant(cells["path"]): (as_meant(cells.get("class", "")), as_meant(cells["answer"]).strip())
        for _, cells in lines
        if cells.get("answer", "").strip()
    }

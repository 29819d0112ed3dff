"""`python -m experiments.suggest MODEL.keras IMAGE_OR_FOLDER…`: which images to label next."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.backend import check_backend, import_keras
from cnnzoo.data.table import as_meant, read_table, write_table
from cnnzoo.errors import InputError, printable
from experiments.cli.arguments import Parser, check_at_least_one
from experiments.cli.asked import SHIPPED, add_images, files_to_ask_about, with_model
from experiments.cli.process import called, exit_code, quiet_stderr, quoted, to_type
from experiments.cli.say import say
from experiments.cli.stopping import tell_if_stopped

if TYPE_CHECKING:
    from cnnzoo.deploy.classifier import Classifier
    from cnnzoo.deploy.verdicts import Prediction

TITLES = ("path", "class", "verdict", "probability", "distance")
SHEET = "_sheet.jpg"
SHOWN = 200  # pictures on the sheet
TILE = 160  # pixels
NAME_LENGTH = 28  # characters above a picture


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("suggest"),
        usage="%(prog)s [-h] [--count N] [--out FILE.csv] [MODEL.keras] IMAGE_OR_FOLDER ...",
        description="Choose the images whose labels would teach a model most: those that it is unsure of or "
        "that look like nothing it was trained on, each standing for others like it. They are listed in a "
        "CSV file, to write their classes into, and drawn. compare --labels trains on that file. The same "
        "command again keeps the lines that have a class and suggests further images.",
        epilog="Exit code: 0 every file was an image, 1 some were not (they are named), 2 an argument can't "
        "be used.",
    )
    add_images(parser)
    parser.add_argument("--count", type=int, default=50, metavar="N", help="images to label (default: 50)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("suggested.csv"),
        metavar="FILE.csv",
        help=f"list to fill in; the pictures lie beside it, as NAME{SHEET} (default: suggested.csv)",
    )
    return with_model(parser.parse_intermixed_args(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Lists and draws the images to label next. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped("nothing was written; the same command starts anew")
    check_backend()
    check_at_least_one(options, "count")
    files, unread = files_to_ask_about(options, "suggest")
    out = options.out.resolve() if options.out.is_symlink() else options.out
    labelled = _labelled(out)
    sheet = _sheet(out)
    known = {(out.parent / line["path"]).resolve() for line in labelled.lines}
    known |= {out.resolve(), sheet.resolve()}
    files = list({path.resolve(): path for path in files if path.resolve() not in known}.values())
    for path, reason in unread:
        say(f"error: {printable(path)}: {printable(reason)}", warning=True)
    if not files:
        done = f"every image has a class in {printable(out)}: name other images"
        raise InputError(done if labelled.lines else "none of the files can be looked at: name images")
    with quiet_stderr():
        import_keras()
        from cnnzoo.deploy.classifier import load_model
        from cnnzoo.deploy.suggesting import suggest

        classifier = load_model(options.model or SHIPPED)
    chosen, bad = suggest(classifier, files, count=options.count, progress=True)
    for verdict in bad:
        say(f"error: {printable(verdict.error)}", warning=True)
    if not chosen:
        raise InputError(f"none of {len(files):,} files is an image")
    _write(out, labelled, chosen)
    _draw(sheet, chosen, len(labelled.lines) + 1)
    _say_what_next(options, classifier, len(chosen), len(files), len(labelled.lines), sheet)
    return 1 if unread or bad else 0


@dataclass(frozen=True)
class _Labelled:
    """The lines of an older list that somebody has written into, by title; the user's own titles are last."""

    titles: tuple[str, ...] = TITLES
    lines: tuple[dict[str, str], ...] = ()


def _labelled(out: Path) -> _Labelled:
    """Reads an older list.

    Raises:
        InputError: it lies in no folder, or is no such list: it would be lost.
    """
    if not out.resolve().parent.is_dir() or out.is_dir():
        raise InputError(f"--out {out}: {'a folder' if out.is_dir() else 'its folder does not exist'}")
    if out.suffix.lower() != ".csv":
        raise InputError(f"--out {printable(out)}: a list ends in .csv")
    if not out.exists():
        return _Labelled()

    def wrong(what: str) -> InputError:
        return InputError(f"--out {printable(out)}: {what}; choose another file")

    columns = {name: ("",) * (name not in TITLES[:2]) for name in TITLES}
    cells = [line for _, line in read_table(out, columns, wrong)]
    own = dict.fromkeys(title for line in cells for title in line if title not in TITLES)
    lines = [{title: as_meant(cell) for title, cell in line.items()} for line in cells]
    kept = tuple(line for line in lines if any(line.get(title, "").strip() for title in ("class", *own)))
    return _Labelled((*TITLES, *own), kept)


def _sheet(out: Path) -> Path:
    """Where the pictures go.

    Raises:
        InputError: a file is there without a list that it belongs to: it would be lost.
    """
    sheet = out.with_name(f"{out.stem}{SHEET}")
    if sheet.exists() and not out.exists():
        raise InputError(
            f"--out {printable(out)}: the pictures would replace {printable(sheet)}; choose another name"
        )
    return sheet


def _write(out: Path, labelled: _Labelled, chosen: "Sequence[Prediction]") -> None:
    new = [
        {
            "path": _from(out, verdict.path),
            "verdict": verdict.class_name,
            "probability": f"{verdict.probability:.4f}",
            "distance": "" if verdict.distance is None else f"{verdict.distance:.2f}",
        }
        for verdict in chosen
    ]
    titles = labelled.titles
    write_table(out, titles, [[line.get(t, "") for t in titles] for line in (*labelled.lines, *new)])


def _from(out: Path, path: Path) -> str:
    """A path as `compare --labels` reads it: from the folder of the list, where it lies below that."""
    folder, file = out.resolve().parent, Path(os.path.abspath(path))
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def _draw(sheet: Path, chosen: "Sequence[Prediction]", first: int) -> None:
    """Draws the new images, numbered from `first` on as in the list."""
    from cnnzoo.data.images import read_image, resize_image
    from experiments.style.contact_sheet import draw_sheet
    from experiments.style.text import shorten

    shown = chosen[:SHOWN]
    draw_sheet(
        sheet,
        [resize_image(read_image(verdict.path), TILE) for verdict in shown],
        [
            f"{i}. {shorten(str(v.path), NAME_LENGTH)}\n{shorten(v.class_name)} {v.probability:.2f}?"
            for i, v in enumerate(shown, first)
        ],
        columns=8,
        heading=f"{len(shown):,} images to label, in the order of the list: the model's verdicts are guesses",
    )


def _say_what_next(
    options: argparse.Namespace, classifier: "Classifier", chosen: int, of: int, labelled: int, sheet: Path
) -> None:
    drawn = f"the first {SHOWN:,} drawn" if chosen > SHOWN else "drawn"
    kept = f", below the {labelled:,} that have a class" if labelled else ""
    names = " or ".join(map(printable, classifier.class_names))
    recipe = f" --recipes {SHIPPED}_tuned" if str(options.model or SHIPPED) == SHIPPED else ""
    say(
        f"{chosen:,} of {of:,} images to label next are listed in {printable(options.out)}{kept}, and "
        f"{drawn} in {printable(sheet)}.\nWrite the class of each ({names}) into the column class; then:\n"
        f"  {to_type('compare')} --labels {quoted(options.out)}{recipe}"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))

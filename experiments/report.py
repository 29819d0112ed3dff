"""`python -m experiments.report DIR ...`: tables, figures and page of comparisons from their records."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cnnzoo.errors import InputError
from experiments.commands import Parser, called, exit_code, make_folders
from experiments.markup import latex, markdown
from experiments.recipes import RECIPES
from experiments.records import RUNS_FILE, latest_records, read_records
from experiments.table import Row, make_rows, unique_name, write_csv
from experiments.terminal import draw_table, print_table


def read_rows(folders: Sequence[Path]) -> list[Row]:
    """Returns the rows of output folders of `compare`; of several, each name says which it is from.

    Rows come in the order of `RECIPES`, others after them in the order that they were run in.

    Raises:
        InputError: a folder holds no runs.
    """
    found = [make_rows(latest_records(read_records(each)), list(RECIPES), each) for each in folders]
    for folder, rows in zip(folders, found, strict=True):
        if not rows:
            raise InputError(f"{folder / RUNS_FILE}: no whole record in it; run cnnzoo compare again")
    if len(found) == 1:
        return found[0]
    together: list[Row] = []
    for label, rows in zip(_labels(folders), found, strict=True):
        taken = {row.anchor for row in together}
        together += [replace(row, name=unique_name(f"{label}/{row.name}", taken)) for row in rows]
    return together


def _labels(folders: Sequence[Path]) -> list[str]:
    """The last parts of the folders' paths, as many as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(each[-length:]) for each in parts]
        if len(set(labels)) == len(labels):
            return labels
    raise InputError(f"{folders[0]}: named twice; name each folder once")


def write_report(out: Path, folders: Sequence[Path] = ()) -> list[Row]:
    """Writes comparison.csv, .md and .tex, figures/*.svg and report.html into `out`.

    A pure function of `folders`, by default `out` itself: the runs in them, and the pictures that the runs
    left, which may be missing.

    Raises:
        InputError: a folder holds no runs.
    """
    from experiments.figures import draw_figures
    from experiments.page import page

    rows = read_rows(folders or [out])
    write_csv(out / "comparison.csv", rows)
    charts = draw_figures(out / "figures", rows)
    draw_table(out / "figures" / "table.svg", rows)
    texts = {
        "comparison.md": markdown(rows),
        "comparison.tex": latex(rows),
        "report.html": page(rows, charts),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8", errors="replace")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Renders folders again. Returns the exit code."""
    parser = Parser(
        prog=called("report"),
        description="Render tables, figures and report.html of comparisons again, without training.",
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="what cnnzoo compare wrote (--out); several are shown side by side",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: DIR itself; for several, report)"
    )
    options = parser.parse_args(arguments)
    out = options.out or (options.folders[0] if len(options.folders) == 1 else Path("report"))
    read_rows(options.folders)  # before a folder is made for nothing
    make_folders(out, ("figures",))
    rows = write_report(out, options.folders)
    print_table(rows, out)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

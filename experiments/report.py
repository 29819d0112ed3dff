"""`python -m experiments.report DIR ...`: tables, figures and page of comparisons from their records."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cnnzoo.errors import InputError
from experiments.commands import Parser, exit_code, make_folders
from experiments.markup import audit_lines, conclusions, demonstration, latex, markdown
from experiments.recipes import RECIPES
from experiments.records import latest_records, read_records
from experiments.table import Row, all_others, interval_text, make_rows, row_notes, write_csv
from experiments.text import human_count, human_time, number, shorten

CONSOLE_WIDTH = 100
WRITTEN = ("report.html", "comparison.csv", "comparison.md", "comparison.tex", "figures")


def read_rows(folders: Sequence[Path]) -> list[Row]:
    """Returns the rows of output folders of `compare`; of several, each name says which it is from.

    Rows come in the order of `RECIPES`, others after them in the order that they were run in.

    Raises:
        InputError: a folder holds no runs.
    """
    found = [make_rows(latest_records(read_records(each)), list(RECIPES), each) for each in folders]
    if len(found) == 1:
        return found[0]
    labels = _labels(folders)
    return [
        replace(row, name=f"{label}/{row.name}")
        for label, rows in zip(labels, found, strict=True)
        for row in rows
    ]


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
    texts = {
        "comparison.md": markdown(rows),
        "comparison.tex": latex(rows),
        "report.html": page(rows, charts),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8", errors="replace")
    return rows


def print_table(rows: Sequence[Row], out: Path) -> None:
    """Prints the table and what was written to the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = CONSOLE_WIDTH
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("recipe", no_wrap=True)
    for title in ("accuracy", "95 %", "training", "params", "ms/image"):
        table.add_column(title, justify="right", no_wrap=True)
    for name in all_others(rows):
        table.add_column(shorten(name, 12), justify="right", no_wrap=True)
    table.add_column("weights", no_wrap=True, overflow="ellipsis", max_width=12)
    table.add_column("status", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            number(row.average("test_accuracy"), 4),
            interval_text(row).replace(" to ", "–"),
            human_time(row.average("train_seconds")),
            human_count(row.average("total_params")),
            number(row.average("ms_per_image_1"), 1),
            *(number(row.other(name, "accuracy"), 4) for name in all_others(rows)),
            row.first.weights,
            "ok" if row.status == "ok" else "failed",
        )
    if demonstration(rows):
        console.print(f"\n{demonstration(rows)}", markup=False, soft_wrap=True)
    console.print()
    console.print(table)
    for row in rows:
        for note in row_notes(row, rows):
            console.print(f"{row.name}: {note}", markup=False, soft_wrap=True)
    for line in [*audit_lines(rows), *conclusions(rows)]:
        console.print(f"\n{line}", markup=False)
    left_out = max((len(row.first.data.get("bad", [])) for row in rows), default=0)
    if left_out:
        console.print(f"unusable files left out: {left_out}; report.html names them")
    written = ", ".join(str(out / name) for name in (*WRITTEN, "models") if (out / name).exists())
    console.print(f"\nwritten: {written}", markup=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Renders folders again. Returns the exit code."""
    parser = Parser(
        prog="python -m experiments.report",
        description="Render tables, figures and report.html of comparisons again, without training.",
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="what experiments.compare wrote (--out); several are shown side by side",
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

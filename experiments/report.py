"""`python -m experiments.report DIR`: tables, figures and page of a comparison, from its records alone."""

import base64
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.commands import Parser, exit_code
from experiments.recipes import RECIPES
from experiments.records import file_stem, latest_records, read_records
from experiments.table import (
    DEMONSTRATION,
    SIDES,
    TRUSTED_ACCURACY,
    Row,
    all_classes,
    all_others,
    interval_text,
    make_rows,
    row_notes,
    split_kind,
    write_csv,
)
from experiments.text import human_count, human_time, interval_of, number, plain, shorten

TEMPLATES = Path(__file__).parent / "templates"
SHORT_HASH = 12
CONSOLE_WIDTH = 100
SHARED_CURVES = {
    "learning_curve": "Test accuracy against the number of labelled training images",
    "robustness": "Test accuracy under five strengths of blur, noise, exposure, JPEG, rotation and scale",
    "reliability": "Reliability: accuracy against confidence, after the temperature fitted on validation",
    "abstention": "Accuracy against the share of images left to a person, the least sure first",
}


def write_report(out: Path) -> list[Row]:
    """Writes comparison.csv, comparison.md, figures/*.svg and report.html into `out`.

    A pure function of the folder: the runs in it, and the pictures with photographs that the runs left in
    figures/, which may be missing.

    Rows come in the order of `RECIPES`, others after them in the order that they were run in.

    Raises:
        InputError: the folder holds no runs.
    """
    from experiments.figures import draw_figures

    rows = make_rows(latest_records(read_records(out)), list(RECIPES), out)
    write_csv(out / "comparison.csv", rows)
    (out / "comparison.md").write_text(markdown(rows), encoding="utf-8", errors="replace")
    charts = draw_figures(out / "figures", rows)
    (out / "report.html").write_text(_page(out, rows, charts), encoding="utf-8", errors="replace")
    return rows


def demonstration(rows: Sequence[Row]) -> str:
    """The line that a demonstration's table carries, else nothing."""
    return DEMONSTRATION if any(row.first.demonstration for row in rows) else ""


def conclusions(rows: Sequence[Row]) -> list[str]:
    """A sentence for each test set: what can't be told apart, and what to take. None for a demonstration."""
    from experiments.verdict import verdicts

    return [] if demonstration(rows) else [verdict.sentence for verdict in verdicts(rows)]


def markdown(rows: Sequence[Row]) -> str:
    """The comparison as one pastes it into a README."""
    others = all_others(rows)
    titles = ["recipe", "test accuracy (95 %)", "± seeds", "AUROC", *(f"{name} (AUROC)" for name in others)]
    titles += ["training", "parameters", "ms/image (1 / 32)", "weights", "notes"]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for row in rows:
        accuracy = f"{number(row.average('test_accuracy'), 4)} ({interval_text(row)})" if row.results else ""
        latency = f"{number(row.average('ms_per_image_1'), 2)} / {number(row.average('ms_per_image_32'), 2)}"
        cells = [
            row.name,
            accuracy,
            number(row.deviation("test_accuracy"), 4),
            number(row.average("auroc"), 4),
            *(other_text(row, name) for name in others),
            human_time(row.average("train_seconds")),
            human_count(row.average("total_params")),
            latency if row.results else "",
            row.first.weights,
            "; ".join(row_notes(row, rows)),
        ]
        lines.append("| " + " | ".join(plain(cell).replace("|", "\\|") for cell in cells) + " |")
    notes = [demonstration(rows), *conclusions(rows), *_data_lines(rows), *audit_lines(rows)]
    notes += _machine_lines(rows)
    commands = [f"Command: `{command}`" for command in _commands(rows)]
    return "\n\n".join([note for note in notes if note] + ["\n".join(lines)] + commands) + "\n"


def other_text(row: Row, name: str) -> str:
    """Accuracy and AUROC on another data set, as `0.6120 (0.7012)`."""
    accuracy, area = row.other(name, "accuracy"), row.other(name, "auroc")
    return f"{number(accuracy, 4)} ({number(area, 4)})" if accuracy is not None else ""


def audit_lines(rows: Sequence[Row]) -> list[str]:
    """What the audit of each data set found, in a sentence."""
    lines: dict[str, None] = {}
    for row in rows:
        audit, data = row.first.data.get("audit"), row.first.data
        if not audit:
            continue
        ordered = "".join(
            f" The files of {plain(name)} are in the order of their photographs." for name in audit["ordered"]
        )
        suspects = (
            f" {audit['label_suspects']:,} labels are doubtful."
            if (audit["label_accuracy"] or 0) >= TRUSTED_ACCURACY
            else ""
        )
        lines[
            f"Audit of {plain(data.get('name', ''))}: of {audit['images']:,} images {audit['twins']:,} show "
            f"what another one shows ({audit['identical']:,} are copies of a file); with a random split "
            f"{audit['random_split_leaked']:,} of {audit['random_split_test']:,} test images have a twin in "
            f"training.{ordered}{suspects}"
        ] = None
    return list(lines)


def _data_lines(rows: Sequence[Row]) -> list[str]:
    lines: dict[str, str] = {}
    for row in rows:
        data = row.first.data
        counts = ", ".join(f"{row.images(side):,} {side}" for side in SIDES)
        left_out = f"; {len(data['bad'])} files left out" if data.get("bad") else ""
        split = split_kind(row)
        lines[json.dumps([data.get("fingerprint"), data.get("split"), data.get("images")])] = (
            f"Data: {plain(data.get('name', ''))} ({counts} images in {len(row.class_names)} classes; "
            f"{split} split; fingerprint {str(data.get('fingerprint', ''))[:SHORT_HASH]}{left_out})."
        )
    return list(lines.values())


def _machine_lines(rows: Sequence[Row]) -> list[str]:
    lines: dict[str, None] = {}
    for row in rows:
        for record in row.finished:
            e = record.environment
            lines[
                f"Machine: {e['device']} ({e['processor']}, {e['cores']} cores, {e['memory_gib']} GiB), "
                f"Python {e['python']}, TensorFlow {e['tensorflow']}, Keras {e['keras']} on {e['backend']}, "
                f"cnnzoo {e['cnnzoo']} {e['git_commit']}."
            ] = None
    return [plain(line) for line in lines]


def _commands(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(plain(record.command) for row in rows for record in row.records))


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
    names = ("report.html", "comparison.csv", "comparison.md", "figures", "models")
    console.print(f"\nwritten: {', '.join(str(out / name) for name in names)}", markup=False, soft_wrap=True)


def _page(out: Path, rows: Sequence[Row], charts: dict[str, Path]) -> str:
    import jinja2

    from experiments.verdict import verdicts

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"time": human_time, "count": human_count, "number": number}
    svgs = {name: _inline_svg(path, name) for name, path in charts.items()}
    return environment.get_template("report.html.j2").render(
        rows=rows,
        demonstration=demonstration(rows),
        sections=[_section(out, row, svgs) for row in rows],
        svgs=svgs,
        notes={row.name: row_notes(row, rows) for row in rows},
        interval=interval_text,
        interval_of=interval_of,
        classes=all_classes(rows),
        data=_data_sets(rows),
        sides=SIDES,
        machines=_machine_lines(rows),
        verdicts=[] if demonstration(rows) else verdicts(rows),
        audits=audit_lines(rows),
        trusted=TRUSTED_ACCURACY,
        others=all_others(rows),
        curves=[name for name in SHARED_CURVES if name in svgs],
        curve_titles=SHARED_CURVES,
        commands=_commands(rows),
    )


def _data_sets(rows: Sequence[Row]) -> list[Row]:
    """A row for each data set and kind of split, the one with the most training images."""
    by_size = sorted(rows, key=lambda row: row.images("train"))
    return list({(row.first.data.get("fingerprint"), split_kind(row)): row for row in by_size}.values())


def _section(out: Path, row: Row, svgs: dict[str, str]) -> dict[str, Any]:
    stem = file_stem(row.name)
    pictures = [
        ("augmented", f"Augmented training images of {row.name}", f"augmented-{row.first.recipe}.jpg")
    ]
    pictures += [
        (
            "predictions",
            f"Test images with the verdict of {record.run_name}",
            f"predictions-{record.run_name}.jpg",
        )
        for record in row.finished
    ]
    return {
        "row": row,
        "curves": svgs.get(f"curves-{stem}", ""),
        "confusion": svgs.get(f"confusion-{stem}", ""),
        "pictures": [
            (kind, text, _data_uri(out / "figures" / name))
            for kind, text, name in pictures
            if (out / "figures" / name).is_file()
        ],
        "seconds": _where_the_seconds_went(row),
    }


def _where_the_seconds_went(row: Row) -> list[tuple[str, float]]:
    if not row.results:
        return []
    first, train = row.average("first_epoch_seconds") or 0, row.average("train_seconds") or 0
    return [
        ("start (imports)", row.average("start_seconds") or 0),
        ("decoding", row.average("decode_seconds") or 0),
        ("first epoch, with tracing", first),
        ("other epochs", train - first),
        ("validation and logging", row.average("validation_seconds") or 0),
        ("test", row.average("test_seconds") or 0),
    ]


def _data_uri(path: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def _inline_svg(path: Path, name: str) -> str:
    """The chart without its XML head, its ids made unique: several charts share one page."""
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"\W", "_", name)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)


def main(arguments: Sequence[str] | None = None) -> int:
    """Renders a folder again. Returns the exit code."""
    parser = Parser(
        prog="python -m experiments.report",
        description="Render tables, figures and report.html of a comparison again, without training.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="what experiments.compare wrote (--out)")
    options = parser.parse_args(arguments)
    rows = write_report(options.folder)
    print_table(rows, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""All that a comparison writes, from the records of its runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnzoo.files import write_whole
from experiments.reporting.comparison import Comparison
from experiments.reporting.surfaces import OverSurfaces
from experiments.reporting.tables.card import write_cards
from experiments.reporting.tables.csv_table import FIRST_COLUMNS, csv_row, write_csv
from experiments.reporting.tables.latex import latex
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.tables.terminal import WRITTEN, draw_table
from experiments.reporting.verdict import Verdict
from experiments.runs.records import RUNS_FILE


def write_report(out: Path, folders: Sequence[Path] = ()) -> Comparison:
    """Reads the runs in `folders`, by default `out` itself, and writes their comparison into `out`.

    Raises:
        InputError: a folder holds no runs.
    """
    comparison = Comparison.of(folders or [out])
    write_comparison(out, comparison)
    return comparison


def write_comparison(out: Path, comparison: Comparison) -> None:
    """Writes comparison.csv, .md and .tex, figures/*.svg, report.html and a card a model into `out`.

    A pure function of the rows and of the pictures that their runs left, which may be missing.
    """
    from experiments.reporting.charts.draw import draw_figures
    from experiments.reporting.page import page

    write_csv(out / "comparison.csv", comparison)
    charts = draw_figures(out / "figures", comparison)
    draw_table(out / "figures" / "table.svg", comparison)
    write_whole(out / "comparison.md", markdown(comparison))
    write_whole(out / "comparison.tex", latex(comparison))
    write_whole(out / "report.html", page(comparison, charts))
    write_cards(out, comparison.rows)


def summary(comparison: Comparison, out: Path) -> dict[str, Any]:
    """What a script may want of a comparison that is written: its rows, its conclusions, its files."""
    columns = (*FIRST_COLUMNS, "ms_per_image_32", "majority_accuracy")
    rows = [(row, csv_row(row, [])) for row in comparison.rows]
    return {
        "rows": [
            {
                "name": row.name,
                **{column: line[column] for column in columns},
                "never_predicted": row.never_predicted,
                "notes": comparison.notes[row.name],
            }
            for row, line in rows
        ],
        "recommendation": comparison.conclusions,
        "verdicts": [_verdict(verdict) for verdict in comparison.verdicts],
        "over_surfaces": [_over_surfaces(each) for each in comparison.over_surfaces],
        "written": [str(out / name) for name in (RUNS_FILE, *WRITTEN) if (out / name).exists()],
    }


def _over_surfaces(over: OverSurfaces) -> dict[str, Any]:
    return {
        each.recipe: {
            "balanced_accuracy": dict(zip(over.surfaces, each.values, strict=True)),
            "mean": each.mean,
            "interval": list(each.interval),
        }
        for each in over.recipes
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    few = verdict.too_few
    return {
        "best": verdict.best.name,
        "recommended": verdict.chosen.name if verdict.chosen else None,
        "on_par_with_the_best": [row.name for row in verdict.equal],
        "never_predict_a_class": [row.name for row in verdict.broken],
        "too_few_images": few
        and {
            "between": [row.name for row in few.between],
            "rarest_class": few.rarest,
            "rarest_class_test_images": few.rarest_images,
            "interval_of_the_best": list(few.interval),
            "test_groups": verdict.best.test_groups,
            "why": few.why,
            "what_would_help": few.help,
        },
    }

"""`python -m experiments.results`: results/README.md from its template and the records beside it."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.errors import InputError
from experiments.commands import Parser, exit_code
from experiments.markup import audit_lines, markdown
from experiments.recipes import RECIPES
from experiments.records import latest_records, read_records
from experiments.table import Row, make_rows
from experiments.text import human_time, interval_of, number

FOLDER = Path(__file__).parents[1] / "results"
TEMPLATE = "README.md.j2"
MEASUREMENTS = "audit/measurements.jsonl"
WRONG_LABELS = "crack_net/wrong_labels.csv"


class Results:
    """The runs of one folder below results/, as the template asks for them."""

    def __init__(self, folder: Path) -> None:
        self.rows = make_rows(latest_records(read_records(folder)), list(RECIPES), folder)

    def __getitem__(self, name: str) -> Row:
        return {row.name: row for row in self.rows}[name]

    @property
    def table(self) -> str:
        """The table of comparison.md."""
        return "\n".join(line for line in markdown(self.rows).splitlines() if line.startswith("| "))

    @property
    def sentence(self) -> str:
        """What the comparison concludes."""
        from experiments.verdict import verdicts

        return verdicts(self.rows)[0].sentence

    @property
    def audit(self) -> dict[str, int]:
        return dict(self.rows[0].first.data["audit"])

    @property
    def audit_line(self) -> str:
        return audit_lines(self.rows)[0]


def render(folder: Path = FOLDER) -> str:
    """Returns results/README.md: every number in it comes from the records."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "time": human_time, "interval": interval_of}
    return environment.get_template(TEMPLATE).render(
        results=lambda name: Results(folder / name),
        measured=lambda test: _measured(folder, test),
        wrong_labels=_read_csv(folder / WRONG_LABELS),
        set_right=_set_right,
        mistakes=_mistakes,
        trials=lambda name: _read_csv(folder / name / "trials.csv"),
    )


def _measured(folder: Path, test: str) -> list[dict[str, Any]]:
    """What a slow test measured, from `pytest --record`."""
    lines = (folder / MEASUREMENTS).read_text(encoding="utf-8").splitlines()
    return [values for line in lines if (values := json.loads(line))["test"] == test]


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _set_right(row: Row, wrong: Sequence[dict[str, str]]) -> list[float]:
    """The test accuracy of each seed with the wrong labels set right."""
    names = row.first.data["class_names"]
    right = {entry["path"]: names.index(entry["right"]) for entry in wrong}
    return [
        float(np.mean([
            right.get(path, label) == best
            for path, label, best in zip(
                seed.paths, seed.labels, seed.probabilities.argmax(axis=1), strict=True
            )
        ]))
        for seed in row.predictions
    ]  # fmt: skip


def _mistakes(row: Row) -> dict[str, int]:
    """Each test image that a seed got wrong, by its published label, and by how many seeds; most first."""
    count: Counter[str] = Counter()
    for seed in row.predictions:
        count.update(path for path, right in zip(seed.paths, seed.right, strict=True) if not right)
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes results/README.md. Returns the exit code."""
    parser = Parser(
        prog="python -m experiments.results", description="Write results/README.md from its records."
    )
    parser.parse_args(arguments)
    if not (FOLDER / TEMPLATE).is_file():
        raise InputError(f"{FOLDER / TEMPLATE}: no such file; this command needs a checkout of the project")
    (FOLDER / "README.md").write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

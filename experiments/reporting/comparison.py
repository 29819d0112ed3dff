"""All rows of a comparison with what follows from them, computed once and handed to every writer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from cnnzoo.errors import InputError, printable
from experiments.cli.say import say
from experiments.recipes.published import RECIPES
from experiments.reporting.mistakes import Decisions, Mistake, galleries
from experiments.reporting.notes import row_notes
from experiments.reporting.rows import Row, make_rows, unique_name
from experiments.reporting.sentences import unlike_line
from experiments.reporting.surfaces import OverSurfaces, over_surfaces
from experiments.reporting.verdict import Verdict, verdicts
from experiments.runs.records import RUNS_FILE, latest_records, read_records


@dataclass(frozen=True, eq=False)
class Comparison:
    """The rows, and what every writer asks of them."""

    rows: tuple[Row, ...]

    @staticmethod
    def of(folders: Sequence[Path]) -> "Comparison":
        """Reads output folders of `compare`; of several, each row's name says which it is from.

        Rows come in the order of `RECIPES`, others after them in the order that they were run in. A record
        that can't be read is passed over, and a line on stderr says so.

        Raises:
            InputError: a folder holds no runs.
        """
        found = [_rows(folder) for folder in folders]
        if len(found) == 1:
            return Comparison(tuple(found[0]))
        together: list[Row] = []
        for label, rows in zip(_labels(folders), found, strict=True):
            taken = {row.anchor for row in together}
            together += [
                replace(row, name=unique_name(f"{printable(label)}/{row.name}", taken)) for row in rows
            ]
        return Comparison(tuple(together))

    @cached_property
    def finished(self) -> list[Row]:
        """The rows with a result."""
        return [row for row in self.rows if row.results]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """A verdict for each test set that finished rows share."""
        return verdicts(self.rows)

    @cached_property
    def over_surfaces(self) -> list[OverSurfaces]:
        """A verdict over surfaces for each comparison that left out one in turn."""
        return over_surfaces(self.rows)

    @property
    def conclusions(self) -> list[str]:
        """A paragraph for each test set: what does not differ significantly, and what to take.

        Where surfaces were left out in turn, what holds over them comes first, then a paragraph for each. The
        last is of other data sets that are unlike the training images, where there are some.
        """
        over = [" ".join(each.sentences) for each in self.over_surfaces]
        found = over + [f"{verdict.on}{verdict.sentence}" for verdict in self.verdicts]
        return found + [line for line in [unlike_line(self.finished)] if line]

    @cached_property
    def notes(self) -> dict[str, list[str]]:
        """What a reader must know before comparing a row with the others, by its name."""
        return {row.name: row_notes(row, self.rows) for row in self.rows}

    @cached_property
    def decisions(self) -> dict[str, Decisions]:
        """What the runs of a row decide on its test images, by its name."""
        return {row.name: Decisions(row) for row in self.rows}

    @cached_property
    def mistakes(self) -> dict[str, list[Mistake]]:
        """The mistakes of each row, by its name, the worst first."""
        return galleries(list(self.decisions.values()))

    @cached_property
    def others(self) -> list[str]:
        """The names of the other data sets of all rows, each once."""
        return list(dict.fromkeys(name for row in self.rows for name in row.other_names))

    @cached_property
    def class_names(self) -> list[str]:
        """The class names of all rows, each once."""
        return list(dict.fromkeys(name for row in self.rows for name in row.class_names))

    @property
    def all_ok(self) -> bool:
        """Whether no run failed."""
        return all(row.status == "ok" for row in self.rows)

    @property
    def traced(self) -> bool:
        """Whether any row has the time of tracing apart; earlier versions have it in the training."""
        return any(row.average("tracing_seconds") is not None for row in self.rows)

    @cached_property
    def data_sets(self) -> list[Row]:
        """A row for each data set and split: that with the most training images, finished last."""
        by_size = sorted(
            self.rows, key=lambda row: (row.images("train"), bool(row.predictions), row.first.started)
        )
        return list(
            {
                (data.fingerprint, data.split.named): row for row in by_size for data in [row.first.data]
            }.values()
        )


def _rows(folder: Path) -> list[Row]:
    records = read_records(folder, unread=lambda text: say(text, warning=True))
    rows = make_rows(latest_records(records), list(RECIPES), folder)
    if not rows:
        raise InputError(f"{folder / RUNS_FILE}: no whole record in it; run cnnzoo compare again")
    return rows


def _labels(folders: Sequence[Path]) -> list[str]:
    """The last parts of the folders' paths, as many as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(each[-length:]) for each in parts]
        if len(set(labels)) == len(labels):
            return labels
    raise InputError(f"{folders[0]}: named twice; name each folder once")

"""A card beside each trained model: what it is for, what it was trained and tested on, where it fails.

After Mitchell et al. 2019, "Model cards for model reporting".
"""

from collections.abc import Sequence
from pathlib import Path

from cnnzoo.files import write_whole
from experiments.reporting.rows import Row
from experiments.reporting.tables.markdown import code, escaped
from experiments.runs.records import RunRecord
from experiments.style.templates import environment
from experiments.style.text import interval_of, number, start_of

TEMPLATES = Path(__file__).parents[1] / "templates"
LOW = 0.9  # accuracy on corrupted images, below which it is a weakness worth a line


def write_cards(out: Path, rows: Sequence[Row]) -> None:
    """Writes MODEL.md beside each model that the runs of these rows have left in `out`."""
    for row in rows:
        if row.folder is None or row.folder.resolve() != out.resolve():
            continue
        for record in row.runs:
            model = out / record.model_file
            if model.is_file():
                write_whole(model.with_suffix(".md"), card(row, record))


def card(row: Row, record: RunRecord) -> str:
    """Returns the card of the model of one finished run, which belongs to `row`, as Markdown."""
    templates = environment(TEMPLATES, markdown=True)  # "text" and "code" escape what is not ours
    templates.filters |= {"text": escaped, "code": code, "start": start_of}
    templates.filters |= {"number": number, "interval": interval_of}
    template = templates.get_template("card.md.j2")
    return template.render(row=row, record=record, result=record.result, low=LOW)

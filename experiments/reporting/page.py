"""report.html: one page that needs nothing beside it, from the rows and charts of a comparison."""

import base64
import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.data.audit.summary import where_checked
from cnnzoo.errors import printable
from experiments.cli.process import quoted
from experiments.reporting.comparison import Comparison
from experiments.reporting.mistakes import Decisions, Mistake
from experiments.reporting.next_steps import (
    model_file,
    predict_command,
    tensorboard_commands,
)
from experiments.reporting.notes import class_notes, operating_text, scaling_note
from experiments.reporting.rows import Row, interval_text
from experiments.reporting.sentences import (
    OWN_IMAGES,
    RESULTS,
    audit_lines,
    class_lines,
    commands_of,
    demonstration,
    machine_lines,
    unlike_line,
)
from experiments.runs.left import batch_file, samples_file
from experiments.runs.predictions import batch_places
from experiments.runs.records import keeps_last
from experiments.runs.spec import SIDES
from experiments.style.contact_sheet import some_of_each_kind
from experiments.style.templates import environment
from experiments.style.text import human_count, human_time, interval_of, number, sentence, start_of

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

PAGE_BYTES = 4_800_000  # of the whole page: mail and chat take it
SHORT_NAME = 18  # characters that fit on a line of the table
PICTURE_MARKUP = 250  # bytes around the pictures of a mistake, without its path
SHARED_CURVES = {
    "learning_curve": "Test accuracy against the number of labelled training images",
    "robustness": "Test accuracy under five strengths of blur, noise, exposure, JPEG, rotation and scale",
    "reliability": "Reliability: accuracy against confidence, with the temperature fitted on validation",
    "abstention": "Accuracy on the rest against the share sent for human review, least certain first",
}

ROW_CHARTS = {
    "accuracy": "Accuracy of {} by epoch, all seeds; {kept}",
    "loss": "Loss of {} by epoch, all seeds",
    "reliability": "Reliability of {}: accuracy against confidence, in bins of at least 10 images",
    "precision": "Precision of {} against recall, a line per seed",
}


@dataclass(frozen=True)
class Section:
    """What the page shows of one row.

    Attributes:
        batch: a picture of test images with their verdicts, which `batch_text` says in words.
        augmented: a picture of training images as the network sees them.
        model: where the saved model is, and `predict`, the command that asks it; empty where there is none.
        seconds: each part with its share of the longest one.
    """

    row: Row
    charts: list[tuple[str, str]]
    verdicts: Decisions
    mistakes: list[Mistake]
    mistakes_total: int
    batch: str
    batch_text: str
    augmented: str
    model: str
    predict: str
    seconds: list[tuple[str, float, float]]

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The kinds of mistake shown, with how many there are."""
        return Counter(mistake.kind for mistake in self.mistakes).most_common()

    @property
    def augments(self) -> bool:
        """Whether the recipe changes training images."""
        return any(self.row.first.config.get("config", {}).get("augmentation", {}).values())


def page(comparison: Comparison, charts: dict[str, Path]) -> str:
    """Renders the page; of the pictures, as many as it has room for, the worst mistakes first."""
    names = {row.anchor: row.name for row in comparison.rows}
    svgs = {
        name: _inline_svg(path, f"c{number}", names) for number, (name, path) in enumerate(charts.items())
    }
    sections = [_section(row, comparison, svgs) for row in comparison.rows]
    bare = [_without_pictures(section, keep=0) for section in sections]
    room = PAGE_BYTES - len(_render(comparison, svgs, bare).encode("utf-8", "replace"))
    keep = _pictures_that_fit(sections, room)
    return _render(comparison, svgs, [_without_pictures(section, keep=keep) for section in sections])


def _render(comparison: Comparison, svgs: dict[str, str], sections: Sequence[Section]) -> str:
    templates = environment(TEMPLATES, finalize=_shown)
    templates.filters |= {"time": human_time, "count": human_count, "number": number}
    templates.filters |= {"interval": interval_of, "sentence": sentence}
    templates.filters |= {"prose": _prose, "breakable": _breakable, "quoted": quoted}
    rows = comparison.rows
    return templates.get_template("report.html.j2").render(
        rows=rows,
        data_names=list(dict.fromkeys(row.first.data.name for row in rows)),
        demonstration=demonstration(rows),
        own_images=OWN_IMAGES,
        where_checked=where_checked(),
        real_results=RESULTS.as_uri() if RESULTS.is_file() else "",
        sections=sections,
        svgs=svgs,
        points={field: _points(rows, field) for field in ("train_seconds", "total_params")},
        notes=comparison.notes,
        class_notes=class_notes,
        operating_text=operating_text,
        scaling_note=scaling_note,
        interval=interval_text,
        traced=all(row.average("tracing_seconds") is not None for row in comparison.finished),
        recipes=len({row.first.recipe for row in rows}),
        data=comparison.data_sets,
        classes=class_lines(comparison.data_sets),
        samples=_samples(comparison),
        sides=SIDES,
        start_of=start_of,
        machines=machine_lines,
        verdicts=comparison.verdicts,
        over_surfaces=comparison.over_surfaces,
        recommended=[verdict.chosen for verdict in comparison.verdicts if verdict.chosen],
        audits=audit_lines(rows),
        unlike=unlike_line(comparison.finished),
        others=comparison.others,
        curves=[(svgs[name], title) for name, title in SHARED_CURVES.items() if name in svgs],
        commands=commands_of,
        tensorboard=tensorboard_commands(comparison),
    )


def _shown(value: object) -> object:
    """What the page shows of a value: a text may hold names of files and classes."""
    return printable(value) if type(value) is str else value  # Markup is ours


def _prose(text: str) -> "Markup":
    """Keeps an option with its value, and a p-value, on one line."""
    from markupsafe import Markup, escape

    pattern = r"--[a-z-]+(?: [\w,]+)?|\bp (?:=|≥|&lt;) \d\.\d+"
    return Markup(re.sub(pattern, r'<span class="whole">\g<0></span>', str(escape(printable(text)))))  # noqa: S704 - of escaped text


def _breakable(name: str) -> "Markup":
    """Lets a long name go on in another line behind an underscore."""
    from markupsafe import Markup, escape

    breaks = "_<wbr>" if len(name) > SHORT_NAME else "_"
    return Markup(str(escape(printable(name))).replace("_", breaks))  # noqa: S704 - of escaped text


def _points(rows: Sequence[Row], field: str) -> str:
    """The points of a scatter plot in words."""
    form = human_time if field == "train_seconds" else human_count
    return "; ".join(
        f"{row.name} {number(row.average('test_accuracy'), 4)} at {form(row.average(field))}"
        for row in rows
        if row.results
    )


def _section(row: Row, comparison: Comparison, svgs: dict[str, str]) -> Section:
    mistakes = comparison.mistakes[row.name]
    last = keeps_last(row.first.config)
    kept = "the last epoch is kept" if last else "the epoch with the lowest validation loss is kept"
    charts = [
        (svgs[f"{kind}-{row.anchor}"], title.format(row.name, kept=kept))
        for kind, title in ROW_CHARTS.items()
        if f"{kind}-{row.anchor}" in svgs
    ]
    first = row.finished[0] if row.finished else None
    model = model_file(row)
    return Section(
        row=row,
        charts=charts,
        verdicts=comparison.decisions[row.name],
        mistakes=some_of_each_kind(mistakes, [mistake.kind for mistake in mistakes]),
        mistakes_total=len(mistakes),
        batch=_picture(row, batch_file(first.run_name, first.identity)) if first else "",
        batch_text=_batch_text(comparison.decisions[row.name]),
        augmented=_picture(row, (first or row.first).augmented_file),
        model=str(model or ""),
        predict=predict_command("cnnzoo predict", model) if model else "",
        seconds=_time_breakdown(row),
    )


def _picture(row: Row, file: str) -> str:
    """A picture that the row's runs left, in base64; empty where it is missing, or another than they left."""
    path = (row.folder or Path()) / file
    if file in row.not_as_recorded:
        return ""
    return base64.b64encode(path.read_bytes()).decode() if path.is_file() else ""


def _batch_text(verdicts: Decisions) -> str:
    """The picture of the test batch in words."""
    if not verdicts.decided:
        return ""
    names, labels, decided = verdicts.row.class_names, verdicts.labels, verdicts.decided[0]
    first = verdicts.row.runs[0]  # of folds, the first one's images come first
    places = batch_places(first.result.test_images if first.result else len(labels))
    wrong = sum(decided[i] != labels[i] for i in places)
    said = [
        f"{names[labels[i]]} → {names[decided[i]]}{' (wrong)' if decided[i] != labels[i] else ''}"
        for i in places
    ]
    return (
        f"{len(places)} test images chosen at random, actual → predicted class (seed "
        f"{verdicts.row.finished[0].seed}); {wrong or 'none'} wrong: {'; '.join(said)}"
    )


def _pictures(section: Section) -> Iterator[int]:
    """The bytes of a section's pictures, in the order of their importance."""
    yield len(section.batch) + len(section.batch_text.encode("utf-8", "replace")) + PICTURE_MARKUP
    for mistake in section.mistakes:
        around = PICTURE_MARKUP + 2 * len(mistake.path.encode("utf-8", "replace"))
        yield len(mistake.image) + len(mistake.map) + around
    yield len(section.augmented)


def _pictures_that_fit(sections: Sequence[Section], room: int) -> int:
    """How many pictures each section may have, the same number for all."""
    sizes = [list(_pictures(section)) for section in sections]
    for count in range(max(map(len, sizes), default=0), 0, -1):
        if sum(sum(each[:count]) for each in sizes) <= room:
            return count
    return 0


def _without_pictures(section: Section, *, keep: int) -> Section:
    """Returns the section with its first `keep` pictures alone, in the order of `_pictures`."""
    mistakes = [
        mistake if place < keep else replace(mistake, image="", map="")
        for place, mistake in enumerate(section.mistakes, 1)
    ]
    return replace(
        section,
        batch=section.batch if keep else "",
        mistakes=mistakes,
        augmented=section.augmented if len(mistakes) + 1 < keep else "",
    )


def _samples(comparison: Comparison) -> list[tuple[str, str]]:
    """Name and sample images of each data set that has some, in base64."""
    rows = {row.first.data.fingerprint: row for row in comparison.data_sets}
    found = [(row.first.data.name, _picture(row, samples_file(key))) for key, row in rows.items()]
    return [(name, picture) for name, picture in found if picture]


def _time_breakdown(row: Row) -> list[tuple[str, float, float]]:
    if not row.results:
        return []
    tracing, train = row.average("tracing_seconds"), row.average("train_seconds") or 0
    parts = [
        ("start-up (imports)", row.average("start_seconds") or 0),
        ("decoding", row.average("decode_seconds") or 0),
        *([("tracing", tracing)] if tracing is not None else []),
        ("training" if tracing is not None else "training, including tracing", train),
        ("validation and logging", row.average("validation_seconds") or 0),
        ("testing", row.average("test_seconds") or 0),
    ]
    most = max(seconds for _, seconds in parts) or 1
    return [(name, seconds, seconds / most) for name, seconds in parts]


def _inline_svg(path: Path, prefix: str, names: dict[str, str]) -> str:
    """The chart without its XML head, its ids made unique: several charts share one page.

    `names` are the rows' by their anchors.
    """
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    linked: set[str] = set()

    def link(found: "re.Match[str]") -> str:
        anchor, target = found[1], f'<a href="#model-{found[1]}"'
        if anchor in linked:  # its point and its name lead to the same place: one of them is enough to tab to
            return f'{target} tabindex="-1" aria-hidden="true">'
        linked.add(anchor)
        return f'{target} aria-label="{html.escape(names.get(anchor, anchor))}">'

    svg = re.sub(r'<a xlink:href="#model-([^"]*)"[^>]*>', link, svg)
    # Inside tags alone: the text beside them may be a name that reads like one.
    own = partial(re.sub, r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-")
    return re.sub(r"<[^>]+>", lambda tag: own(tag[0]), svg)

"""report.html: one page that needs nothing beside it, from the rows and charts of a comparison."""

import base64
import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.reporting.comparison import Comparison
from experiments.reporting.mistakes import Decisions, Mistake
from experiments.reporting.notes import class_notes
from experiments.reporting.rows import Row, interval_text
from experiments.reporting.sentences import RESULTS, audit_lines, commands_of, demonstration, machine_lines
from experiments.runs.spec import SIDES
from experiments.style.contact_sheet import some_of_each_kind
from experiments.style.text import human_count, human_time, interval_of, number

TEMPLATES = Path(__file__).parent / "templates"

PAGE_BYTES = 4_800_000  # of the whole page: mail and chat take it
PICTURE_MARKUP = 250  # bytes around the pictures of a mistake, without its path
SHARED_CURVES = {
    "learning_curve": "Test accuracy against the number of labelled training images",
    "robustness": "Test accuracy under five strengths of blur, noise, exposure, JPEG, rotation and scale",
    "reliability": "Reliability: accuracy against confidence, with the temperature fitted on validation",
    "abstention": "Accuracy against the share of images left to a person, the least sure first",
}

ROW_CHARTS = {
    "accuracy": "Accuracy of {} by epoch, all seeds; the epoch of the lowest validation loss is kept",
    "loss": "Loss of {} by epoch, all seeds",
    "reliability": "Reliability of {}: accuracy against confidence, bins of 10 images or more",
    "precision": "Precision of {} against recall, a line per seed",
}


@dataclass(frozen=True)
class Section:
    """What the page shows of one row. `seconds` has each part with its share of the longest one."""

    row: Row
    charts: list[tuple[str, str]]
    verdicts: Decisions
    mistakes: list[Mistake]
    mistakes_total: int
    augmented: str
    seconds: list[tuple[str, float, float]]

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The kinds of mistake shown, with how many there are."""
        return Counter(mistake.kind for mistake in self.mistakes).most_common()


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
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "time": human_time, "count": human_count, "number": number, "interval": interval_of
    }  # fmt: skip
    rows = comparison.rows
    return environment.get_template("report.html.j2").render(
        rows=rows,
        data_names=list(dict.fromkeys(row.first.data.name for row in rows)),
        demonstration=demonstration(rows),
        real_results=RESULTS.as_uri() if RESULTS.is_file() else "",
        sections=sections,
        svgs=svgs,
        points={field: _points(rows, field) for field in ("train_seconds", "total_params")},
        notes=comparison.notes,
        interval=interval_text,
        traced=all(row.average("tracing_seconds") is not None for row in comparison.finished),
        recipes=len({row.first.recipe for row in rows}),
        data=comparison.data_sets,
        sides=SIDES,
        machines=machine_lines,
        verdicts=comparison.verdicts,
        recommended=[verdict.chosen for verdict in comparison.verdicts],
        class_notes=class_notes,
        audits=audit_lines(rows),
        others=comparison.others,
        curves=[(svgs[name], title) for name, title in SHARED_CURVES.items() if name in svgs],
        commands=commands_of,
    )


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
    charts = [
        (svgs[f"{kind}-{row.anchor}"], title.format(row.name))
        for kind, title in ROW_CHARTS.items()
        if f"{kind}-{row.anchor}" in svgs
    ]
    augmented = (row.folder or Path()) / "figures" / f"augmented-{row.first.recipe}.jpg"
    return Section(
        row=row,
        charts=charts,
        verdicts=comparison.decisions[row.name],
        mistakes=some_of_each_kind(mistakes, [mistake.kind for mistake in mistakes]),
        mistakes_total=len(mistakes),
        augmented=base64.b64encode(augmented.read_bytes()).decode() if augmented.is_file() else "",
        seconds=_where_the_seconds_went(row),
    )


def _pictures(section: Section) -> Iterator[int]:
    """The bytes of a section's pictures, in the order of their importance."""
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
    """Returns the section with its first `keep` pictures alone."""
    mistakes = [
        mistake if place < keep else replace(mistake, image="", map="")
        for place, mistake in enumerate(section.mistakes)
    ]
    augmented = section.augmented if len(mistakes) < keep else ""
    return replace(section, mistakes=mistakes, augmented=augmented)


def _where_the_seconds_went(row: Row) -> list[tuple[str, float, float]]:
    if not row.results:
        return []
    tracing, train = row.average("tracing_seconds"), row.average("train_seconds") or 0
    parts = [
        ("start (imports)", row.average("start_seconds") or 0),
        ("decoding", row.average("decode_seconds") or 0),
        *([("tracing", tracing)] if tracing is not None else []),
        ("training" if tracing is not None else "training, with tracing", train),
        ("validation and logging", row.average("validation_seconds") or 0),
        ("test", row.average("test_seconds") or 0),
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
    return re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", svg)

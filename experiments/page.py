"""report.html: one page that needs nothing beside it, from the rows and charts of a comparison."""

import base64
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.markup import audit_lines, commands_of, demonstration, machine_lines
from experiments.mistakes import Mistake, Verdicts, galleries
from experiments.table import (
    SIDES,
    TRUSTED_ACCURACY,
    Row,
    all_classes,
    all_others,
    interval_text,
    row_notes,
    split_kind,
)
from experiments.text import human_count, human_time, interval_of, number

TEMPLATES = Path(__file__).parent / "templates"
PAGE_BYTES = 4_800_000  # of the whole page: mail and chat take it
SHOWN = 24  # mistakes of a row
SHARED_CURVES = {
    "learning_curve": "Test accuracy against the number of labelled training images",
    "robustness": "Test accuracy under five strengths of blur, noise, exposure, JPEG, rotation and scale",
    "reliability": "Reliability: accuracy against confidence, with the temperature fitted on validation",
    "abstention": "Accuracy against the share of images left to a person, the least sure first",
}
ROW_CHARTS = {
    "accuracy": "Accuracy of {} by epoch, all seeds",
    "loss": "Loss of {} by epoch, all seeds",
    "reliability": "Reliability of {}: accuracy against confidence, bins of 10 images or more",
    "precision": "Precision of {} against recall, a line per seed",
}


@dataclass(frozen=True)
class Section:
    """What the page shows of one row. `seconds` has each part with its share of all."""

    row: Row
    charts: list[tuple[str, str]]
    confusion: list[list[int]]
    mistakes: list[Mistake]
    mistakes_total: int
    augmented: str
    seconds: list[tuple[str, float, float]]

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The kinds of mistake shown, with how many there are."""
        return Counter(mistake.kind for mistake in self.mistakes).most_common()


def page(rows: Sequence[Row], charts: dict[str, Path]) -> str:
    """Renders the page; of the pictures, as many as it has room for, the worst mistakes first."""
    svgs = {name: _inline_svg(path, name) for name, path in charts.items()}
    sections = [_section(row, svgs, found) for row, found in zip(rows, galleries(rows), strict=True)]
    bare = [_without_pictures(section, keep=0) for section in sections]
    room = PAGE_BYTES - len(_render(rows, svgs, bare).encode())
    return _render(
        rows, svgs, [_without_pictures(s, keep=_pictures_that_fit(sections, room)) for s in sections]
    )


def _render(rows: Sequence[Row], svgs: dict[str, str], sections: Sequence[Section]) -> str:
    import jinja2

    from experiments.verdict import verdicts

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
    return environment.get_template("report.html.j2").render(
        rows=rows,
        data_names=list(dict.fromkeys(str(row.first.data.get("name", "")) for row in rows)),
        demonstration=demonstration(rows),
        sections=sections,
        svgs=svgs,
        points={field: _points(rows, field) for field in ("train_seconds", "total_params")},
        notes={row.name: row_notes(row, rows) for row in rows},
        interval=interval_text,
        classes=all_classes(rows),
        data=_data_sets(rows),
        sides=SIDES,
        machines=machine_lines,
        verdicts=[] if demonstration(rows) else verdicts(rows),
        audits=audit_lines(rows),
        trusted=TRUSTED_ACCURACY,
        others=all_others(rows),
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


def _data_sets(rows: Sequence[Row]) -> list[Row]:
    """A row for each data set and kind of split: the one with the most training images, run last."""
    by_size = sorted(rows, key=lambda row: (row.images("train"), row.first.started))
    return list({(row.first.data.get("fingerprint"), split_kind(row)): row for row in by_size}.values())


def _section(row: Row, svgs: dict[str, str], mistakes: Sequence[Mistake]) -> Section:
    charts = [
        (svgs[f"{kind}-{row.anchor}"], title.format(row.name))
        for kind, title in ROW_CHARTS.items()
        if f"{kind}-{row.anchor}" in svgs
    ]
    augmented = (row.folder or Path()) / "figures" / f"augmented-{row.first.recipe}.jpg"
    return Section(
        row=row,
        charts=charts,
        confusion=Verdicts(row).confusion if row.results else [],
        mistakes=_some_of_each_kind(mistakes, SHOWN),
        mistakes_total=len(mistakes),
        augmented=base64.b64encode(augmented.read_bytes()).decode() if augmented.is_file() else "",
        seconds=_where_the_seconds_went(row),
    )


def _some_of_each_kind(mistakes: Sequence[Mistake], count: int) -> list[Mistake]:
    """At most `count` in the order given: the first of each kind, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for place, mistake in enumerate(mistakes):
        turns.append((seen[mistake.kind], place))
        seen[mistake.kind] += 1
    chosen = {place for _, place in sorted(turns)[:count]}
    return [mistake for place, mistake in enumerate(mistakes) if place in chosen]


def _pictures(section: Section) -> Iterator[int]:
    """The bytes of a section's pictures, in the order of their importance."""
    for mistake in section.mistakes:
        yield len(mistake.image) + len(mistake.map)
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
    first, train = row.average("first_epoch_seconds") or 0, row.average("train_seconds") or 0
    parts = [
        ("start (imports)", row.average("start_seconds") or 0),
        ("decoding", row.average("decode_seconds") or 0),
        ("first epoch, with tracing", first),
        ("other epochs", train - first),
        ("validation and logging", row.average("validation_seconds") or 0),
        ("test", row.average("test_seconds") or 0),
    ]
    most = max(seconds for _, seconds in parts) or 1
    return [(name, seconds, seconds / most) for name, seconds in parts]


def _inline_svg(path: Path, name: str) -> str:
    """The chart without its XML head, its ids made unique: several charts share one page."""
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"\W", "_", name)
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    # Links go to other parts of the page; their text, where there is one, says to which.
    return re.sub(rf'<a xlink:href="#{prefix}-([^"]*)"[^>]*>', r'<a href="#\1" aria-label="\1">', svg)

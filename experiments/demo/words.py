"""The page's sentences, as HTML in which whatever a name holds is text."""

from collections.abc import Sequence
from pathlib import Path

from cnnzoo.errors import printable
from experiments.cli.asked import SHIPPED
from experiments.demo.answers import PHOTOGRAPH, TILE, Answer, Answerer
from experiments.demo.kept import KEPT_MINUTES
from experiments.mapping.measures import Photograph
from experiments.style.templates import environment
from experiments.style.text import few_listed, plural

TEMPLATES = Path(__file__).parent / "templates"
MOST_BARS = 5  # classes with their probabilities
MOST_LENGTHS = 8
# The shipped network has METU's names, which say little to who doesn't know them.
_SHIPPED_WORDS = {"Positive": "Crack", "Negative": "No crack"}

_LOOKED = (
    "The picture below shows what spoke for this verdict: the more colour, the more (Grad-CAM). It is as "
    "bright where the model is unsure."
)
_OUTLINED = (
    "The picture below has the cracks outlined. A length is taken along the middle of a crack with all its "
    "branches. Joints, cables and shadows are dark lines too: look before you quote a length."
)


def introduction(answerer: Answerer, model: Path | None, *, local: bool = True) -> str:
    """What the page is, who answers, and what becomes of pictures."""
    known = answerer.known
    return _rendered(
        "introduction.html.j2",
        title="Is there a crack?" if answerer.shipped else "What does the model see?",
        who=f"The {SHIPPED} that comes with cnnzoo" if model is None else printable(model.name),
        classes="" if answerer.shipped else few_listed(known.class_names, MOST_BARS),
        where="Pictures stay on this computer"
        if local
        else "Pictures go to the computer that serves this page",
        minutes=KEPT_MINUTES,
        warning="" if answerer.shipped else known.origin.warning,
        no_maps=answerer.no_maps,
    )


def word_for(answerer: Answerer, class_name: str) -> str:
    """What a class is called on the page."""
    return _SHIPPED_WORDS[class_name] if answerer.shipped else printable(class_name)


def answer_html(answerer: Answerer, answer: Answer) -> str:
    """The answer about a picture."""
    size = f"{answer.width:,} × {answer.height:,} pixels"
    if answer.photograph is not None:
        return _rendered(
            "answer.html.j2",
            kind=f"{PHOTOGRAPH}, {size}",
            verdict=_found(answer.photograph),
            sentence=_share(answer.photograph),
            notes=answer.notes,
            bars=[],
            measures=_measures(answer.photograph),
            caption=_OUTLINED if answer.photograph.lengths else "",
        )
    return _rendered(
        "answer.html.j2",
        kind=f"{TILE}, {size}",
        verdict=word_for(answerer, answer.verdict.class_name),
        sentence=_probability(answerer, answer),
        notes=answer.notes,
        bars=_bars(answerer, answer),
        measures=[],
        caption="" if answer.picture is None else _LOOKED,
    )


def error_html(error: str) -> str:
    """A line in place of an answer."""
    return _rendered("line.html.j2", kind="error", line=error, role="alert")


def waiting_html() -> str:
    """What stands where the answer will."""
    return _rendered("line.html.j2", kind="empty", line="The answer appears here.", role="status")


def looking_html() -> str:
    """What stands there while the model is asked."""
    line = "Looking. A whole photograph may take some seconds a megapixel."
    return _rendered("line.html.j2", kind="empty", line=line, role="status")


def _rendered(template: str, **values: object) -> str:
    return environment(TEMPLATES).get_template(template).render(**values)


def _probability(answerer: Answerer, answer: Answer) -> str:
    verdict, decision = answer.verdict, answerer.known.decision
    name = f" (class {printable(verdict.class_name)})" if answerer.shipped else ""
    said = f"Probability {verdict.probability:.4f}{name}."
    if decision.threshold is not None:
        positive = word_for(answerer, decision.positive)
        said += f" {positive} is answered from a probability of {decision.threshold:.4f} on."
    return said


def _bars(answerer: Answerer, answer: Answer) -> list[dict[str, str]]:
    """The most probable classes."""
    assert answer.verdict.probabilities is not None
    each = sorted(
        zip(answerer.known.class_names, answer.verdict.probabilities.tolist(), strict=True),
        key=lambda pair: -pair[1],
    )
    return [
        {"name": word_for(answerer, name), "number": f"{p:.4f}", "percent": f"{100 * p:.1f}"}
        for name, p in each[:MOST_BARS]
    ]


def _found(photograph: Photograph) -> str:
    return plural(len(photograph.lengths), "crack") if photograph.lengths else "No crack found"


def _share(photograph: Photograph) -> str:
    tiles = f"Seen in tiles of {photograph.tile:,} pixels, of which {100 * photograph.tiles_cracked:.0f} %"
    return f"{tiles} were taken for cracked."


def _measures(photograph: Photograph) -> Sequence[tuple[str, str]]:
    """What is measured of a map with cracks, in pixels of the photograph."""
    if not photograph.lengths:
        return []
    lengths = [f"{length:,.0f}" for length in photograph.lengths[:MOST_LENGTHS]]
    more = len(photograph.lengths) - len(lengths)
    others = f" and {more:,} shorter" if more else ""
    return [
        ("share of the surface", f"{100 * photograph.share:.2f} %"),
        ("length in all", f"{sum(photograph.lengths):,.0f} pixels"),
        ("length of each", f"{', '.join(lengths)}{others}"),
        ("longest extent", f"{photograph.longest_extent:,.0f} pixels from end to end"),
        ("widest place", f"{photograph.widest:,.0f} pixels"),
    ]

"""The style of all charts: colours, markers, legend, and SVG that is the same for the same numbers."""

import re
import warnings
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.files import write_whole
from experiments.style.text import shorten_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 10  # images: the accuracy of fewer is mostly chance

# Okabe and Ito (2008): told apart by colour-blind readers too.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)

MARKERS = "osD^vP*X<>"
GREY = "#767676"
INK = "#222222"
LEGEND_LINE = 0.19  # inches
FONTS = "'DejaVu Sans', sans-serif"
STYLE = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "cnnzoo",
    # Text stays text: small files, and the reader's fonts know scripts that matplotlib's own doesn't.
    "svg.fonttype": "none",
    # A name is no formula, and nothing that TeX is to run.
    "text.parse_math": False,
    "text.usetex": False,
}


def save_chart(path: Path, draw: "Callable[[Figure], None]") -> Path:
    """Has `draw` fill a figure in the house's style, and writes it as SVG."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The text is drawn by the reader's program, with its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # At the resolution of SVG a pixel is a point.
        figure = Figure(layout="constrained", facecolor="white", dpi=72)
        FigureCanvasAgg(figure)
        draw(figure)
        svg = StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    write_whole(path, _smaller(svg.getvalue()))
    return path


def _smaller(svg: str) -> str:
    """Leaves out what isn't seen: digits below a hundredth of a point, the font of each text, indentation."""
    svg = svg.replace("<svg ", f'<svg font-family="{FONTS}" ', 1)
    return re.sub(r"<[^>]+>", _shorter, re.sub(r"\n\s+", "\n", svg))


def _shorter(tag: "re.Match[str]") -> str:
    if tag[0].startswith("<a "):  # a link may be named by a number
        return tag[0]
    tag_ = re.sub(r" ?font-family: [^;\"]*;?", "", tag[0])
    tag_ = re.sub(r"\d+\.\d{3,}", lambda long: f"{float(long[0]):.2f}".rstrip("0").rstrip("."), tag_)
    return re.sub(r' transform="rotate\(-0 [^"]*"', "", tag_)


def style(i: int) -> dict[str, Any]:
    """How the i-th row is drawn in every chart."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)], "markersize": 5}


def legend(figure: "Figure", names: Sequence[str]) -> None:
    """Puts the names of the lines below the axes, in their order, and makes the figure as much higher."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linewidth=1.3, **style(i)) for i in range(len(names))]
    columns = 2 if max(map(len, names)) < 30 else 1
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * -(-len(names) // columns))
    labels = shorten_apart(names, 44)
    # Given with their handles, names that begin with an underscore are shown too.
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)

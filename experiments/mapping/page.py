"""map.html: all photographs with their cracks outlined, the worst first, in one file that needs no other."""

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2

from cnnzoo.data.images import encode_jpeg, read_image
from cnnzoo.errors import InputError, printable
from cnnzoo.files import replaced_whole
from experiments.mapping.drawings import fitting_size
from experiments.mapping.measures import Photograph
from experiments.mapping.result import PAGE, SCREEN
from experiments.style.templates import environment
from experiments.style.text import plural

TEMPLATES = Path(__file__).parent / "templates"
_BYTES = 12_000_000  # of all pictures together: a browser on a phone takes it
_WIDEST, _NARROWEST = 900, 200  # pixels
_BYTES_A_PIXEL = 0.25  # of a JPEG of quality 75 of a rough surface, about


def write_page(
    out: Path, photographs: Sequence[Photograph], *, model: str, millimetres: float | None
) -> None:
    """Writes map.html from the photographs and the pictures in their folders."""
    good = sorted((each for each in photographs if not each.error), key=lambda each: -each.share)
    bad = [{"error": printable(each.error)} for each in photographs if each.error]
    side = int((_BYTES / _BYTES_A_PIXEL / max(1, len(good))) ** 0.5)
    side = min(_WIDEST, max(_NARROWEST, side))
    text = (
        environment(TEMPLATES)
        .get_template("map.html.j2")
        .render(
            headline=_headline(good),
            model=printable(model),
            millimetres=millimetres,
            good=[_item(out, each, side, millimetres) for each in good],
            bad=bad,
        )
    )
    with replaced_whole(out / PAGE) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _headline(good: Sequence[Photograph]) -> str:
    cracked = sum(bool(each.lengths) for each in good)
    return f"Cracks in {cracked:,} of {plural(len(good), 'photograph')}"


def _item(out: Path, each: Photograph, side: int, millimetres: float | None) -> dict[str, object]:
    def length(pixels: float) -> str:
        return f"{pixels:,.0f} pixels" if millimetres is None else f"{pixels * millimetres:,.1f} mm"

    picture, width, height = _picture(out / each.folder / SCREEN, side)
    return {
        "path": printable(each.path),
        "folder": each.folder,
        "picture": picture,
        "picture_width": width,
        "picture_height": height,
        "cracks": plural(len(each.lengths), "crack") if each.lengths else "none",
        "length": length(sum(each.lengths)) if each.lengths else "",
        "extent": length(each.longest_extent),
        "widest": length(each.widest),
        "share": f"{100 * each.share:.2f} %",
        "tile": each.tile,
        "width": f"{each.width:,}",
        "height": f"{each.height:,}",
        "tiles_cracked": f"{100 * each.tiles_cracked:.0f} %",
    }


def _picture(path: Path, side: int) -> tuple[str, int, int]:
    """The picture in Base64 with its width and height; empty where somebody took it away."""
    try:
        image = read_image(path)
    except InputError:
        return "", 0, 0
    size = fitting_size(image, side)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return base64.b64encode(encode_jpeg(small, 75)).decode(), *size

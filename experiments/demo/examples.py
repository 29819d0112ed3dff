"""Pictures to try the page on, drawn when it starts: no photograph of others has to lie in the package."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnzoo.data.images import encode_jpeg
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.data.sources.drawn.canvas import TILE
from cnnzoo.data.sources.drawn.surfaces import draw_surface_tile

_QUALITY = 85
_PHOTOGRAPH = 960  # pixels: more than three tiles of the networks for cracks


class _Example(NamedTuple):
    name: str
    kind: str  # of surface; empty for the concrete of the demonstration
    seed: int
    crack: bool
    size: int = TILE


_EXAMPLES = (
    _Example("cracked concrete", "", 9, True),
    _Example("sound concrete", "", 2, False),
    _Example("cracked brickwork", "brick", 16, True),
    _Example("sound brickwork", "brick", 16, False),
    _Example("photograph of concrete", "", 3, True, _PHOTOGRAPH),
    _Example("photograph of plaster", "plaster", 4, True, _PHOTOGRAPH),
)


def draw_examples(folder: Path) -> list[Path]:
    """Draws the examples into a folder, each named after what it shows."""
    files = []
    for example in _EXAMPLES:
        rng = np.random.default_rng(example.seed)
        if example.kind:
            picture, _ = draw_surface_tile(rng, crack=example.crack, size=example.size, kind=example.kind)
        else:
            picture, _ = draw_tile(rng, crack=example.crack, size=example.size)
        file = folder / f"{example.name}.jpg"
        file.write_bytes(encode_jpeg(picture, _QUALITY))
        files.append(file)
    return files

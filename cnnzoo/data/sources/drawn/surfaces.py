"""Tiles of many surfaces, with a crack or without.

What is long and thin on them, joints, edges, grain, shadows, is on tiles of both classes; a crack runs across
it or along it.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.sources.drawn.canvas import TILE, Gray, noise, uneven_light
from cnnzoo.data.sources.drawn.cracks import (
    FINE,
    carve,
    engrave,
    fine_cracks,
    scaled_cracks,
    stepped_crack,
)
from cnnzoo.data.sources.drawn.grounds import Colour, Surface, asphalt, concrete, plaster, washed
from cnnzoo.data.sources.drawn.overlays import OVERLAYS
from cnnzoo.data.sources.drawn.stones import boards, brick, tiles

KINDS: dict[str, Callable[[np.random.Generator, int], Surface]] = {
    "brick": brick,
    "tiles": tiles,
    "boards": boards,
    "asphalt": asphalt,
    "plaster": plaster,
    "washed": washed,
    "concrete": concrete,
}
_TURNS = (*KINDS, "brick")  # bricks have most of what looks like a crack


def kind_in_turn(number: int) -> str:
    """Returns the kind of the tile of this number, from 0 on, in a set of tiles."""
    return _TURNS[number % len(_TURNS)]


def draw_surface_tile(
    rng: np.random.Generator, *, crack: bool, size: int = TILE, kind: str | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Draws one tile of a surface of some kind, or of `kind`; returns RGB and where the crack is."""
    kind = kind or str(rng.choice(list(KINDS)))
    gray, tint, stones = KINDS[kind](rng, size)
    for overlay in OVERLAYS:
        gray = overlay(rng, gray)
    gray += uneven_light(rng, size)
    contrast = float(np.clip(rng.lognormal(np.log(34 if kind == "brick" else 22), 0.45), 8, 60))
    cover = np.zeros((size, size), np.float32)
    if crack:
        cover, carved, is_open = _crack(rng, size, stones, contrast)
        # With a crack the tile has more contrast, or its ground less: neither must tell them apart.
        if stones is not None or rng.random() < 0.3:
            contrast = max(contrast**2 - float(carved.var()), (0.35 * contrast) ** 2) ** 0.5
    scale = contrast / max(gray.std(), 1e-3)
    gray = gray * scale
    if crack:
        gray += carved
        if is_open:  # as dark inside, whatever it runs through
            deep = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.2))
            gray += deep * (rng.uniform(-140, -80) - gray + rng.uniform(0, 12) * noise(rng, size, 40))
    return _photograph(rng, gray, tint * min(scale, 2)), cover > 0.3


def _crack(
    rng: np.random.Generator, size: int, stones: npt.NDArray[np.int64] | None, contrast: float
) -> tuple[Gray, Gray, bool]:
    """Where a crack is, what it adds to a ground of this contrast, and whether it is open."""
    if stones is None and rng.random() < FINE:
        cover = fine_cracks(rng, size)
        return cover, engrave(rng, cover, contrast), False
    if stones is not None and rng.random() < 0.4:
        cover = stepped_crack(rng, stones)
    else:
        cover = scaled_cracks(rng, size)
    carved = carve(rng, cover) * rng.uniform(0.35 if stones is None else 0.55, 1.15)
    return cover, carved, rng.random() < (0.4 if stones is None else 0.6)


def _photograph(rng: np.random.Generator, gray: Gray, tint: Colour) -> npt.NDArray[np.uint8]:
    gray = cv2.GaussianBlur(gray, (0, 0), rng.uniform(0.3, 1.3))
    light = float(np.clip(rng.normal(150, 35), 70, 225))
    gray = gray - gray.mean() + light
    tint = tint + np.array([rng.normal(3, 4), rng.normal(0, 2), rng.normal(-3, 4)], np.float32)
    grain = rng.uniform(0.5, 4) * rng.standard_normal((*gray.shape, 3), dtype=np.float32)
    return np.clip(gray[..., None] + tint * (gray[..., None] / 170) + grain, 0, 255).astype(np.uint8)


def coarser(rng: np.random.Generator, tile: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Returns the tile in two of five cases, as a photograph of fewer pixels shows it."""
    size = len(tile)
    if rng.random() > 0.4:
        return tile
    side = int(np.exp(rng.uniform(np.log(0.28 * size), np.log(size))))
    small = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)

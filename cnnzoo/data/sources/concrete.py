"""Concrete drawn with numpy and OpenCV: what a tile of a photographed wall shows, with or without a crack.

Everything but the crack has the same distribution in both classes, and contrast and exposure are set in the
end whatever the tile shows: brightness, contrast or edge energy alone do not tell the classes apart. In
tiles of a few dozen pixels a crack is too much of the tile for that: contrast alone gets three in four right.
"""

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.sources.drawn.canvas import (
    TILE,
    Gray,
    half_plane,
    lines,
    noise,
    soft_step,
    spots,
    texture,
    uneven_light,
)
from cnnzoo.data.sources.drawn.cracks import carve, cracks


def draw_tile(
    rng: np.random.Generator, *, crack: bool, size: int = TILE
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Draws one tile.

    Args:
        rng: decides everything.
        crack: whether there is one.
        size: side in pixels.

    Returns:
        (size, size, 3) RGB and (size, size) True where the crack is.
    """
    surface = texture(rng, size)
    surface += _pores_and_stones(rng, size)
    surface += _stains(rng, size)
    surface += lines(rng, size)
    surface += _light(rng, size)
    contrast = float(np.clip(rng.lognormal(np.log(15), 0.4), 6, 40))
    cover = np.zeros((size, size), np.float32)
    if crack:
        cover = cracks(rng, size)
        carved = carve(rng, cover)
        # A crack adds contrast: what it lies in gets the less, so that both classes have as much of it.
        contrast = max(contrast**2 - float(carved.var()), (0.35 * contrast) ** 2) ** 0.5
    surface *= contrast / surface.std()
    if crack:
        surface += carved
    return _photograph(rng, surface), cover > 0.3


def _pores_and_stones(rng: np.random.Generator, size: int) -> Gray:
    """Air holes with a lit rim, and the stones of the aggregate where it lies bare."""
    area = (size / TILE) ** 2
    holes = rng.poisson(area * rng.choice([1, 6, 25]))
    pores = spots(rng, size, count=holes, radius=(0.8, 3.2), depth=(-75, -20))
    rim = np.roll(pores, (1, 1), (0, 1))
    relief = cv2.GaussianBlur(pores, (0, 0), 0.7) - 0.25 * np.minimum(rim - pores, 0)
    stones = np.zeros((size, size), np.float32)
    if rng.random() < 0.35:
        stones = spots(rng, size, count=rng.poisson(18 * area), radius=(2, 8), depth=(-28, 34))
        stones = cv2.GaussianBlur(stones, (0, 0), rng.uniform(0.8, 2.5))
    return relief + stones


def _stains(rng: np.random.Generator, size: int) -> Gray:
    """Damp, lime and rust: patches with a border between soft and sharp."""
    stains = np.zeros((size, size), np.float32)
    for _ in range(rng.choice([0, 1, 2], p=[0.35, 0.4, 0.25])):
        hills = noise(rng, size, int(rng.integers(2, 6))) + 0.25 * noise(rng, size, 24)
        edge = rng.uniform(0.05, 0.6)
        depth, border = rng.uniform(-38, 30), rng.uniform(0.2, 1.2)
        stains += depth * soft_step((hills - border) / edge)
    return stains


def _light(rng: np.random.Generator, size: int) -> Gray:
    """Uneven light, and the shadow of something outside the picture."""
    gradient = uneven_light(rng, size)
    if rng.random() < 0.15:
        border = half_plane(rng, size)
        edge = rng.choice([0.01, 0.05, 0.2])
        border += 0.05 * noise(rng, size, 4)
        gradient -= rng.uniform(12, 50) * soft_step(border / edge)
    return np.asarray(gradient, np.float32)


def _photograph(rng: np.random.Generator, surface: Gray) -> npt.NDArray[np.uint8]:
    """Focus, exposure, colour and sensor noise of some camera."""
    surface = cv2.GaussianBlur(surface, (0, 0), rng.uniform(0.3, 1.1))
    light = float(np.clip(rng.normal(168, 24), 95, 222))
    gray = surface - surface.mean() + light
    warm, green = rng.normal(6.5, 3.5), rng.normal(0.5, 1.5)
    tint = np.array([0.9 * warm, green, -1.1 * warm], np.float32)
    mottle = 1.5 * noise(rng, len(surface), 5)[..., None] * np.array([1, 0.2, -1], np.float32)
    grain = rng.uniform(0.5, 3.5) * rng.standard_normal((*surface.shape, 3), dtype=np.float32)
    image = gray[..., None] + tint * (gray[..., None] / 170) + mottle + grain
    return np.clip(image, 0, 255).astype(np.uint8)

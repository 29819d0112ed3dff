"""Surfaces without joints: concrete, asphalt, plaster, washed concrete."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.sources.drawn.canvas import TILE, Gray, noise, spots, texture

Colour = npt.NDArray[np.float32]
# Levels of gray, what red, green and blue are above them, and the number of the stone that a pixel is in.
Surface = tuple[Gray, Colour, npt.NDArray[np.int64] | None]


def drawn_out(rng: np.random.Generator, size: int, angle: float, length: float) -> Gray:
    """Fine noise drawn out in one direction, deviation 1."""
    side = 2 * size
    grain = rng.standard_normal((side, side), dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), sigmaX=length, sigmaY=rng.uniform(0.6, 1.6))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), -np.degrees(angle), 1)
    turned = cv2.warpAffine(grain, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    part = turned[size // 2 : size // 2 + size, size // 2 : size // 2 + size]
    return np.asarray(part / part.std(), np.float32)


def asphalt(rng: np.random.Generator, size: int) -> Surface:
    gray = _worn(rng, size) if rng.random() < 0.75 else _polished(rng, size)
    return np.asarray(gray, np.float32), np.array([2, 0, rng.uniform(-6, 8)], np.float32), None


def _worn(rng: np.random.Generator, size: int) -> Gray:
    """Fine stones lit from one side, bright specks and dark holes among them."""
    coarsest = int(size / rng.uniform(4, 9))
    slope = _lit(rng, _hills(rng, size, ((1, coarsest), (0.8, int(size / 2.5)), (0.5, int(size / 1.5)))))
    gray = rng.uniform(5, 14) * slope / slope.std() + 0.5 * texture(rng, size)
    count = int(rng.uniform(20, 300) * (size / TILE) ** 2)
    specks = spots(rng, size, count=count, radius=(0.6, 3), depth=(-40, 70))
    return np.asarray(gray + cv2.GaussianBlur(specks, (0, 0), rng.uniform(0.4, 0.9)), np.float32)


def _polished(rng: np.random.Generator, size: int) -> Gray:
    """Stones and what is between them."""
    cells = int(size / rng.uniform(2, 7))
    stones = noise(rng, size, cells)
    gray = rng.uniform(8, 25) * np.clip(stones, -0.5, 2.5) + 0.6 * texture(rng, size)
    if rng.random() < 0.4:  # with holes
        gray += 25 * (stones > rng.uniform(0.8, 1.6)) - 25 * (stones < -rng.uniform(0.8, 1.6))
    grain = rng.standard_normal((size, size), dtype=np.float32)
    return np.asarray(
        gray + rng.uniform(2, 14) * cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.2)), np.float32
    )


def _hills(rng: np.random.Generator, size: int, octaves: Sequence[tuple[float, int]]) -> Gray:
    """A relief of hills, each so high and so many along a side."""
    return np.asarray(sum(height * noise(rng, size, cells) for height, cells in octaves), np.float32)


def _lit(rng: np.random.Generator, heights: Gray) -> Gray:
    """What light from one side shows of a relief: its slope."""
    angle = rng.uniform(0, 2 * np.pi)
    slopes = cv2.Sobel(heights, -1, 1, 0), cv2.Sobel(heights, -1, 0, 1)
    return np.asarray(np.cos(angle) * slopes[0] + np.sin(angle) * slopes[1], np.float32)


def plaster(rng: np.random.Generator, size: int) -> Surface:
    """Render lit from one side."""
    heights = _hills(rng, size, ((1, 12), (0.8, 28), (0.6, 57), (0.4, 113)))
    if rng.random() < 0.4:  # strokes of the trowel
        heights = heights + 1.5 * drawn_out(rng, size, rng.uniform(0, np.pi), rng.uniform(6, 30))
    gray = rng.uniform(4, 14) * _lit(rng, heights) + 0.3 * texture(rng, size)
    return np.asarray(gray, np.float32), rng.normal(0, 10, 3).astype(np.float32), None


def washed(rng: np.random.Generator, size: int) -> Surface:
    """Concrete whose stones lie bare."""
    count = int(rng.uniform(150, 900) * (size / TILE) ** 2)
    stones = spots(rng, size, count=count, radius=(2, 9), depth=(-45, 45))
    gray = cv2.GaussianBlur(stones, (0, 0), rng.uniform(0.5, 1.5)) + 0.5 * texture(rng, size)
    return np.asarray(gray, np.float32), rng.normal(0, 6, 3).astype(np.float32), None


def concrete(rng: np.random.Generator, size: int) -> Surface:
    return texture(rng, size) + pits(rng, size), rng.normal(0, 5, 3).astype(np.float32), None


def pits(rng: np.random.Generator, size: int) -> Gray:
    count = rng.poisson(rng.choice([0, 6, 40]) * (size / TILE) ** 2)
    pits = spots(rng, size, count=count, radius=(0.8, 4), depth=(-60, 10))
    return np.asarray(cv2.GaussianBlur(pits, (0, 0), 0.8), np.float32)

"""Surfaces of parts with joints between them: bricks, tiles, boards."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.sources.drawn.canvas import Gray, noise, soft_step, texture
from cnnzoo.data.sources.drawn.grounds import Surface, drawn_out, pits


@dataclass(frozen=True)
class _Grid:
    """Courses of stones: in which each pixel lies, and how far it is from the nearest joint, in pixels."""

    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    joint: Gray

    @property
    def stones(self) -> npt.NDArray[np.int64]:
        """A number for each stone."""
        return self.row * 100_003 + self.column


def _grid(
    rng: np.random.Generator,
    size: int,
    *,
    height: float,
    length: float,
    bond: float,
    ragged: float,
    tilt: float,
    corner: float = 0.0,
) -> _Grid:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    angle = tilt + (np.pi / 2 if rng.random() < 0.15 else 0)
    x = x + ragged * (noise(rng, size, 12) + 0.4 * noise(rng, size, 40) + 0.15 * noise(rng, size, 90))
    y = y + ragged * (noise(rng, size, 12) + 0.4 * noise(rng, size, 40) + 0.15 * noise(rng, size, 90))
    u = np.cos(angle) * x + np.sin(angle) * y + rng.uniform(0, length) + 4 * length
    v = -np.sin(angle) * x + np.cos(angle) * y + rng.uniform(0, height) + 40 * height
    row = np.floor(v / height).astype(int)
    shifts = bond * length * (row % 2) if bond >= 0 else rng.uniform(0, length, 4096)[row % 4096]
    u = u + shifts
    column = np.floor(u / length).astype(int)
    from_row = np.minimum(v % height, height - v % height)
    from_column = np.minimum(u % length, length - u % length)
    # Round corners: within a radius of both joints, what counts is how far the corner's circle is.
    radius = corner * height
    inside = np.hypot(np.clip(radius - from_row, 0, None), np.clip(radius - from_column, 0, None))
    joint = np.where(inside > 0, radius - inside, np.minimum(from_row, from_column))
    return _Grid(row, column, joint.astype(np.float32))


def _per_stone(rng: np.random.Generator, grid: _Grid) -> Gray:
    """A number for each stone, mean 0, deviation 1."""
    values = rng.standard_normal(4099).astype(np.float32)
    return values[(grid.row * 131 + grid.column * 17) % 4099]


def _laid(
    rng: np.random.Generator, size: int, grid: _Grid, *, width: float, face: Gray, varied: float, depth: float
) -> Gray:
    """Stones with joints between them, lit from one side."""
    soft = rng.uniform(0.4, 1.6)
    mortar = soft_step((width / 2 - grid.joint) / soft)
    shift = tuple(int(s) for s in rng.integers(-2, 3, 2))
    edge = np.roll(mortar, shift, (0, 1)) - mortar
    filling = rng.uniform(2, 14) * noise(rng, size, 80) + rng.uniform(0, 12) * noise(rng, size, 25)
    stones = face + varied * _per_stone(rng, grid)
    relief = rng.uniform(0, 35) * edge
    return np.asarray(stones * (1 - mortar) + (depth + filling) * mortar + relief, np.float32)


def brick(rng: np.random.Generator, size: int) -> Surface:
    height = size * float(np.exp(rng.uniform(np.log(0.06), np.log(0.8))))
    length = height * rng.uniform(2.2, 4.2)
    bond = rng.choice([0.5, 0.5, 0.33, -1])
    ragged = rng.uniform(0, min(6, 0.05 * height))
    grid = _grid(
        rng, size, height=height, length=length, bond=bond, ragged=ragged, tilt=rng.normal(0, 0.06),
        corner=rng.uniform(0.1, 0.4),
    )  # fmt: skip
    face = 0.6 * texture(rng, size) + pits(rng, size)
    width = float(np.clip(height * rng.uniform(0.05, 0.3), 1.5, 40))
    depth = rng.uniform(-50, 50)
    gray = _laid(rng, size, grid, width=width, face=face, varied=rng.uniform(0, 16), depth=depth)
    gray = _flaked(rng, gray, grid, face)
    joint = soft_step(width / 2 - grid.joint)
    gray = _overhang(rng, gray, joint)
    tint = np.array(
        rng.choice([[48, -8, -40], [28, -6, -20], [14, 0, -10], [4, 0, -4], [0, 0, 0]]), np.float32
    )
    # Mortar is gray, whatever the bricks are.
    tint = tint * rng.uniform(0.6, 1.3) * (1 - rng.uniform(0.3, 1) * joint[..., None])
    return gray, tint, grid.stones


def _overhang(rng: np.random.Generator, gray: Gray, joint: Gray) -> Gray:
    """The shadow of bricks on joints that lie deeper, here and there."""
    if rng.random() < 0.3:
        return gray
    size = len(gray)
    by = int(rng.integers(1, 7)) * int(rng.choice([-1, 1]))
    edge = np.clip(joint - np.roll(joint, (by, int(rng.integers(-3, 4))), (0, 1)), 0, 1)
    where = np.clip(rng.uniform(0, 1) + noise(rng, size, int(rng.integers(3, 25))), 0, 1.5)
    shade = cv2.GaussianBlur(edge * where, (0, 0), rng.uniform(0.3, 1.2))
    return np.asarray(gray - rng.uniform(10, 110) * shade, np.float32)


def _flaked(rng: np.random.Generator, gray: Gray, grid: _Grid, face: Gray) -> Gray:
    """Mortar smeared over the stones' edges, and corners broken off them, lit or in their own shadow."""
    size = len(gray)
    for _ in range(int(rng.integers(0, 3))):
        hills = noise(rng, size, int(rng.integers(5, 20))) + 0.4 * noise(rng, size, 40)
        near = np.exp(-grid.joint / (size * rng.uniform(0.02, 0.12)))
        spot = soft_step((hills + 2 * near - rng.uniform(1.6, 3.0)) / rng.uniform(0.05, 0.4))
        shift = tuple(int(s) for s in rng.integers(-4, 5, 2))
        relief = np.roll(spot, shift, (0, 1)) - spot
        gray = gray * (1 - spot) + spot * (rng.uniform(-50, 60) + face) + rng.uniform(0, 60) * relief
    return np.asarray(gray, np.float32)


def tiles(rng: np.random.Generator, size: int) -> Surface:
    height = size * rng.uniform(0.2, 1.1)
    grid = _grid(
        rng, size, height=height, length=height * rng.choice([1, 1, 2]), bond=rng.choice([0, 0, 0.5]),
        ragged=rng.uniform(0, 0.4), tilt=rng.normal(0, 0.12) + rng.choice([0, 0, np.pi / 4]),
    )  # fmt: skip
    face = 0.15 * texture(rng, size) + rng.uniform(0, 12) * noise(rng, size, 4)
    width = rng.uniform(1.5, 9)
    gray = _laid(
        rng, size, grid, width=width, face=face, varied=rng.uniform(0, 8), depth=rng.uniform(-70, 50)
    )
    return gray, rng.normal(0, 12, 3).astype(np.float32), None


def boards(rng: np.random.Generator, size: int) -> Surface:
    """Boards, or concrete that shows them: grain along them."""
    height = size * rng.uniform(0.12, 0.6)
    tilt = rng.uniform(0, np.pi)
    grid = _grid(rng, size, height=height, length=40 * size, bond=0, ragged=rng.uniform(0, 0.8), tilt=tilt)
    grain = drawn_out(rng, size, tilt, rng.uniform(8, 40))
    face = rng.uniform(4, 22) * grain + 0.4 * texture(rng, size)
    gray = _laid(
        rng,
        size,
        grid,
        width=rng.uniform(0.8, 6),
        face=face,
        varied=rng.uniform(0, 14),
        depth=rng.uniform(-80, 20),
    )
    return gray, np.array(rng.choice([[26, 4, -26], [6, 0, -6], [0, 0, 0]]), np.float32), None

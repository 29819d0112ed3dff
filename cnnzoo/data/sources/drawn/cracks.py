"""Cracks: where they run, and what they look like."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.sources.drawn.canvas import SCALE, Gray, noise, stroke

FINE = 0.6  # share of cracks that are fine, on all surfaces but bricks

_MEAN_STEP = 5.0  # pixels between the corners of a crack
_FINE_STEP = 2.5  # of a fine one


@dataclass
class _Path:
    start: npt.NDArray[np.float64]
    heading: float
    width: float
    length: float
    step: float = _MEAN_STEP


def cracks(rng: np.random.Generator, size: int) -> Gray:
    """Share of each pixel that is crack, drawn anew until enough of it lies within the tile."""
    while True:
        cover = _draw_cracks(rng, size)
        if cover[size // 10 : -size // 10, size // 10 : -size // 10].sum() > 1.5 * size:
            return cover


def _draw_cracks(rng: np.random.Generator, size: int) -> Gray:
    """One crack with its branches, sometimes a second one."""
    canvas = np.zeros((size * SCALE, size * SCALE), np.float32)
    for _ in range(1 if rng.random() < 0.85 else 2):
        direction = rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(direction), np.sin(direction)])
        middle = rng.uniform(0.25, 0.75, 2) * size
        inside = rng.random() < 0.15  # begins within the tile
        start = middle - along * (rng.uniform(0.1, 0.3) if inside else 0.8) * size
        width = float(np.clip(rng.lognormal(1.4, 0.5), 1.2, 12.0))
        length = (rng.uniform(0.4, 0.8) if rng.random() < 0.15 else 1.9) * size
        _walk_all(rng, canvas, _Path(start, direction, width, length), most=12)
    cover = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    # Crumbled borders: the outline follows a fine noise instead of a pen.
    ragged = cover + 0.35 * noise(rng, size, 70) * ((cover > 0.02) & (cover < 0.98))
    return np.clip(ragged, 0, 1).astype(np.float32)


def _walk_all(rng: np.random.Generator, canvas: Gray, path: _Path, *, most: int) -> None:
    """Draws a crack and its branches, `most` of them at most."""
    paths = [path]
    for _ in range(most):
        if not paths:
            break
        paths += _walk(rng, canvas, paths.pop(0))


def _walk(rng: np.random.Generator, canvas: Gray, path: _Path) -> list[_Path]:
    """Draws a jagged walk that keeps its general direction; returns the branches that it throws off."""
    steps = max(2, int(path.length / path.step))
    wander = np.zeros(steps)
    for i in range(1, steps):
        wander[i] = 0.84 * wander[i - 1] + rng.normal(0, 0.24)
    headings = path.heading + wander + rng.normal(0, 0.22, steps)
    strides = path.step * rng.uniform(0.5, 1.5, steps)[:, None]
    points = path.start + np.cumsum(strides * np.stack([np.cos(headings), np.sin(headings)], 1), 0)
    widths = path.width * np.exp(np.convolve(rng.normal(0, 0.75, steps + 8), np.ones(9) / 9 * 1.6, "valid"))
    widths *= np.minimum(1, np.linspace(steps, 0, steps) / 8)  # runs out in a point
    for a, b, width in zip(points[:-1], points[1:], widths, strict=False):
        stroke(canvas, np.stack([a, b]), max(width, 0.45), 1.0)
    branches = []
    for at in np.flatnonzero(rng.random(steps) < 0.0028 * path.step):
        turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
        width, length = widths[at] * rng.uniform(0.35, 0.7), path.length * rng.uniform(0.1, 0.5)
        if width > 0.5:
            branches.append(_Path(points[at], headings[at] + turn, width, length, path.step))
    return branches


def carve(rng: np.random.Generator, cover: Gray) -> Gray:
    """What a crack adds: dark inside, darkest on one wall, lit or broken along the other."""
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.0))
    shift = tuple(int(s) for s in rng.integers(-3, 4, 2))
    wall = np.clip(np.roll(soft, shift, (0, 1)) - soft, 0, 1)
    carved = rng.uniform(-12, 35) * wall - rng.uniform(70, 140) * soft * (0.75 + 0.25 * soft)
    if rng.random() < 0.3:  # spalled edges
        near = cv2.GaussianBlur(cover, (0, 0), rng.uniform(3, 8)) - 0.5 * soft
        broken = np.clip(near, 0, 1) * (noise(rng, len(cover), 30) > 0.3)
        carved += rng.uniform(-40, 60) * cv2.GaussianBlur(broken, (0, 0), 0.8)
    return np.asarray(carved, np.float32)


def scaled_cracks(rng: np.random.Generator, size: int) -> Gray:
    """A crack seen from nearer or farther: drawn on a smaller or larger tile, and resized."""
    zoom = float(np.exp(rng.uniform(np.log(0.5), np.log(4))))
    drawn = max(48, round(size / zoom))
    cover = cracks(rng, drawn)
    if drawn > size:
        corner = rng.integers(0, drawn - size + 1, 2)
        part = cover[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
        middle = part[size // 10 : -size // 10, size // 10 : -size // 10]
        return part if middle.sum() > 1.5 * size else scaled_cracks(rng, size)
    return np.asarray(cv2.resize(cover, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1), np.float32)


def fine_cracks(rng: np.random.Generator, size: int) -> Gray:
    """A crack across the tile that is 1 to 3 pixels wide, or two, seen from nearer or farther."""
    drawn = round(size / np.exp(rng.uniform(np.log(0.8), np.log(4))))
    while True:
        canvas = np.zeros((drawn * SCALE, drawn * SCALE), np.float32)
        for _ in range(1 if rng.random() < 0.8 else 2):
            direction = rng.uniform(0, 2 * np.pi)
            along = np.array([np.cos(direction), np.sin(direction)])
            start = rng.uniform(0.25, 0.75, 2) * drawn - 0.8 * drawn * along
            width = float(np.clip(rng.lognormal(np.log(1.7), 0.35), 0.8, 3.5))
            _walk_all(rng, canvas, _Path(start, direction, width, 1.9 * drawn, _FINE_STEP), most=8)
        cover = cv2.resize(canvas, (drawn, drawn), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:  # closed here and there
            cover *= np.clip(1.1 + 0.7 * noise(rng, drawn, int(rng.integers(6, 25))), 0.15, 1)
        cover = cv2.resize(cover, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        if cover[size // 10 : -size // 10, size // 10 : -size // 10].sum() > 0.5 * size:
            return np.asarray(cover, np.float32)


def engrave(rng: np.random.Generator, cover: Gray, contrast: float) -> Gray:
    """What a fine crack adds: it is a little darker than its ground, of that contrast, or a good deal."""
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.3, 0.9))
    depth = float(np.clip(contrast * np.exp(rng.uniform(np.log(1.3), np.log(5))), 25, 130))
    return np.asarray(-depth * soft, np.float32)


def stepped_crack(rng: np.random.Generator, stones: npt.NDArray[np.int64]) -> Gray:
    """A crack along the joints: between the stones on one side of a line and those on the other."""
    size = len(stones)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.4, 0.4)
    _, number = np.unique(stones, return_inverse=True)
    number = number.reshape(stones.shape)
    middles = np.bincount(number.ravel(), across.ravel()) / np.bincount(number.ravel())
    side = (middles[number] > 0).astype(np.float32)
    if not 0.02 < side.mean() < 0.98:
        return scaled_cracks(rng, size)
    border = np.hypot(cv2.Sobel(side, -1, 1, 0), cv2.Sobel(side, -1, 0, 1)) > 0.5
    away = cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 5)
    width = float(np.exp(rng.uniform(np.log(1.5), np.log(0.25 * size))))
    width = width * np.exp(rng.uniform(0, 0.6) * noise(rng, size, 6)) + rng.uniform(0, 2) * noise(
        rng, size, 50
    )
    cover = np.clip(width / 2 - away + 0.5, 0, 1)
    part = rng.uniform(-1.2, 0.3) if rng.random() < 0.3 else -3  # begins within the tile
    along = -np.sin(angle) * x + np.cos(angle) * y
    if rng.random() < 0.4:  # closed here and there
        cover = cover * np.clip(4 * noise(rng, size, int(rng.integers(4, 14))) + 3, 0, 1)
    return np.asarray(cover * (along > part), np.float32)

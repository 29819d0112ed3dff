"""Concrete drawn with numpy and OpenCV: what a tile of a photographed wall shows, with or without a crack.

Everything but the crack has the same distribution in both classes, and contrast and exposure are set in the
end whatever the tile shows: brightness, contrast or edge energy alone do not tell the classes apart. In
tiles of a few dozen pixels a crack is too much of the tile for that: contrast alone gets three in four right.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.float32]

TILE = 227  # pixels, as in the METU images: what follows counts things on so much wall
_SCALE = 3  # cracks are drawn that much larger, then averaged down
_MEAN_STEP = 5.0  # pixels between the corners of a crack


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
    surface = _texture(rng, size)
    surface += _pores_and_stones(rng, size)
    surface += _stains(rng, size)
    surface += _lines(rng, size)
    surface += _light(rng, size)
    contrast = float(np.clip(rng.lognormal(np.log(15), 0.4), 6, 40))
    cover = np.zeros((size, size), np.float32)
    if crack:
        cover = _cracks(rng, size)
        carved = _carve(rng, cover)
        # A crack adds contrast: what it lies in gets the less, so that both classes have as much of it.
        contrast = max(contrast**2 - float(carved.var()), (0.35 * contrast) ** 2) ** 0.5
    surface *= contrast / surface.std()
    if crack:
        surface += carved
    return _photograph(rng, surface), cover > 0.3


def _noise(rng: np.random.Generator, size: int, cells: int) -> Gray:
    """Smooth noise with about `cells` hills along a side, mean 0, deviation near 1."""
    grid = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    large = cv2.resize(grid, None, fx=size / cells, fy=size / cells, interpolation=cv2.INTER_CUBIC)
    x, y = rng.integers(0, max(1, large.shape[0] - size), 2)
    return large[y : y + size, x : x + size]


def _texture(rng: np.random.Generator, size: int) -> Gray:
    """Trowelled to rough: octaves of noise whose roughness and direction vary from tile to tile."""
    amplitude, roughness = rng.uniform(1.5, 5), rng.uniform(0.55, 1.0)
    surface = np.zeros((size, size), np.float32)
    for octave, cells in enumerate((3, 7, 14, 28, 57, 113)):
        surface += amplitude * roughness**octave * _noise(rng, size, cells)
    grain = rng.standard_normal((size, size), dtype=np.float32)
    surface += rng.lognormal(1.4, 0.6) * cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.1))
    if rng.random() < 0.15:
        # Brushed or board-marked: the same grain drawn out in one direction.
        length = int(rng.integers(9, 31))
        turned = cv2.getRotationMatrix2D((length / 2, length / 2), rng.uniform(0, 180), 1)
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1
        kernel = cv2.warpAffine(kernel, turned, (length, length))
        surface += rng.uniform(10, 40) * cv2.filter2D(grain, -1, kernel / kernel.sum())
    return surface


def _spots(
    rng: np.random.Generator,
    size: int,
    *,
    count: int,
    radius: tuple[float, float],
    depth: tuple[float, float],
) -> Gray:
    spots = np.zeros((size, size), np.float32)
    for _ in range(count):
        centre = rng.integers(0, size * 16, 2)
        axes = rng.uniform(*radius) * rng.uniform(0.6, 1.4, 2)
        cv2.ellipse(
            spots,
            (int(centre[0]) // 16, int(centre[1]) // 16),
            (max(1, round(axes[0])), max(1, round(axes[1]))),
            rng.uniform(0, 180),
            0,
            360,
            rng.uniform(*depth),
            -1,
            cv2.LINE_AA,
        )
    return spots


def _pores_and_stones(rng: np.random.Generator, size: int) -> Gray:
    """Air holes with a lit rim, and the stones of the aggregate where it lies bare."""
    area = (size / TILE) ** 2
    holes = rng.poisson(area * rng.choice([1, 6, 25]))
    pores = _spots(rng, size, count=holes, radius=(0.8, 3.2), depth=(-75, -20))
    rim = np.roll(pores, (1, 1), (0, 1))
    relief = cv2.GaussianBlur(pores, (0, 0), 0.7) - 0.25 * np.minimum(rim - pores, 0)
    stones = np.zeros((size, size), np.float32)
    if rng.random() < 0.35:
        stones = _spots(rng, size, count=rng.poisson(18 * area), radius=(2, 8), depth=(-28, 34))
        stones = cv2.GaussianBlur(stones, (0, 0), rng.uniform(0.8, 2.5))
    return relief + stones


def _stains(rng: np.random.Generator, size: int) -> Gray:
    """Damp, lime and rust: patches with a border between soft and sharp."""
    stains = np.zeros((size, size), np.float32)
    for _ in range(rng.choice([0, 1, 2], p=[0.35, 0.4, 0.25])):
        hills = _noise(rng, size, int(rng.integers(2, 6))) + 0.25 * _noise(rng, size, 24)
        edge = rng.uniform(0.05, 0.6)
        depth, border = rng.uniform(-38, 30), rng.uniform(0.2, 1.2)
        stains += depth / (1 + np.exp(np.clip(-(hills - border) / edge, -30, 30)))
    return stains


def _lines(rng: np.random.Generator, size: int) -> Gray:
    """What is long and thin but no crack: joints, formwork edges, scratches, wires and their like."""
    lines = np.zeros((size * _SCALE, size * _SCALE), np.float32)
    length = min(1.0, size / TILE)  # a smaller tile meets the fewer of them
    if rng.random() < 0.2 * length:  # a joint or the edge of a form board, sometimes a pair
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4) * size
        for gap in (0, rng.uniform(6, 40))[: int(rng.integers(1, 3))]:
            _stroke(lines, _straight(size, angle, offset + gap), rng.uniform(1, 7), rng.uniform(-80, 40))
    scratches = rng.choice([0, 1, 2, 4], p=[0.55, 0.25, 0.12, 0.08])
    for _ in range(rng.binomial(scratches, length)):  # and wires, pencil
        start, angle = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        bend, reach = rng.normal(0, 0.006), rng.uniform(20, 260)
        steps = np.arange(0, reach, 4)
        headings = angle + bend * steps
        points = start + 4 * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1), 0)
        _stroke(lines, points, rng.uniform(0.6, 2.6), rng.uniform(-75, 55))
    small = cv2.resize(lines, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), rng.uniform(0.4, 1.2))


def _straight(size: int, angle: float, offset: float) -> npt.NDArray[np.float64]:
    along = np.array([np.cos(angle), np.sin(angle)])
    middle = size / 2 + offset * np.array([-along[1], along[0]])
    return np.stack([middle - size * along, middle + size * along])


def _stroke(canvas: Gray, points: npt.NDArray[np.float64], width: float, value: float) -> None:
    corners = np.round(points * _SCALE * 16).astype(np.int32)
    cv2.polylines(canvas, [corners], False, value, max(1, round(width * _SCALE)), cv2.LINE_AA, 4)


@dataclass
class _Path:
    start: npt.NDArray[np.float64]
    heading: float
    width: float
    length: float


def _cracks(rng: np.random.Generator, size: int) -> Gray:
    """Share of each pixel that is crack, drawn anew until enough of it lies within the tile."""
    while True:
        cover = _draw_cracks(rng, size)
        if cover[size // 10 : -size // 10, size // 10 : -size // 10].sum() > 1.5 * size:
            return cover


def _draw_cracks(rng: np.random.Generator, size: int) -> Gray:
    """One crack with its branches, sometimes a second one."""
    canvas = np.zeros((size * _SCALE, size * _SCALE), np.float32)
    for _ in range(1 if rng.random() < 0.85 else 2):
        direction = rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(direction), np.sin(direction)])
        middle = rng.uniform(0.25, 0.75, 2) * size
        inside = rng.random() < 0.15  # begins within the tile
        start = middle - along * (rng.uniform(0.1, 0.3) if inside else 0.8) * size
        width = float(np.clip(rng.lognormal(1.4, 0.5), 1.2, 12.0))
        length = (rng.uniform(0.4, 0.8) if rng.random() < 0.15 else 1.9) * size
        paths = [_Path(start, direction, width, length)]
        for _ in range(12):
            if not paths:
                break
            paths += _walk(rng, canvas, paths.pop(0))
    cover = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    # Crumbled borders: the outline follows a fine noise instead of a pen.
    ragged = cover + 0.35 * _noise(rng, size, 70) * ((cover > 0.02) & (cover < 0.98))
    return np.clip(ragged, 0, 1).astype(np.float32)


def _walk(rng: np.random.Generator, canvas: Gray, path: _Path) -> list[_Path]:
    """Draws a jagged walk that keeps its general direction; returns the branches that it throws off."""
    steps = max(2, int(path.length / _MEAN_STEP))
    wander = np.zeros(steps)
    for i in range(1, steps):
        wander[i] = 0.84 * wander[i - 1] + rng.normal(0, 0.24)
    headings = path.heading + wander + rng.normal(0, 0.22, steps)
    strides = _MEAN_STEP * rng.uniform(0.5, 1.5, steps)[:, None]
    points = path.start + np.cumsum(strides * np.stack([np.cos(headings), np.sin(headings)], 1), 0)
    widths = path.width * np.exp(np.convolve(rng.normal(0, 0.75, steps + 8), np.ones(9) / 9 * 1.6, "valid"))
    widths *= np.minimum(1, np.linspace(steps, 0, steps) / 8)  # runs out in a point
    for a, b, width in zip(points[:-1], points[1:], widths, strict=False):
        _stroke(canvas, np.stack([a, b]), max(width, 0.45), 1.0)
    branches = []
    for at in np.flatnonzero(rng.random(steps) < 0.014):
        turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
        width, length = widths[at] * rng.uniform(0.35, 0.7), path.length * rng.uniform(0.1, 0.5)
        if width > 0.5:
            branches.append(_Path(points[at], headings[at] + turn, width, length))
    return branches


def _carve(rng: np.random.Generator, cover: Gray) -> Gray:
    """What a crack adds: dark inside, darkest on one wall, lit or broken along the other."""
    soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.0))
    shift = tuple(int(s) for s in rng.integers(-3, 4, 2))
    wall = np.clip(np.roll(soft, shift, (0, 1)) - soft, 0, 1)
    carved = rng.uniform(-12, 35) * wall - rng.uniform(70, 140) * soft * (0.75 + 0.25 * soft)
    if rng.random() < 0.3:  # spalled edges
        near = cv2.GaussianBlur(cover, (0, 0), rng.uniform(3, 8)) - 0.5 * soft
        broken = np.clip(near, 0, 1) * (_noise(rng, len(cover), 30) > 0.3)
        carved += rng.uniform(-40, 60) * cv2.GaussianBlur(broken, (0, 0), 0.8)
    return np.asarray(carved, np.float32)


def _light(rng: np.random.Generator, size: int) -> Gray:
    """Uneven light, and the shadow of something outside the picture."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    gradient = rng.normal(0, 5) * x + rng.normal(0, 5) * y - rng.uniform(0, 4) * (x * x + y * y)
    if rng.random() < 0.15:
        angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
        edge = rng.choice([0.01, 0.05, 0.2])
        border = np.cos(angle) * x + np.sin(angle) * y - place + 0.05 * _noise(rng, size, 4)
        gradient -= rng.uniform(12, 50) / (1 + np.exp(np.clip(-border / edge, -30, 30)))
    return np.asarray(gradient, np.float32)


def _photograph(rng: np.random.Generator, surface: Gray) -> npt.NDArray[np.uint8]:
    """Focus, exposure, colour and sensor noise of some camera."""
    surface = cv2.GaussianBlur(surface, (0, 0), rng.uniform(0.3, 1.1))
    light = float(np.clip(rng.normal(168, 24), 95, 222))
    gray = surface - surface.mean() + light
    warm, green = rng.normal(6.5, 3.5), rng.normal(0.5, 1.5)
    tint = np.array([0.9 * warm, green, -1.1 * warm], np.float32)
    mottle = 1.5 * _noise(rng, len(surface), 5)[..., None] * np.array([1, 0.2, -1], np.float32)
    noise = rng.uniform(0.5, 3.5) * rng.standard_normal((*surface.shape, 3), dtype=np.float32)
    image = gray[..., None] + tint * (gray[..., None] / 170) + mottle + noise
    return np.clip(image, 0, 255).astype(np.uint8)

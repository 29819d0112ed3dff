"""What drawn surfaces share: noise, texture, spots and strokes, in levels of gray around 0."""

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.float32]

TILE = 227  # pixels, as in the METU images: what is drawn counts things on so much wall
SCALE = 3  # strokes are drawn that much larger, then averaged down


def noise(rng: np.random.Generator, size: int, cells: int) -> Gray:
    """Smooth noise with about `cells` hills along a side, mean 0, deviation near 1."""
    grid = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    large = cv2.resize(grid, None, fx=size / cells, fy=size / cells, interpolation=cv2.INTER_CUBIC)
    x, y = rng.integers(0, max(1, large.shape[0] - size), 2)
    return large[y : y + size, x : x + size]


def soft_step(x: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """From 0 to 1 as x goes from well below 0 to well above."""
    # Not scipy's expit, whose last bits differ: the same tiles on every version and machine.
    return np.asarray(1 / (1 + np.exp(np.clip(-x, -30, 30))))


def uneven_light(rng: np.random.Generator, size: int) -> Gray:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    return np.asarray(
        rng.normal(0, 5) * x + rng.normal(0, 5) * y - rng.uniform(0, 4) * (x * x + y * y), np.float32
    )


def half_plane(rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
    """How far each pixel lies beyond a straight line across the tile, in halves of its side."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.6, 0.6), np.float64)


def texture(rng: np.random.Generator, size: int) -> Gray:
    """Trowelled to rough: octaves of noise whose roughness and direction vary from tile to tile."""
    amplitude, roughness = rng.uniform(1.5, 5), rng.uniform(0.55, 1.0)
    surface = np.zeros((size, size), np.float32)
    for octave, cells in enumerate((3, 7, 14, 28, 57, 113)):
        surface += amplitude * roughness**octave * noise(rng, size, cells)
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


def spots(
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


def straight(size: int, angle: float, offset: float) -> npt.NDArray[np.float64]:
    along = np.array([np.cos(angle), np.sin(angle)])
    middle = size / 2 + offset * np.array([-along[1], along[0]])
    return np.stack([middle - size * along, middle + size * along])


def stroke(canvas: Gray, points: npt.NDArray[np.float64], width: float, value: float) -> None:
    corners = np.round(points * SCALE * 16).astype(np.int32)
    cv2.polylines(canvas, [corners], False, value, max(1, round(width * SCALE)), cv2.LINE_AA, 4)


def lines(rng: np.random.Generator, size: int) -> Gray:
    """What is long and thin but no crack: joints, formwork edges, scratches, wires and their like."""
    lines = np.zeros((size * SCALE, size * SCALE), np.float32)
    length = min(1.0, size / TILE)  # a smaller tile meets the fewer of them
    if rng.random() < 0.2 * length:  # a joint or the edge of a form board, sometimes a pair
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4) * size
        for gap in (0, rng.uniform(6, 40))[: int(rng.integers(1, 3))]:
            stroke(lines, straight(size, angle, offset + gap), rng.uniform(1, 7), rng.uniform(-80, 40))
    scratches = rng.choice([0, 1, 2, 4], p=[0.55, 0.25, 0.12, 0.08])
    for _ in range(rng.binomial(scratches, length)):  # and wires, pencil
        start, angle = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        bend, reach = rng.normal(0, 0.006), rng.uniform(20, 260)
        steps = np.arange(0, reach, 4)
        headings = angle + bend * steps
        points = start + 4 * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1), 0)
        stroke(lines, points, rng.uniform(0.6, 2.6), rng.uniform(-75, 55))
    small = cv2.resize(lines, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), rng.uniform(0.4, 1.2))

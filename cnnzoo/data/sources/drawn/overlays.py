"""What lies over a surface, on some tiles: paint, plants, pipes, shadows."""

import cv2
import numpy as np

from cnnzoo.data.sources.drawn.canvas import Gray, half_plane, noise, soft_step, spots, stroke


def _paint(rng: np.random.Generator, gray: Gray) -> Gray:
    """Two coats with an edge between them, straight or flaked."""
    if rng.random() > 0.15:
        return gray
    size = len(gray)
    border = half_plane(rng, size)
    border += rng.choice([0, 0, 0.05, 0.4]) * noise(rng, size, int(rng.integers(3, 12)))
    coat = soft_step(border / rng.choice([0.005, 0.02]))
    return np.asarray(gray * (1 - rng.uniform(0, 0.8) * coat) + rng.uniform(-60, 60) * coat, np.float32)


def _pipe(rng: np.random.Generator, gray: Gray) -> Gray:
    """A pipe, cable or bar with its shadow."""
    if rng.random() > 0.12:
        return gray
    size = len(gray)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    angle, width = rng.uniform(0, np.pi), size * float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
    across = (
        np.cos(angle) * x + np.sin(angle) * y - size * rng.uniform(0.1, 0.9) * (np.cos(angle) + np.sin(angle))
    )
    across += rng.choice([0, 0, 3]) * noise(rng, size, 3)
    shadow = np.exp(-(np.clip((across - width * rng.uniform(0.5, 1.5)) / (0.6 * width), -6, 6) ** 2))
    gray = gray - rng.uniform(0, 50) * shadow
    inside = np.clip((width / 2 - np.abs(across)) + 0.5, 0, 1)
    round_ = np.sqrt(np.clip(1 - (2 * across / width) ** 2, 0, 1))
    return np.asarray(
        gray * (1 - inside) + inside * (rng.uniform(-70, 50) + rng.uniform(0, 50) * round_), np.float32
    )


def _plants(rng: np.random.Generator, gray: Gray) -> Gray:
    """Stalks and leaves."""
    if rng.random() > 0.08:
        return gray
    size = len(gray)
    canvas = np.zeros((size * 3, size * 3), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        start, angle = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        headings = angle + np.cumsum(rng.normal(0, 0.06, 40))
        points = start + 4 * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1), 0)
        stroke(canvas, points, rng.uniform(0.8, 3.5), rng.uniform(-60, 40))
    leaves = spots(rng, size, count=int(rng.integers(0, 12)), radius=(3, 14), depth=(-50, 30))
    stalks = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(gray + stalks + cv2.GaussianBlur(leaves, (0, 0), 0.7), np.float32)


def _shadow(rng: np.random.Generator, gray: Gray) -> Gray:
    if rng.random() > 0.2:
        return gray
    size = len(gray)
    border = half_plane(rng, size) + 0.05 * noise(rng, size, 4)
    depth = rng.uniform(12, 60)
    return np.asarray(gray - depth * soft_step(border / rng.choice([0.01, 0.05, 0.2])), np.float32)


OVERLAYS = (_paint, _plants, _pipe, _shadow)

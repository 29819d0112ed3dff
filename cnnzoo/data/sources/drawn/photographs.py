"""Cracks, and what is none, drawn over photographs of sound surfaces: only the crack differs."""

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.sources.drawn.canvas import lines
from cnnzoo.data.sources.drawn.cracks import FINE, carve, engrave, fine_cracks, scaled_cracks
from cnnzoo.data.sources.drawn.overlays import OVERLAYS


def draw_over(
    rng: np.random.Generator, photograph: npt.NDArray[np.uint8], *, crack: bool
) -> npt.NDArray[np.uint8]:
    """Returns a square RGB photograph, turned, with what may lie over it, and a crack if asked for."""
    size = len(photograph)
    image = np.ascontiguousarray(np.rot90(photograph, int(rng.integers(4)))).astype(np.float32)
    gray = lines(rng, size) if rng.random() < 0.25 else np.zeros((size, size), np.float32)
    for overlay in OVERLAYS:
        gray = overlay(rng, gray)
    if crack and rng.random() < FINE:
        gray += engrave(rng, fine_cracks(rng, size), float(image.std()))
    elif crack:
        cover = scaled_cracks(rng, size)
        gray += carve(rng, cover) * rng.uniform(0.4, 1.1)
        if rng.random() < 0.3:  # open: as dark inside, whatever it runs through
            deep = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.2))
            image += (deep * (rng.uniform(10, 60) - image.mean(axis=2)))[..., None]
            gray *= 1 - deep
    # Dark parts darken less.
    shade = (image / max(float(image.mean()), 1.0)).clip(0) ** 0.5
    return np.asarray(np.clip(image + gray[..., None] * shade, 0, 255), np.uint8)

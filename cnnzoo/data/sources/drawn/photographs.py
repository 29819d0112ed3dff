"""Drawn cracks over photographs of sound surfaces, and photographed cracks over drawn surfaces."""

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


def graft(
    rng: np.random.Generator, ground: npt.NDArray[np.uint8], photograph: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Returns the ground, made darker and lighter where a photograph differs from its own surroundings.

    So a real crack, and real pores and stains, lie on another surface, turned or mirrored (an idea of Dwibedi
    et al. 2017, "Cut, Paste and Learn", who cut objects out). Both are RGB, square and of one size.
    """
    gray = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
    # Above 255 pixels OpenCV counts too many of them.
    around = cv2.medianBlur(gray, min(255, 2 * round(0.19 * len(gray)) + 1))
    relief = np.log((gray + 1.0) / (around + 1.0))
    relief = np.clip(relief * rng.uniform(0.6, 1.2), -2.5, 0.5)
    relief = np.rot90(relief, int(rng.integers(4)))
    if rng.random() < 0.5:
        relief = relief[::-1]
    return np.asarray(np.clip(ground * np.exp(relief)[..., None], 0, 255), np.uint8)

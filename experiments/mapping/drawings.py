"""The pictures of a crack map."""

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.deploy.photograph import CrackMap

LINE = (213, 94, 0)  # vermilion of Okabe and Ito, which the colour-blind see too
_THIN = 1200  # pixels of a side for each pixel of a line


def drawn(found: CrackMap, longest: int | None = None) -> npt.NDArray[np.uint8]:
    """Returns the photograph with the outlines of its cracks, its longer side at most `longest` pixels."""
    size = fitting_size(found.cracks, longest)
    picture = cv2.resize(found.photograph, size, interpolation=cv2.INTER_AREA)
    # Of a crack thinner than a pixel of the small picture, a quarter of one is enough to be drawn.
    mask = cv2.resize(found.cracks.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 255 // 4
    rings, _ = cv2.findContours(
        cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, rings, -1, LINE, max(1, round(max(size) / _THIN)))
    return picture


def fitting_size(image: npt.NDArray, longest: int | None) -> tuple[int, int]:
    """Returns width and height of an image with a longer side of at most `longest` pixels; None keeps it."""
    height, width = image.shape[:2]
    scale = min(1.0, (longest or max(height, width)) / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))

"""Cracks of a map as things with a length, a width and an outline."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Ring = list[list[float]]  # [x, y] of corners, the first again at the end


@dataclass(frozen=True)
class Crack:
    """A crack with all its branches, in pixels of the photograph.

    Attributes:
        length: along its skeleton (T. Y. Zhang and C. Y. Suen, CACM 27(3), 1984), all branches together.
        extent: from end to end, as the largest distance of two of its points.
        width: where it is widest.
        polygons: outlines; each an outer ring with those of its holes after it.
    """

    length: float
    extent: float
    width: float
    polygons: list[list[Ring]]


def traced(cracks: npt.NDArray[np.bool_], gap: int = 0) -> list[Crack]:
    """Returns the cracks of a (height, width) map, the longest first.

    Pieces at most `gap` pixels apart are one crack; it is as long as they are together.
    """
    return sorted(_each(cracks, gap), key=lambda crack: -crack.length)


def long_enough(cracks: npt.NDArray[np.bool_], gap: int, shortest: float) -> npt.NDArray[np.bool_]:
    """Where in a map cracks of `shortest` pixels or more are, which may be lost for `gap` pixels."""
    labels, stats = _joined(cracks, gap)
    kept = extents(stats) >= shortest
    kept[0] = False
    return kept[labels]


def extents(stats: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Diagonals of the boxes that OpenCV's statistics of connected components give."""
    return np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])


def _joined(cracks: npt.NDArray[np.bool_], gap: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Labels of pieces at most `gap` pixels apart, and OpenCV's statistics of them."""
    wide = cv2.dilate(cracks.view(np.uint8), np.ones((gap + 1, gap + 1), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
    return labels, stats


def _each(cracks: npt.NDArray[np.bool_], gap: int) -> Iterator[Crack]:
    from skimage.morphology import skeletonize

    labels, stats = _joined(cracks, gap)
    for number in range(1, len(stats)):
        left, top, width, height, _area = stats[number]
        box = np.s_[top : top + height, left : left + width]
        mask = np.pad(cracks[box] & (labels[box] == number), 1)
        polygons = _polygons(mask, int(left) - 1, int(top) - 1)
        yield Crack(
            length=skeleton_length(skeletonize(mask)),
            extent=_extent(mask),
            width=_width(mask.astype(np.uint8)),
            polygons=polygons,
        )


def skeleton_length(skeleton: npt.NDArray[np.bool_]) -> float:
    """The length of lines one pixel wide, in pixels: 1 for a step to the side, the root of 2 for a diagonal.

    A diagonal between pixels that are also joined by two steps counts for nothing, and a pixel alone for 1.
    """
    across = skeleton[:, 1:] & skeleton[:, :-1]
    down = skeleton[1:] & skeleton[:-1]
    falling = skeleton[1:, 1:] & skeleton[:-1, :-1] & ~(skeleton[1:, :-1] | skeleton[:-1, 1:])
    rising = skeleton[1:, :-1] & skeleton[:-1, 1:] & ~(skeleton[1:, 1:] | skeleton[:-1, :-1])
    steps = float(across.sum() + down.sum() + 2**0.5 * (falling.sum() + rising.sum()))
    return steps or float(skeleton.any())


def _width(mask: npt.NDArray[np.uint8]) -> float:
    """Twice the distance from the edge where that is largest, in halves of pixels: a width may be even."""
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(distances.argmax(), distances.shape)
    reach = int(np.ceil(distances[y, x]))  # as far as the nearest pixel that is none
    top, left = max(0, y - reach), max(0, x - reach)
    fine = cv2.resize(
        mask[top : y + reach + 1, left : x + reach + 1], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST
    )
    distances = cv2.distanceTransform(fine, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    at = np.s_[2 * (y - top) : 2 * (y - top) + 2, 2 * (x - left) : 2 * (x - left) + 2]
    return float(distances[at].max())


def _extent(mask: npt.NDArray[np.bool_]) -> float:
    """The largest distance of two corners of the convex hull."""
    hull = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))[:, 0].astype(np.float64)
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=2).max()) + 1


def _polygons(mask: npt.NDArray[np.bool_], left: int, top: int) -> list[list[Ring]]:
    """Outlines half-way between pixels inside and outside, with (0, 0) at the corner of the first pixel."""
    from skimage.measure import find_contours

    rings = [ring[:, ::-1] for ring in find_contours(mask.astype(np.float32), 0.5, fully_connected="high")]
    outer = [ring for ring in rings if _area(ring) > 0]  # skimage goes around holes the other way
    polygons = [[_placed(ring, left, top)] for ring in outer]
    for hole in (ring for ring in rings if _area(ring) <= 0):
        around = [index for index, ring in enumerate(outer) if _is_in(hole[0], ring)]
        nearest = min(around, key=lambda index: abs(_area(outer[index])))
        polygons[nearest].append(_placed(hole, left, top))
    return polygons


def _area(ring: npt.NDArray[np.float64]) -> float:
    """The signed area of a closed ring of (x, y) (shoelace formula)."""
    x, y = ring.T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2


def _is_in(point: npt.NDArray[np.float64], ring: npt.NDArray[np.float64]) -> bool:
    corners = ring.astype(np.float32)[:, None]
    return cv2.pointPolygonTest(corners, (float(point[0]), float(point[1])), measureDist=False) > 0


def _placed(ring: npt.NDArray[np.float64], left: int, top: int) -> Ring:
    """A ring in the photograph, without the corners that lie on straight lines."""
    steps = np.diff(ring, axis=0)
    turned = steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]
    corners = np.concatenate([ring[:1], ring[1:-1][np.abs(turned) > 1e-9], ring[-1:]])
    return (corners + np.array([left + 0.5, top + 0.5])).tolist()

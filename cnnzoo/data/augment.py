"""What happens to training images only, outside the model, so that no saved model ever augments.

Every image gets one affine map, drawn from (seed, epoch, position of the image in its set) alone: a run
repeats bit for bit whatever the number of threads, and a stopped one goes on where it was.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import InputError

_STREAM = 1  # keeps these draws apart from those of the order, which share seed and epoch


@dataclass(frozen=True)
class Augmentation:
    """Random flips and a rotation.

    Attributes:
        horizontal_flip: mirror left and right, in half of the cases.
        vertical_flip: mirror top and bottom, in half of the cases.
        rotation: turn by an angle drawn uniformly from ± this share of a full turn, 0 to 0.5; what comes in
            over the border is the image mirrored.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    rotation: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotation <= 0.5:
            raise InputError(f"rotation is {self.rotation}; it is a share of a full turn, from 0 to 0.5")

    @property
    def active(self) -> bool:
        return self != Augmentation()


def draw_maps(
    augmentation: Augmentation, *, count: int, size: int, seed: int, epoch: int
) -> npt.NDArray[np.float64]:
    """Draws the affine map of each of `count` images for one epoch.

    Returns:
        (count, 2, 3) matrices from output to input pixel coordinates (x, y, 1).
    """
    draws = np.random.default_rng([seed, epoch, _STREAM]).random((count, 3))
    mirror_x = np.where(augmentation.horizontal_flip & (draws[:, 0] < 0.5), -1.0, 1.0)
    mirror_y = np.where(augmentation.vertical_flip & (draws[:, 1] < 0.5), -1.0, 1.0)
    angle = (2 * draws[:, 2] - 1) * augmentation.rotation * 2 * np.pi
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([mirror_x * cos, -mirror_x * sin, mirror_y * sin, mirror_y * cos], axis=1)
    maps = np.empty((count, 2, 3))
    maps[:, :, :2] = turn.reshape(count, 2, 2)
    centre = np.full(2, (size - 1) / 2)
    maps[:, :, 2] = centre - maps[:, :, :2] @ centre
    return maps


def warp(images: npt.NDArray[np.uint8], maps: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Applies one map to each image of a batch, (n, size, size, 3), bilinearly; borders are mirrored."""
    import cv2

    cv2.setNumThreads(
        1
    )  # the pipeline runs several batches at a time; threads within one only get in the way
    size = images.shape[2], images.shape[1]
    warped = np.empty_like(images)
    for image, matrix, target in zip(images, maps, warped, strict=True):
        target[:] = cv2.warpAffine(
            image, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
    return warped

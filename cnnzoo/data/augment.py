"""What happens to training images only, outside the model, so that no saved model ever augments.

What happens to an image is drawn from (seed, epoch, position of the image in its set) alone: a run repeats
bit for bit whatever the number of threads, and a stopped one goes on where it was.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import InputError

# They keep these draws apart from those of the order, which share seed and epoch.
_GEOMETRY_STREAM = 1
_LOOKS_STREAM = 2
_GAMMA_STREAM = 3
LEAST_BLUR = 0.25  # a Gaussian narrower than this, in pixels, changes no 8-bit image
_NOISE_VALUES = 1 << 20


@dataclass(frozen=True)
class Augmentation:
    """Random changes of place (one affine map) and of looks.

    Attributes:
        horizontal_flip: mirror left and right, in half of the cases.
        vertical_flip: mirror top and bottom, in half of the cases.
        rotation: turn by an angle drawn uniformly from ± this share of a full turn, 0 to 0.5; what comes in
            over the border is the image mirrored.
        quarter_turns: turn by 0, 90, 180 or 270 degrees; with one flip, the eight symmetries of a square.
        zoom: scale by a factor drawn log-uniformly from 1 / (1 + zoom) to 1 + zoom.
        light: contrast times 1 ± this share, brightness ± this share of the half range, drawn uniformly.
        colour: each channel times 1 ± this share, drawn uniformly.
        blur: Gaussian blur with a standard deviation drawn uniformly from 0 to this many pixels.
        noise: normal noise with a standard deviation drawn uniformly from 0 to this many of 255 levels.
        gamma: levels, as shares of 255, to a power drawn log-uniformly from 1 / (1 + gamma) to 1 + gamma,
            as a camera that shows dark parts lighter, or darker, than they are; before light and colour.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    rotation: float = 0.0
    quarter_turns: bool = False
    zoom: float = 0.0
    light: float = 0.0
    colour: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    gamma: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotation <= 0.5:
            raise InputError(f"rotation is {self.rotation}; it is a share of a full turn, from 0 to 0.5")
        for name in ("light", "colour"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is a share, at least 0 and below 1")
        for name in ("zoom", "gamma", "blur", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0")

    @property
    def active(self) -> bool:
        return self != Augmentation()

    @property
    def interpolates(self) -> bool:
        """Whether pixels come to lie between pixels."""
        return bool(self.rotation or self.zoom)

    @property
    def relights(self) -> bool:
        """Whether it changes levels, each by itself."""
        return bool(self.light or self.gamma or self.colour)

    @property
    def moves(self) -> bool:
        """Whether it changes places."""
        return self.interpolates or self.horizontal_flip or self.vertical_flip or self.quarter_turns


@dataclass(frozen=True, eq=False)
class Draws:
    """What happens to each of n images.

    Attributes:
        maps: (n, 2, 3) matrices from output to input pixel coordinates (x, y, 1).
        powers: (n,) exponents of levels as shares of 255, before the gains.
        gains: (n, 3) factors of the channels about mid-gray, contrast and colour together.
        shifts: (n,) levels added to all channels.
        blurs: (n,) standard deviations in pixels.
        noises: (n,) standard deviations in levels.
        offsets: (n,) where in the table of noise an image's own begins.
    """

    maps: npt.NDArray[np.float64]
    powers: npt.NDArray[np.float64]
    gains: npt.NDArray[np.float64]
    shifts: npt.NDArray[np.float64]
    blurs: npt.NDArray[np.float64]
    noises: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.int64]

    def __getitem__(self, chosen: npt.NDArray[np.intp] | slice) -> "Draws":
        return Draws(
            self.maps[chosen],
            self.powers[chosen],
            self.gains[chosen],
            self.shifts[chosen],
            self.blurs[chosen],
            self.noises[chosen],
            self.offsets[chosen],
        )


def draw(augmentation: Augmentation, *, count: int, size: int, seed: int, epoch: int) -> Draws:
    """Draws what happens to each of `count` images of `size` pixels a side in one epoch."""
    # One row an image: the draws of the first images don't depend on how many follow.
    looks = np.random.default_rng([seed, epoch, _LOOKS_STREAM]).random((count, 10))
    both_ways = 2 * looks - 1
    contrast = 1 + augmentation.light * both_ways[:, 0]
    powers = np.random.default_rng([seed, epoch, _GAMMA_STREAM]).uniform(-1, 1, count)
    return Draws(
        maps=_draw_maps(augmentation, looks[:, 8:], size=size, seed=seed, epoch=epoch),
        powers=(1 + augmentation.gamma) ** powers,
        gains=contrast[:, None] * (1 + augmentation.colour * both_ways[:, 1:4]),
        shifts=augmentation.light * 127.5 * both_ways[:, 4],
        blurs=augmentation.blur * looks[:, 5],
        noises=augmentation.noise * looks[:, 6],
        offsets=(looks[:, 7] * _NOISE_VALUES).astype(np.int64),
    )


def _draw_maps(
    augmentation: Augmentation, more: npt.NDArray[np.float64], *, size: int, seed: int, epoch: int
) -> npt.NDArray[np.float64]:
    count = len(more)
    draws = np.random.default_rng([seed, epoch, _GEOMETRY_STREAM]).random((count, 3))
    mirror_x = np.where(augmentation.horizontal_flip & (draws[:, 0] < 0.5), -1.0, 1.0)
    mirror_y = np.where(augmentation.vertical_flip & (draws[:, 1] < 0.5), -1.0, 1.0)
    angle = (2 * draws[:, 2] - 1) * augmentation.rotation * 2 * np.pi
    cos, sin = np.cos(angle), np.sin(angle)
    if augmentation.quarter_turns:
        quarters = np.floor(4 * more[:, 0]).astype(int)
        # Whole numbers, so that a quarter turn moves pixels and blurs none.
        c, s = np.array([1, 0, -1, 0])[quarters], np.array([0, 1, 0, -1])[quarters]
        cos, sin = cos * c - sin * s, sin * c + cos * s
    turn = np.stack([mirror_x * cos, -mirror_x * sin, mirror_y * sin, mirror_y * cos], axis=1)
    scale = (1 + augmentation.zoom) ** (2 * more[:, 1] - 1)
    maps = np.empty((count, 2, 3))
    maps[:, :, :2] = turn.reshape(count, 2, 2) / scale[:, None, None]
    centre = np.full(2, (size - 1) / 2)
    maps[:, :, 2] = centre - maps[:, :, :2] @ centre
    return maps


def augment(images: npt.NDArray[np.uint8], augmentation: Augmentation, draws: Draws) -> npt.NDArray[np.uint8]:
    """Returns a batch, (n, size, size, channels), changed as drawn: moved, blurred, relit, then noisy."""
    import cv2

    # The pipeline runs several batches at a time; threads within one only get in the way.
    cv2.setNumThreads(1)
    if augmentation.moves:
        changed = warp(images, draws.maps, smooth=augmentation.interpolates)
    else:
        changed = images.copy()
    for i, image in enumerate(changed):
        if draws.blurs[i] > LEAST_BLUR:
            cv2.GaussianBlur(image, (0, 0), draws.blurs[i], dst=image, borderType=cv2.BORDER_REFLECT)
        if augmentation.relights:
            image[:] = _relit(image, draws.powers[i], draws.gains[i], draws.shifts[i])
        if draws.noises[i] > 0:
            image[:] = _noisy(image, draws.noises[i], draws.offsets[i])
    return changed


def warp(
    images: npt.NDArray[np.uint8], maps: npt.NDArray[np.float64], *, smooth: bool = True
) -> npt.NDArray[np.uint8]:
    """Applies one map to each image of a batch, (n, size, size, 3); borders are mirrored.

    Bilinear, or if not `smooth` the nearest pixel: four times as fast, and the same for flips and quarter
    turns, which put pixels onto pixels.
    """
    import cv2

    size = images.shape[2], images.shape[1]
    flags = (cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST) | cv2.WARP_INVERSE_MAP
    warped = np.empty_like(images)
    for image, matrix, target in zip(images, maps, warped, strict=True):
        target[:] = cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return warped


def _relit(
    image: npt.NDArray[np.uint8], power: float, gains: npt.NDArray[np.float64], shift: float
) -> npt.NDArray[np.uint8]:
    import cv2

    levels = 255 * (np.arange(256)[:, None] / 255) ** power
    table = np.clip(127.5 + (levels - 127.5) * gains + shift, 0, 255).round().astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, 3))


def _noisy(image: npt.NDArray[np.uint8], deviation: float, offset: int) -> npt.NDArray[np.uint8]:
    import cv2

    table = noise_table()
    # Drawing a value a pixel would take as long as training on it: images share a table, each from its place.
    noise = np.take(table, np.arange(offset, offset + image.size), mode="wrap").reshape(image.shape)
    return cv2.addWeighted(image, 1.0, noise, deviation / 32, 0.0, dtype=cv2.CV_8U)


@lru_cache(maxsize=1)
def noise_table() -> npt.NDArray[np.int16]:
    """Standard normal values times 32, whole, so that a table fits a processor's cache."""
    values = np.random.default_rng(0).standard_normal(_NOISE_VALUES, dtype=np.float32)
    return (values * 32).round().astype(np.int16)

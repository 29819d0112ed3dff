"""What other cameras, hands and storage do to an image, at five strengths (after Hendrycks 2019)."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import encode_jpeg

Image = npt.NDArray[np.uint8]
CANVAS = 256  # pixels: the size that the strengths are meant for


@dataclass(frozen=True)
class Corruption:
    """A change of an image, and how much of it each of the strengths 1 to 5 is."""

    change: Callable[[Image, float, np.random.Generator], Image]
    strengths: tuple[float, float, float, float, float]


def corrupt(image: Image, kind: str, strength: int, *, seed: int = 0) -> Image:
    """Returns a (CANVAS, CANVAS, 3) image with one corruption of `CORRUPTIONS`.

    Args:
        image: RGB.
        kind: a key of `CORRUPTIONS`.
        strength: 1 to 5.
        seed: of the noise and of the way that a corruption goes: the same seed gives the same image.
    """
    rng = np.random.default_rng(seed)
    corruption = CORRUPTIONS[kind]
    return corruption.change(image, corruption.strengths[strength - 1], rng)


def _blur(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _noise(image: Image, deviation: float, rng: np.random.Generator) -> Image:
    noisy = image + deviation * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _exposure(image: Image, stops: float, rng: np.random.Generator) -> Image:
    # Light adds up linearly, files hold its power 1/2.2.
    gain = 2 ** (stops * rng.choice([-1, 1]) / 2.2)
    return np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)


def _jpeg(image: Image, quality: float, rng: np.random.Generator) -> Image:
    data = np.frombuffer(encode_jpeg(image, int(quality)), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def _rotation(image: Image, degrees: float, rng: np.random.Generator) -> Image:
    return _warp(image, degrees * rng.choice([-1, 1]), 1.0)


def _scale(image: Image, factor: float, rng: np.random.Generator) -> Image:
    return _warp(image, 0.0, factor ** rng.choice([-1, 1]))


def _warp(image: Image, degrees: float, factor: float) -> Image:
    """Turns and enlarges about the centre; what comes in over the border is the image mirrored."""
    height, width = image.shape[:2]
    if factor < 1:  # averaged first, or the image would be full of false patterns
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.5 / factor), np.uint8)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, factor)
    warped = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(warped, np.uint8)


# Each kind with its five strengths: Gaussian blur in pixels, noise in gray levels, exposure in stops, JPEG
# quality, rotation in degrees, scale as a factor. Exposure, rotation and scale go one way for half of the
# images and the other way for the rest.
CORRUPTIONS: dict[str, Corruption] = {
    "blur": Corruption(_blur, (0.7, 1.2, 2.0, 3.0, 4.5)),
    "noise": Corruption(_noise, (5, 10, 18, 30, 45)),
    "exposure": Corruption(_exposure, (0.3, 0.6, 1.0, 1.5, 2.0)),
    "jpeg": Corruption(_jpeg, (50, 30, 20, 12, 7)),
    "rotation": Corruption(_rotation, (5, 10, 20, 30, 45)),
    "scale": Corruption(_scale, (1.1, 1.25, 1.5, 1.75, 2.0)),
}

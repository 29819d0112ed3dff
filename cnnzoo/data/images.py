"""Image files as arrays: the upright RGB that a viewer shows, whatever the file holds."""

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnnzoo.errors import InputError

# What is read, and the file name extensions that go with it. MPO is what phones write as .jpg.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
}
OPENERS = [kind for kind in FORMATS if kind != "MPO"]  # Pillow opens an MPO as the JPEG that it begins with
Image.init()  # without it Pillow knows no WebP yet
MAX_PIXELS = 100_000_000
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # so that Pillow warns of no image that is read here

Item = TypeVar("Item")


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Returns the image in a file as (height, width, 3) uint8.

    JPEG, PNG, BMP, GIF (first frame) and WebP; EXIF orientation is applied, transparency lies on white,
    16 bits are scaled to 8. A JPEG with damaged data in its middle decodes to garbage unnoticed.

    Raises:
        InputError: no such file, no image of these kinds, cut off, or over 100 megapixels.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    try:
        return decode_image(data)[0]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def decode_image(data: bytes) -> tuple[npt.NDArray[np.uint8], str, str]:
    """Returns the image in `data` as `read_image` does, with its Pillow format and mode.

    Raises:
        InputError: as `read_image`, without a file name.
    """
    if not data:
        raise InputError("the file is empty (zero bytes)")
    try:
        image = Image.open(io.BytesIO(data), formats=OPENERS)
    except Image.DecompressionBombError:
        raise InputError(f"over {MAX_PIXELS / 1e6:.0f} megapixels; cut it into tiles") from None
    except Exception as error:
        raise InputError("not a JPEG, PNG, BMP, GIF or WebP image, or its header is damaged") from error
    if image.width * image.height > MAX_PIXELS:
        raise InputError(f"over {MAX_PIXELS / 1e6:.0f} megapixels; cut it into tiles")
    mode, kind = image.mode, image.format or ""
    try:
        image.load()
        return np.asarray(_upright_rgb(image)), kind, mode
    except Exception as error:
        raise InputError(f"cut off or damaged ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow would clip 16 bits at 255.
        wide = np.asarray(image, dtype=np.int64).clip(0, 65535)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def resize_image(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Returns `image` as (size, size, 3); the aspect ratio is not kept.

    Shrinking averages areas, so that hairline cracks fade instead of breaking up; growing is bilinear.
    """
    import cv2

    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) >= size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def load_images(
    paths: Sequence[Path],
    size: int,
    *,
    progress: bool = True,
    out: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """Reads and resizes files in parallel into (n, size, size, 3) uint8, `out` if it is given.

    Raises:
        InputError: a file can't be read.
    """
    import cv2

    cv2.setNumThreads(1)  # the parallelism is over images
    images = np.empty((len(paths), size, size, 3), np.uint8) if out is None else out

    def load(index: int) -> None:
        images[index] = resize_image(read_image(paths[index]), size)

    with ThreadPoolExecutor(cpu_count()) as pool:
        for _ in track(pool.map(load, range(len(paths))), len(paths), "reading images", progress=progress):
            pass
    return images


def track(items: Iterable[Item], total: int, title: str, *, progress: bool) -> Iterable[Item]:
    """Yields `items`, with a bar on a terminal that shows how many and the time left."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (progress and console.is_terminal),
    )
    with bar:
        yield from bar.track(items, total=total, description=title)

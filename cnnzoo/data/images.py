"""Image files as arrays: the upright RGB that a viewer shows, whatever the file holds."""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from cnnzoo.bars import track
from cnnzoo.data.formats import FORMATS
from cnnzoo.errors import InputError, one_line, printable

OPENERS = [kind for kind in FORMATS if kind != "MPO"]  # Pillow opens an MPO as the JPEG that it begins with

# How images of other kinds begin: people have them, and should hear what to do.
OTHERS = {
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "JPEG XL": (b"\0\0\0\x0cJXL ", b"\xff\x0a"),
    "camera raw": (b"IIRO", b"IIU\0", b"FUJIFILM", b"\0MRM", b"ftypcrx"),
    "Photoshop": (b"8BPS",),
    "OpenEXR": (b"v/1\x01",),
    "PDF": (b"%PDF",),
    "SVG": (b"<svg", b"<?xml"),
}

_SUBFILE_TYPE, _SUB_IMAGES, _DNG_VERSION = 254, 330, 50706  # tags of TIFF

MAX_PIXELS = 100_000_000

Image.init()  # without it Pillow knows no WebP yet


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Returns the image in a file as (height, width, 3) uint8.

    JPEG, PNG, BMP, GIF, WebP, TIFF, HEIC and AVIF, of several images in one file the first; the orientation
    in EXIF is applied, transparency lies on white, 16 bits are scaled to 8. Colour profiles are not applied.
    A JPEG with damaged data in its middle decodes to garbage unnoticed: libjpeg only warns of it, and Pillow
    drops the warning.

    Raises:
        InputError: no such file, no image of these kinds, cut off, or over 100 megapixels.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{printable(path)}: {error.strerror}") from error
    try:
        return decode_image(data)[0]
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from error


def decode_image(data: bytes) -> tuple[npt.NDArray[np.uint8], str, str]:
    """Returns the image in `data` as `read_image` does, with its Pillow format and mode.

    Raises:
        InputError: as `read_image`, without a file name.
    """
    if not data:
        raise InputError("the file is empty (zero bytes)")
    image = _open(data)
    if image.width * image.height > MAX_PIXELS:
        raise InputError(_too_large(f"{image.width} x {image.height} pixels"))
    if not (image.width and image.height):
        raise InputError(f"{image.width} x {image.height} pixels: no image in it")
    mode, kind = image.mode, image.format or ""
    try:
        image.load()
        return np.array(_upright_rgb(image)), kind, mode
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"cut off or damaged ({one_line(error)})") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    """Reads the header. Not by `Image.open`, which warns of large images unless a global setting stops it."""
    head = data[:16]
    if head[4:8] == b"ftyp":
        _learn_heif()
    for kind in OPENERS:
        factory, accept = Image.OPEN.get(kind, (None, None))
        if factory is None:
            continue
        if accept is None or accept(head) is not True:
            continue
        try:
            image = factory(io.BytesIO(data), "")
            if kind == "TIFF" and _is_raw(data, getattr(image, "tag_v2", {})):
                raise InputError(_convert("camera raw"))
            return image
        except InputError:
            raise
        except Image.DecompressionBombError:
            raise InputError(_too_large("too large")) from None
        except Exception as error:
            raise InputError(f"{kind} image with a damaged header ({one_line(error)})") from error
    for kind, starts in OTHERS.items():
        if head.startswith(starts) or head[4:].startswith(starts):
            raise InputError(_convert(kind))
    if data[128:132] == b"DICM":
        raise InputError(_convert("DICOM"))
    raise InputError("not a JPEG, PNG, BMP, GIF, WebP, TIFF, HEIC or AVIF image")


def _is_raw(data: bytes, tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF is what a camera's sensor gave, so that its first image is but a thumbnail."""
    thumbnail = tags.get(_SUBFILE_TYPE) == 1 and _SUB_IMAGES in tags
    return data[8:10] == b"CR" or _DNG_VERSION in tags or thumbnail


def _convert(kind: str) -> str:
    return f"{kind} files are not read; convert it to PNG or JPEG"


def _learn_heif() -> None:
    """Gives Pillow the plugin for what iPhones write, at the first such file."""
    if "HEIF" not in Image.OPEN:
        import pi_heif

        pi_heif.register_heif_opener(thumbnails=False)


def _too_large(what: str) -> str:
    return f"{what}: over {MAX_PIXELS / 1e6:.0f} megapixels; cut it into tiles"


def _upright_rgb(image: Image.Image) -> Image.Image:
    # EXIF that can't be read turns nothing; where it can't be written anew, the pixels are turned already.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise InputError(
            "pixels are floating point numbers, whose range no viewer knows; save it with 8 bits"
        )
    if image.mode == "I":
        low, high = image.getextrema()
        if low < 0 or high > 65535:  # type: ignore[operator]
            raise InputError("pixels of 32 bits, whose range no viewer knows; save it with 8 or 16 bits")
        if high <= 255:  # type: ignore[operator]
            return image.convert("L").convert("RGB")
    if image.mode.startswith("I"):
        # Pillow would clip 16 bits at 255.
        wide = np.asarray(image).clip(0, 65535).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def resize_image(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Returns `image` as (size, size, 3); the aspect ratio is not kept.

    Shrinking averages areas, so that hairline cracks fade instead of breaking up; growing is bilinear. Where
    one side shrinks and the other grows, that is done one after the other.
    """
    import cv2

    height, width = image.shape[:2]
    inner = (min(width, size), min(height, size))
    resized: npt.NDArray = image
    if inner != (width, height):
        resized = cv2.resize(resized, inner, interpolation=cv2.INTER_AREA)
    if inner != (size, size):
        resized = cv2.resize(resized, (size, size), interpolation=cv2.INTER_LINEAR)
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
        done = pool.map(load, range(len(paths)))
        for _ in track(done, len(paths), "reading images", unit="images", progress=progress):
            pass
    return images


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Returns (height, width, 3) RGB as the bytes of a JPEG file of quality 1 to 100."""
    import cv2

    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()

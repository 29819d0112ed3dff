"""Image files as arrays: the upright RGB that a viewer shows, whatever the file holds."""

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from cnnzoo.bars import track
from cnnzoo.data.formats import FORMATS
from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.files import regular_file
from cnnzoo.limits import Budget, free_memory, in_threads

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
MAX_BYTES = 1_000_000_000  # of a file: 100 megapixels of 16 bits take 800 MB, not compressed
# Of JPEG: what follows a marker is the length of its segment, or the pixels of a scan up to the next marker.
_MARKER, _SCAN, _END = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL), b"\xff\xda", b"\xff\xd9"
MAX_SCANS = 200  # of a JPEG: cameras and programs write some ten
MAX_SCANNED = 1_500_000_000  # pixels times scans of a JPEG: each scan goes over all of them
HEAD = 132  # bytes of a file that show its kind
STRIP = 1_000_000  # pixels converted at a time
BYTES_PER_PIXEL = 8  # four in Pillow, three as an array
DECODERS_BYTES = {"WEBP": 16, "AVIF": 12, "HEIF": 12}  # in place of that, with the decoder's own copies
LARGE = 100_000_000  # bytes, from which on it is asked whether so much memory is free

# What all threads may hold at once.
_FILES, _PIXELS = Budget(MAX_BYTES), Budget(MAX_PIXELS * 3 // 2)

# Pillow's warnings, as of odd EXIF, name no file; what it can't read is an error.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.init()  # without it Pillow knows no WebP yet


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """Returns the image in a file as (height, width, 3) uint8.

    JPEG, PNG, BMP, GIF, WebP, TIFF, HEIC and AVIF, of several images in one file the first; the orientation
    in EXIF is applied, transparency lies on white, 16 bits are scaled to 8. Colour profiles are not applied.
    What decodes is read, also where data inside are damaged: `build_manifest` lists the JPEGs of which the
    decoder warns, but a changed bit that still decodes, as most do in JPEG, BMP, GIF, WebP and TIFF, no
    decoder can know.

    Raises:
        InputError: no such file, no regular one, no image of these kinds, cut off, over 100 megapixels or
            1 GB.
    """
    with reading(path) as image:
        return image


@contextmanager
def reading(path: str | Path, digest: str = "") -> Iterator[npt.NDArray[np.uint8]]:
    """Gives what `read_image` returns; while the context lasts, it counts among what is held at once.

    Args:
        path: of the file.
        digest: SHA-256 that the file has to have, the one of its manifest: what is decoded is what was
            listed.

    Raises:
        InputError: as `read_image`, or the file is not what was listed.
    """
    with _named(path), _data(path, digest) as data, _opened(data) as opened:
        pixels = opened.pixels()
        opened.image.close()
        yield pixels


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Puts the name of the file before what is wrong with it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from error


@contextmanager
def _data(path: str | Path, digest: str = "") -> Iterator[bytes]:
    """The bytes of an image file, checked to be one by its size and its beginning before it is read."""
    try:
        with regular_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise InputError(f"{size / 1e9:.1f} GB: over {MAX_BYTES / 1e9:.0f} GB; cut it into tiles")
            if not size:
                raise InputError("the file is empty (zero bytes)")
            _kind(file.peek(HEAD)[:HEAD])
            with _FILES.of(size):
                data = file.read(size + 1)
                if len(data) != size:
                    raise InputError("it changes while it is read; run again when it is written")
                if digest and sha256(data).hexdigest() != digest:
                    raise InputError(_CHANGED)
                yield data
    except OSError as error:
        raise InputError(f"{error.strerror}{_SINCE if digest else ''}") from error


_SINCE = "; it was there when the images were listed: run the same command again, which lists them anew"
_CHANGED = "it has changed since the images were listed; run the same command again, which lists them anew"


@dataclass(frozen=True)
class ImageFacts:
    """What is known of an image file: pixels, Pillow's format and mode, hash, what the decoder warns of."""

    width: int
    height: int
    kind: str
    mode: str
    sha256: str
    warning: str


def examine_image(path: Path) -> ImageFacts:
    """Decodes a file as `read_image` does, and returns what is to know of it.

    Raises:
        InputError: as `read_image`, without the name of the file.
    """
    with _data(path) as data, _opened(data) as opened:
        _rgb(opened.image.crop((0, 0, opened.image.width, 1)))  # whether its mode can be converted
        return ImageFacts(
            *opened.image.size,
            opened.kind,
            opened.mode,
            sha256(data).hexdigest(),
            _warning(data, opened.kind),
        )


@dataclass(frozen=True)
class _Opened:
    """A decoded image, upright, as the file has it otherwise."""

    image: Image.Image
    kind: str
    mode: str

    def pixels(self) -> npt.NDArray[np.uint8]:
        """RGB, made strip by strip: Pillow's conversions of the whole would each need it once more."""
        width, height = self.image.size
        pixels = np.empty((height, width, 3), np.uint8)
        rows = max(1, STRIP // width)
        for top in range(0, height, rows):
            strip = self.image.crop((0, top, width, min(height, top + rows))) if rows < height else self.image
            pixels[top : top + rows] = np.asarray(_rgb(strip))
        return pixels


@contextmanager
def _opened(data: bytes) -> Iterator[_Opened]:
    """Decodes; while the context lasts, the pixels count among those held at once."""
    image = _open(data)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(_too_large(f"{width} x {height} pixels"))
    if not (width and height):
        raise InputError(f"{width} x {height} pixels: no image in it")
    mode, kind = image.mode, image.format or ""
    if kind in ("JPEG", "MPO"):
        _check_scans(data, width * height)
    with _PIXELS.of(width * height):
        _check_memory(kind, width, height)
        yield _decoded(image, kind, mode)


def _check_scans(data: bytes, pixels: int) -> None:
    scans = _scans(data)
    if scans > min(MAX_SCANS, MAX_SCANNED // pixels):
        raise InputError(
            f"a JPEG of {scans:,} scans over {pixels:,} pixels, which takes very long; save it anew"
        )


def _scans(data: bytes) -> int:
    """How many passes over the pixels a JPEG has, whatever bytes lie in its other segments and behind it."""
    count, place = 0, 2
    while (found := _MARKER.search(data, place)) and found[0] != _END:
        count += found[0] == _SCAN
        place = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2]))
    return count


def _check_memory(kind: str, width: int, height: int) -> None:
    needed = width * height * DECODERS_BYTES.get(kind, BYTES_PER_PIXEL)
    if needed >= LARGE and needed > (free := free_memory()):
        raise InputError(
            f"{width} x {height} pixels: decoding takes {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB "
            "are free; cut it into tiles"
        )


def _decoded(image: ImageFile.ImageFile, kind: str, mode: str) -> _Opened:
    try:
        image.load()
        opened = _Opened(_upright(image), kind, mode)
        opened.image.load()
        return opened
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"not enough memory for {image.width} x {image.height} pixels") from error
    except Exception as error:
        raise InputError(f"cut off or damaged ({one_line(error)})") from error


def _warning(data: bytes, kind: str) -> str:
    """What the decoder warns of, as of damage inside a JPEG, which Pillow keeps to itself; else nothing."""
    if kind not in ("JPEG", "MPO"):
        return ""
    from simplejpeg import decode_jpeg

    # At an eighth of the size, where no more is decoded than has to be.
    size = {"colorspace": "GRAY", "min_height": 1, "min_width": 1}
    try:
        decode_jpeg(data, **size, strict=True)
        return ""
    except ValueError as error:
        said = one_line(error)
    try:
        decode_jpeg(data, **size, strict=False)
        return said
    except ValueError:
        return ""  # a kind of JPEG that it doesn't know


def _kind(head: bytes) -> str:
    """The kind of image that a file begins as.

    Raises:
        InputError: it is none of ours.
    """
    if head[4:8] == b"ftyp":
        _learn_heif()
    for kind in OPENERS:
        _, accept = Image.OPEN.get(kind, (None, None))
        if accept is not None and accept(head[:16]) is True:
            return kind
    for kind, starts in OTHERS.items():
        if head.startswith(starts) or head[4:].startswith(starts):
            raise InputError(_convert(kind))
    if head[128:132] == b"DICM":
        raise InputError(_convert("DICOM"))
    raise InputError("not a JPEG, PNG, BMP, GIF, WebP, TIFF, HEIC or AVIF image")


def _open(data: bytes) -> ImageFile.ImageFile:
    """Reads the header. Not by `Image.open`, which warns of large images unless a global setting stops it."""
    kind = _kind(data[:HEAD])
    try:
        image = Image.OPEN[kind][0](io.BytesIO(data), "")
    except Image.DecompressionBombError:
        raise InputError(_too_large("too large")) from None
    except MemoryError as error:
        raise InputError("not enough memory for it") from error
    except Exception as error:
        raise InputError(f"{kind} image with a damaged header ({one_line(error)})") from error
    if kind == "TIFF" and _is_raw(data, getattr(image, "tag_v2", {})):
        raise InputError(_convert("camera raw"))
    return image


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


def _upright(image: Image.Image) -> Image.Image:
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
            return image.convert("L")
    return image


def _rgb(image: Image.Image) -> Image.Image:
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
    return resize_to(image, size, size)


def resize_to(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """As `resize_image`, to (height, width, 3)."""
    import cv2

    inner = (min(image.shape[1], width), min(image.shape[0], height))
    resized: npt.NDArray = image
    if inner != image.shape[1::-1]:
        resized = cv2.resize(resized, inner, interpolation=cv2.INTER_AREA)
    if inner != (width, height):
        resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def load_images(
    paths: Sequence[Path],
    size: int,
    *,
    digests: Sequence[str] = (),
    progress: bool = True,
    out: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """Reads and resizes files in parallel into (n, size, size, 3) uint8, `out` if it is given.

    `digests` are the SHA-256 that the files have to have.

    Raises:
        InputError: a file can't be read, or is not what it was.
    """
    import cv2

    cv2.setNumThreads(1)  # the parallelism is over images
    images = np.empty((len(paths), size, size, 3), np.uint8) if out is None else out
    expected = digests or [""] * len(paths)

    def load(index: int) -> None:
        with reading(paths[index], expected[index]) as image:
            images[index] = resize_image(image, size)

    done = in_threads(load, range(len(paths)))
    for _ in track(done, len(paths), "reading images", unit="images", progress=progress):
        pass
    return images


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Returns (height, width, 3) RGB as the bytes of a JPEG file of quality 1 to 100."""
    import cv2

    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"no JPEG can be made of an image of shape {image.shape}")
    return data.tobytes()

"""Resized images in a file of the cache, where memory is too small for them; checked before every use."""

import math
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import load_images
from cnnzoo.errors import InputError
from cnnzoo.files import allocate, cache_dir, discard, regular_file, replaced_whole

VERSION = 1  # of how images are read and resized, and of the file: the pixels, then their hash
_HASH_BYTES = 32
_CHUNK = 1 << 22  # bytes hashed at a time


def resized_images(
    paths: Sequence[Path], digests: Sequence[str], size: int, *, progress: bool
) -> tuple[npt.NDArray[np.uint8], Path]:
    """Returns the images at `size`, mapped from a file, and the file; it is made where it isn't yet.

    Raises:
        InputError: an image can't be read or is not what it was, or the disk has no place for them.
    """
    shape = (len(paths), size, size, 3)
    content = sha256("".join(digests).encode()).hexdigest()[:16]
    file = cache_dir("resized") / f"{content}-{size}-v{VERSION}.rgb"
    images = _mapped(file, shape)
    if images is None:
        _write(file, paths, digests, shape, progress=progress)
        images = _mapped(file, shape)
    if images is None:
        raise InputError(f"{file}: it is not what was just written; choose another place (CNNZOO_CACHE)")
    return images, file


def _mapped(file: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8] | None:
    """The images in a file; None where there is no file, or, with a word, where it is damaged."""
    count = math.prod(shape)
    try:
        with regular_file(file) as opened:
            if os.fstat(opened.fileno()).st_size == count + _HASH_BYTES:
                digest = _digest(opened, file.name, count)
                if opened.read() == digest:
                    return np.memmap(opened, np.uint8, mode="r", shape=shape)
    except FileNotFoundError:
        return None
    except (OSError, InputError):
        pass
    discard(file)
    return None


def _digest(opened: BinaryIO, name: str, count: int) -> bytes:
    """The hash of a file's name and its first `count` bytes; with the name, none is taken for another."""
    digest = sha256(f"{name}\n".encode())
    opened.seek(0)
    while count and (chunk := opened.read(min(count, _CHUNK))):
        digest.update(chunk)
        count -= len(chunk)
    return digest.digest()


def _write(
    file: Path, paths: Sequence[Path], digests: Sequence[str], shape: tuple[int, ...], *, progress: bool
) -> None:
    count = math.prod(shape)
    with replaced_whole(file) as unfinished:
        with unfinished.open("wb") as opened:
            allocate(opened, count + _HASH_BYTES, file.parent)
        images = np.memmap(unfinished, np.uint8, mode="r+", shape=shape)
        load_images(paths, shape[1], digests=digests, progress=progress, out=images)
        images.flush()
        with unfinished.open("r+b") as opened:
            digest = _digest(opened, file.name, count)
            opened.seek(count)
            opened.write(digest)

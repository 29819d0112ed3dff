"""Resized images in a file of the cache, which processes share, or which memory is too small for.

Checked before every use.
"""

import math
import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import load_images
from cnnzoo.errors import InputError, printable
from cnnzoo.files import cache_dir, discard, lock, regular_file, replaced_whole

VERSION = 1  # of how images are read and resized, and of the file: the pixels, then their hash
_HASH_BYTES = 32
_CHUNK = 1 << 22  # bytes hashed at a time


def resized_images(
    paths: Sequence[Path], digests: Sequence[str], size: int, *, progress: bool
) -> tuple[npt.NDArray[np.uint8], Path]:
    """Returns the images at `size`, mapped from a file, and the file; it is made where it isn't yet.

    Of processes that ask for the same images at a time one makes it, and the others wait.

    Raises:
        InputError: an image can't be read or is not what it was, or the disk has no place for them.
    """
    shape = (len(paths), size, size, 3)
    content = sha256("".join(digests).encode()).hexdigest()[:16]
    file = cache_dir("resized") / f"{content}-{size}-v{VERSION}.rgb"
    with (cache_dir("locks") / file.name).open("wb") as locked:
        lock(locked)
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
        _allocate(unfinished, count + _HASH_BYTES)
        images = np.memmap(unfinished, np.uint8, mode="r+", shape=shape)
        load_images(paths, shape[1], digests=digests, progress=progress, out=images)
        images.flush()
        with unfinished.open("r+b") as opened:
            digest = _digest(opened, file.name, count)
            opened.seek(count)
            opened.write(digest)


def _allocate(file: Path, size: int) -> None:
    """Makes a file whose blocks are on the disk: were one missing, writing through a map would be fatal.

    Raises:
        InputError: there is no place for it.
    """
    try:
        with file.open("wb") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
    except OSError as error:
        free = shutil.disk_usage(file.parent).free
        raise InputError(
            f"{printable(file.parent)}: no room for {size / 1e9:.1f} GB of resized images, which don't fit "
            f"in RAM or are shared ({error.strerror}, {free / 1e9:.1f} GB free); choose fewer images "
            "({limit}) or another place (CNNZOO_CACHE)",
            limit="limit",
        ) from error

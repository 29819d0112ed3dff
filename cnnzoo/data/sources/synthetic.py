"""The embedded data set: synthetic concrete, with cracks and without, kept in the cache."""

import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cnnzoo.bars import track
from cnnzoo.data.images import encode_jpeg
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.errors import InputError, printable
from cnnzoo.files import cache_dir
from cnnzoo.limits import usable_cores

VERSION = 2  # of the drawing: tiles of another one are never mixed in
TILE = 64  # pixels: small, so that all recipes learn in minutes; a crack is as wide as in a larger tile
CLASSES = ("Negative", "Positive")


def synthetic_concrete(
    images_per_class: int, *, seed: int = 0, root: Path | None = None, progress: bool = True
) -> Path:
    """Returns a folder with `Negative/` and `Positive/`, drawing it unless it is there already, and whole.

    A tile depends on (seed, class, number) alone: more images keep the earlier ones, bit for bit.

    Args:
        images_per_class: exactly that many JPEG files of 64 x 64 pixels in each.
        seed: another seed gives other tiles.
        root: where to keep the folder; by default the cache.
        progress: show a bar on the terminal.

    Raises:
        InputError: `images_per_class` is not at least 1, or there is no room for them.
    """
    if images_per_class < 1:
        raise InputError(f"images per class: {images_per_class}; it must be at least 1")
    place = cache_dir("synthetic") if root is None else Path(root)
    folder = place / f"v{VERSION}-seed{seed}-{images_per_class}"
    if folder.is_dir() and not _is_whole(folder, images_per_class):
        shutil.rmtree(folder)
    if not folder.is_dir():
        try:
            _draw_all(folder, images_per_class, seed, progress=progress)
        except OSError as error:
            raise InputError(f"{printable(place)}: can't keep the images there: {error.strerror}") from error
    return folder


def _is_whole(folder: Path, images_per_class: int) -> bool:
    return all(len(list((folder / name).glob("*.jpg"))) == images_per_class for name in CLASSES)


def _draw_all(folder: Path, images_per_class: int, seed: int, *, progress: bool) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".drawing-", dir=folder.parent))
    try:
        for name in CLASSES:
            (unfinished / name).mkdir()

        def draw(item: tuple[int, int]) -> None:
            label, number = item
            path = unfinished / CLASSES[label] / f"{number + 1:05}.jpg"
            path.write_bytes(_jpeg(seed, label, number))

        items = [(label, number) for number in range(images_per_class) for label in range(len(CLASSES))]
        with ThreadPoolExecutor(usable_cores()) as pool:
            _exhaust(track(pool.map(draw, items), len(items), "drawing concrete", progress=progress))
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has drawn the same meanwhile
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _exhaust(items: Iterable[None]) -> None:
    for _ in items:
        pass


def _jpeg(seed: int, label: int, number: int) -> bytes:
    import cv2

    cv2.setNumThreads(1)  # the parallelism is over tiles
    tile, _ = draw_tile(np.random.default_rng([seed, label, number]), crack=bool(label), size=TILE)
    return encode_jpeg(tile, 92)

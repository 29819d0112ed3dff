"""What is drawn rather than photographed, kept in the cache: synthetic concrete, and other surfaces."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnnzoo.bars import track
from cnnzoo.data.images import encode_jpeg
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.data.sources.drawn import SURFACES_VERSION
from cnnzoo.errors import InputError, printable
from cnnzoo.files import cache_dir
from cnnzoo.limits import in_threads

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
    place = cache_dir("synthetic") if root is None else Path(root)
    return _drawn(place, VERSION, images_per_class, seed, _concrete, "concrete", progress=progress)


def drawn_surfaces(
    images_per_class: int, *, seed: int = 0, root: Path | None = None, progress: bool = True
) -> Path:
    """Returns a folder as `synthetic_concrete` does, of bricks, tiles, boards, asphalt, plaster and concrete.

    The tiles are of 227 x 227 pixels, some of them of a coarser photograph; the kinds take turns, bricks
    twice as often.

    Raises:
        InputError: `images_per_class` is not at least 1, or there is no room for them.
    """
    place = cache_dir("surfaces") if root is None else Path(root)
    return _drawn(place, SURFACES_VERSION, images_per_class, seed, _surface, "surfaces", progress=progress)


_Draw = Callable[[np.random.Generator, int, int], npt.NDArray[np.uint8]]


def _drawn(
    place: Path, version: int, images_per_class: int, seed: int, draw: _Draw, what: str, *, progress: bool
) -> Path:
    """The folder below `place`, drawn unless it is there already, and whole."""
    if images_per_class < 1:
        raise InputError(f"images per class: {images_per_class}; it must be at least 1")
    folder = place / f"v{version}-seed{seed}-{images_per_class}"
    if folder.is_dir() and not _is_whole(folder, images_per_class):
        shutil.rmtree(folder)
    if not folder.is_dir():
        try:
            _draw_all(folder, images_per_class, seed, draw, what, progress=progress)
        except OSError as error:
            raise InputError(f"{printable(place)}: can't keep the images there: {error.strerror}") from error
    return folder


def _is_whole(folder: Path, images_per_class: int) -> bool:
    return all(len(list((folder / name).glob("*.jpg"))) == images_per_class for name in CLASSES)


def _draw_all(
    folder: Path, images_per_class: int, seed: int, draw: _Draw, what: str, *, progress: bool
) -> None:
    import cv2

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".drawing-", dir=folder.parent))
    try:
        for name in CLASSES:
            (unfinished / name).mkdir()

        def write(item: tuple[int, int]) -> None:
            label, number = item
            tile = draw(np.random.default_rng([seed, label, number]), label, number)
            (unfinished / CLASSES[label] / f"{number + 1:05}.jpg").write_bytes(encode_jpeg(tile, 92))

        items = [(label, number) for number in range(images_per_class) for label in range(len(CLASSES))]
        cv2.setNumThreads(1)  # the parallelism is over tiles
        _exhaust(track(in_threads(write, items), len(items), f"drawing {what}", progress=progress))
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


def _concrete(rng: np.random.Generator, label: int, _: int) -> npt.NDArray[np.uint8]:
    tile, _cover = draw_tile(rng, crack=bool(label), size=TILE)
    return tile


def _surface(rng: np.random.Generator, label: int, number: int) -> npt.NDArray[np.uint8]:
    from cnnzoo.data.sources.drawn.surfaces import coarser, draw_surface_tile, kind_in_turn

    tile, _cover = draw_surface_tile(rng, crack=bool(label), kind=kind_in_turn(number))
    return coarser(rng, tile)

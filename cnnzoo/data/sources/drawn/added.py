"""Drawn tiles beside the training images, so that a network learns cracks rather than one wall."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import load_images
from cnnzoo.data.pipeline import Datasets, ImageSet
from cnnzoo.data.sources.drawn.photographs import draw_over, graft
from cnnzoo.data.sources.drawn.surfaces import coarser, kind_in_turn
from cnnzoo.data.sources.synthetic import CLASSES, drawn_surfaces
from cnnzoo.errors import InputError, printable
from cnnzoo.limits import free_memory, in_threads

OVER = 0.2  # share of them that is drawn over training images of the sound class
GRAFTED = 0.35  # share that is drawn ground with what training images of either class show
SHOWN = 2  # times an epoch that each training image is seen: real ones must not be few among the drawn


def with_drawn(data: Datasets, count: int, positive: str) -> Datasets:
    """Returns the images with `count` drawn tiles more to train on, about half of them with a crack.

    Nearly half of them show drawn surfaces (see `drawn_surfaces`). Others are training images of the sound
    class, with lines, pipes, plants and shadows over them, and on half of them a crack. The rest are drawn
    sound surfaces, bricks more often than others, with the cracks, pores and stains of training images (see
    `graft`). They are the same for every seed, of the same training images. Each of these is there twice, as
    photographs teach more than drawings do.

    Args:
        data: of two classes, both of them among the training images.
        count: of tiles, at least 20.
        positive: name of the class that shows cracks.

    Raises:
        InputError: the classes are not two with that one among them, or there is no room for the tiles.
    """
    names, train = data.class_names, data.train
    if len(names) != 2 or positive not in names:
        raise InputError(
            "drawn surfaces have a crack or none: they join two classes of which one is the positive one "
            f"(--positive), not {', '.join(map(printable, names))}"
        )
    if count * train.images[0].nbytes + SHOWN * train.images.nbytes > free_memory() // 2:
        raise InputError(
            f"no room in memory for {count:,} drawn surfaces beside {len(train):,} images, each of them "
            "twice; train on fewer"
        )
    cracked = names.index(positive)
    pairs, over = round((1 - OVER - GRAFTED) * count / 2), round(OVER * count)
    grafts = count - 2 * pairs - over
    folder = drawn_surfaces(pairs, progress=False)
    paths = [folder / name / f"{n:05}.jpg" for name in CLASSES for n in range(1, pairs + 1)]
    # Not `repeated`, whose copy would lie in memory beside this one.
    photographs = SHOWN * len(train)
    images = np.empty((photographs + count, *train.images.shape[1:]), np.uint8)
    images[:photographs].reshape(SHOWN, *train.images.shape)[:] = train.images
    made = images[photographs:]
    load_images(paths, made.shape[1], progress=False, out=made[: 2 * pairs])
    by_class = [np.flatnonzero((train.labels == cracked) == is_crack) for is_crack in (False, True)]
    both = (
        _over(train.images, by_class[0], over),
        _grafted(train.images, by_class, made[:pairs], grafts),
    )
    for place, tile in enumerate(chain(*both), start=2 * pairs):
        made[place] = tile
    in_turn = [np.arange(number) % 2 == 1 for number in (over, grafts)]
    is_crack = np.concatenate([np.repeat([False, True], pairs), *in_turn])
    labels = np.where(is_crack, cracked, 1 - cracked).astype(np.int32)
    more = ImageSet(
        images=images,
        labels=np.concatenate([np.tile(train.labels, SHOWN), labels]),
        paths=(*train.paths * SHOWN, *map(str, paths), *(f"drawn {n}" for n in range(2 * pairs, count))),
        batch_size=train.batch_size,
    )
    return replace(
        data,
        train=more,
        storage=f"{data.storage}, photographs twice, {made.nbytes / 1e6:,.0f} MB of drawn tiles",
    )


def _over(
    images: npt.NDArray[np.uint8], sound: npt.NDArray[np.intp], count: int
) -> Iterator[npt.NDArray[np.uint8]]:
    chosen = np.random.default_rng(0).choice(sound, count)

    def draw(number: int) -> npt.NDArray[np.uint8]:
        rng = np.random.default_rng([0, number])
        return coarser(rng, draw_over(rng, images[chosen[number]], crack=number % 2 == 1))

    return in_threads(draw, range(count))


def _grafted(
    images: npt.NDArray[np.uint8],
    by_class: list[npt.NDArray[np.intp]],
    grounds: npt.NDArray[np.uint8],
    count: int,
) -> Iterator[npt.NDArray[np.uint8]]:
    bricks = [number for number in range(len(grounds)) if kind_in_turn(number) == "brick"]

    def draw(number: int) -> npt.NDArray[np.uint8]:
        rng = np.random.default_rng([1, number])
        photograph = images[rng.choice(by_class[number % 2])]
        # Joints are what is taken for a crack most often.
        ground = rng.choice(bricks) if rng.random() < 0.5 else rng.integers(len(grounds))
        return graft(rng, grounds[ground], photograph)

    return in_threads(draw, range(count))

"""Reading, resizing, augmenting and delivering images."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cnnzoo.data.augment import Augmentation, augment, draw
from cnnzoo.data.images import load_images
from cnnzoo.data.pipeline import ImageSet
from cnnzoo.limits import usable_cores
from experiments.benchmarks.clock import Timing, in_turns
from experiments.benchmarks.images import manifest_of
from experiments.benchmarks.registry import Request, Tell
from experiments.benchmarks.rows import Row

SIZE, BATCH = 160, 32  # of most recipes
KINDS = {
    "flip": Augmentation(horizontal_flip=True),
    "quarter turns": Augmentation(quarter_turns=True),
    "rotation": Augmentation(rotation=0.2),
    "zoom": Augmentation(zoom=0.2),
    "light": Augmentation(light=0.4),
    "colour": Augmentation(colour=0.2),
    "blur": Augmentation(blur=1.0),
    "noise": Augmentation(noise=10.0),
}


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields the first pass over files, later passes, and each kind of augmentation."""
    tell(f"listing images of {request.data}")
    manifest = manifest_of(request)
    paths = [manifest.root / image.path for image in manifest.images]
    tell(f"first pass over {len(paths):,} files")
    yield first_pass(paths, request.rounds)
    pixels = load_images(paths, SIZE, progress=False)
    tell("later passes")
    yield later_pass(pixels, request.rounds)
    tell("augmentation")
    yield from augmentations(pixels, request.rounds)


def first_pass(paths: list[Path], rounds: int) -> Row:
    """Reading files, decoding and resizing, beside libjpeg-turbo which decodes alone."""
    out = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    actions: dict[str, Callable[[], object]] = {
        "ours": lambda: load_images(paths, SIZE, progress=False, out=out)
    }
    jpeg = all(path.suffix.lower() in (".jpg", ".jpeg") for path in paths)
    if jpeg:
        actions["limit"] = lambda: _decode_alone(paths)
    times = in_turns(actions, rounds)
    return _row(
        f"first pass: read, decode and resize to {SIZE} pixels",
        len(paths),
        times["ours"],
        limit=times.get("limit"),
        limit_name="libjpeg-turbo, decoding alone" if jpeg else "",
    )


def _decode_alone(paths: list[Path]) -> None:
    from simplejpeg import decode_jpeg

    with ThreadPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(lambda path: decode_jpeg(path.read_bytes()), paths):
            pass


def later_pass(pixels: np.ndarray, rounds: int) -> Row:
    """An epoch of shuffled batches from memory, beside copying the same bytes."""
    images = _image_set(pixels)
    copy = np.empty_like(pixels)

    def epoch() -> None:
        for _ in images.training_dataset(epochs=1, seed=0):
            pass

    times = in_turns({"ours": epoch, "limit": lambda: np.copyto(copy, pixels)}, rounds)
    return _row(
        "later passes: shuffled batches",
        len(pixels),
        times["ours"],
        limit=times["limit"],
        limit_name="copying the same memory, one core",
    )


def _image_set(pixels: np.ndarray) -> ImageSet:
    count = len(pixels)
    return ImageSet(pixels, np.zeros(count, np.int32), tuple(map(str, range(count))), BATCH)


def augmentations(pixels: np.ndarray, rounds: int) -> Iterator[Row]:
    """Each kind of augmentation alone, an epoch of batches on all cores."""

    def action(kind: Augmentation) -> Callable[[], None]:
        draws = draw(kind, count=len(pixels), size=SIZE, seed=0, epoch=0)
        batches = [np.arange(i, min(i + BATCH, len(pixels))) for i in range(0, len(pixels), BATCH)]

        def run() -> None:
            with ThreadPoolExecutor(usable_cores()) as pool:
                for _ in pool.map(lambda chosen: augment(pixels[chosen], kind, draws[chosen]), batches):
                    pass

        return run

    times = in_turns({name: action(kind) for name, kind in KINDS.items()}, rounds)
    for name, timing in times.items():
        yield _row(f"augmentation: {name}", len(pixels), timing)


def _row(name: str, count: int, timing: Timing, *, limit: Timing | None = None, limit_name: str = "") -> Row:
    return Row(
        name,
        count / timing.seconds,
        "images/s",
        limit=count / limit.seconds if limit else None,
        limit_name=limit_name,
        cores=timing.cores,
        noise=timing.noise,
    )

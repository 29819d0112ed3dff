"""Reading, resizing, augmenting and delivering images."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnnzoo.data.augment import Augmentation, augment, draw
from cnnzoo.data.images import load_images
from cnnzoo.data.pipeline import ImageSet
from cnnzoo.limits import in_threads
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

Pixels = npt.NDArray[np.uint8]
Action = Callable[[], object]


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields the first pass over files, later passes, and each kind of augmentation."""
    tell(f"listing images of {request.data}")
    manifest = manifest_of(request)
    paths = [manifest.root / image.path for image in manifest.images]
    count = len(paths)
    tell(f"first pass over {count:,} files")
    actions = {"ours": first_pass(paths)}
    if all(path.suffix.lower() in (".jpg", ".jpeg") for path in paths):
        actions["limit"] = decode_alone(paths)
    times = in_turns(actions, request.rounds)
    what = f"first pass: read, decode and resize to {SIZE} pixels"
    yield _row(what, count, times["ours"], times.get("limit"), "libjpeg-turbo, decoding alone")
    tell("later passes")
    pixels = load_images(paths, SIZE, progress=False)
    times = in_turns({"ours": later_pass(pixels), "limit": copy_memory(pixels)}, request.rounds)
    what = "later passes: shuffled batches from memory"
    yield _row(what, count, times["ours"], times["limit"], "copying that memory, on one core")
    tell("augmentation")
    times = in_turns({name: augment_all(pixels, kind) for name, kind in KINDS.items()}, request.rounds)
    for name, timing in times.items():
        yield _row(f"augmentation: {name}", count, timing)


def first_pass(paths: Sequence[Path]) -> Action:
    """Returns what reads, decodes and resizes files."""
    out = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    return lambda: load_images(paths, SIZE, progress=False, out=out)


def decode_alone(paths: Sequence[Path]) -> Action:
    """Returns what reads JPEG files and has libjpeg-turbo decode them, on all cores."""
    from simplejpeg import decode_jpeg

    def decode(path: Path) -> int:
        return decode_jpeg(path.read_bytes()).size

    return lambda: sum(in_threads(decode, paths))


def later_pass(pixels: Pixels) -> Action:
    """Returns what delivers an epoch of shuffled batches."""
    count = len(pixels)
    images = ImageSet(pixels, np.zeros(count, np.int32), tuple(map(str, range(count))), BATCH)

    def epoch() -> int:
        return sum(len(labels) for _, labels in images.training_dataset(epochs=1, seed=0))

    return epoch


def copy_memory(pixels: Pixels) -> Action:
    """Returns what copies the images."""
    copy = np.empty_like(pixels)

    def copied() -> Pixels:
        np.copyto(copy, pixels)
        return copy

    return copied


def augment_all(pixels: Pixels, kind: Augmentation) -> Action:
    """Returns what augments all images, in batches on all cores as the pipeline does."""
    draws = draw(kind, count=len(pixels), size=pixels.shape[1], seed=0, epoch=0)
    batches = [np.arange(i, min(i + BATCH, len(pixels))) for i in range(0, len(pixels), BATCH)]

    def augmented(chosen: npt.NDArray[np.intp]) -> int:
        return len(augment(pixels[chosen], kind, draws[chosen]))

    return lambda: sum(in_threads(augmented, batches))


def _row(name: str, count: int, timing: Timing, limit: Timing | None = None, limit_name: str = "") -> Row:
    return Row(
        name,
        count / timing.seconds,
        "images/s",
        limit=count / limit.seconds if limit else None,
        limit_name=limit_name if limit else "",
        cores=timing.cores,
        noise=timing.noise,
    )

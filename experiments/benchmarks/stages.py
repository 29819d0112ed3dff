"""What is done with each image of a data set, from files to a report, on as many images as are asked for."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import encode_jpeg
from cnnzoo.data.manifest import ImageRecord, Manifest, build_manifest
from cnnzoo.files import cache_dir, sha256_of
from cnnzoo.limits import in_threads
from experiments.benchmarks.clock import lap

CLASSES = ("crack", "plain")
FILES = 2000  # different ones; the others are links to them
SIDE = 64  # pixels of the files
SMALL = 32  # pixels that they are decoded to and trained at
GROUP = 5  # images of a group

Action = Callable[[], object]


@dataclass(frozen=True)
class Stage:
    """A stage of the way from files to a report.

    Attributes:
        name: as in the table.
        prepare: makes what it needs for so many images in a folder, and returns what is measured.
        budget: bytes an image that it may take at most, beside the pixels that it is asked to hold.
    """

    name: str
    prepare: Callable[[int, Path], Action]
    budget: int


def linked_tiles(count: int, folder: Path) -> Manifest:
    """Draws files, fills a folder per class with links to them, and returns what a manifest would say."""
    from cnnzoo.data.sources.concrete import draw_tile

    tiles = folder / "tiles"
    tiles.mkdir()
    files = []
    for number in range(min(FILES, count)):
        tile, _ = draw_tile(np.random.default_rng(number), crack=number % 2 == 0, size=SIDE)
        files.append(tiles / f"{number}.jpg")
        files[-1].write_bytes(encode_jpeg(tile, 90))
    digests = [sha256_of(file) for file in files]
    images = []
    for label, name in enumerate(CLASSES):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(label, count, len(CLASSES)):
            path = f"{name}/{number:07}.jpg"
            (folder / "images" / path).symlink_to(files[number % len(files)])
            images.append(ImageRecord(path, label, SIDE, SIDE, "RGB", digests[number % len(files)]))
    return Manifest(folder / "images", CLASSES, tuple(images))


def _listing(count: int, folder: Path) -> Action:
    root = linked_tiles(count, folder).root
    return lambda: build_manifest(root, progress=False)


def _saving(count: int, folder: Path) -> Action:
    manifest = drawn_manifest(count)

    def save_and_load() -> str:
        manifest.save(folder / "manifest.json")
        return Manifest.load(folder / "manifest.json").fingerprint

    return save_and_load


def drawn_manifest(count: int) -> Manifest:
    """Returns a manifest of images that are no files, each of another content."""
    images = [
        ImageRecord(f"{CLASSES[label]}/{i:07}.jpg", label, SIDE, SIDE, "RGB", f"{i:064x}")
        for label in range(len(CLASSES))
        for i in range(label, count, len(CLASSES))
    ]
    return Manifest(Path("drawn"), CLASSES, tuple(images))


def _splitting(count: int, folder: Path) -> Action:
    from cnnzoo.data.splits import split_manifest

    manifest, groups = drawn_manifest(count), np.arange(count) // GROUP
    return lambda: split_manifest(manifest, groups=groups)


def _looking_for_twins(count: int, folder: Path) -> Action:
    """Measures the search alone: textures are drawn tile by tile, of which no two are alike."""
    from cnnzoo.data.audit.twins import TwinIndex

    index = TwinIndex(count)
    for _ in in_threads(lambda item: index.add(*item), enumerate(islice(rough_tiles(), count))):
        pass
    return lambda: index.find(progress=False)


def rough_tiles() -> Iterator[npt.NDArray[np.uint8]]:
    """Yields gray tiles of rough surfaces without end, of which no two overlap."""
    from cnnzoo.data.audit.twins import SIDE as TILE

    rng, side = np.random.default_rng(3), 21 * TILE
    rows, columns = np.fft.fftfreq(side), np.fft.rfftfreq(side)
    # Noise of all scales, the finer the fainter.
    fainter = 1 / np.maximum(np.hypot(rows[:, None], columns), 1 / side)
    while True:
        rough = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * fainter)
        surface = np.clip(128 + 25 * rough / rough.std(), 0, 255).astype(np.uint8)
        for top in range(0, side, TILE):
            for left in range(0, side, TILE):
                yield surface[top : top + TILE, left : left + TILE]


def _decoding(count: int, folder: Path) -> Action:
    from cnnzoo.data.pipeline import load_image_set

    manifest = linked_tiles(count, folder)
    return lambda: load_image_set(manifest, image_size=SMALL)


def _epoch(count: int, folder: Path) -> Action:
    _deliver(1)  # TensorFlow's start is no image's
    return lambda: _deliver(count)


def _deliver(count: int) -> int:
    """Has the pipeline deliver one epoch of augmented batches, all of the same pixels."""
    from cnnzoo.data.augment import Augmentation
    from cnnzoo.data.pipeline import ImageSet

    pixels = np.broadcast_to(np.zeros((1, SMALL, SMALL, 3), np.uint8), (count, SMALL, SMALL, 3))
    images = ImageSet(pixels, np.zeros(count, np.int32), ("",) * count, 64)
    augmentation = Augmentation(horizontal_flip=True, rotation=0.1)
    batches = images.training_dataset(epochs=1, seed=0, augmentation=augmentation)
    return sum(len(labels) for _, labels in batches)


def _verdicts(count: int, folder: Path) -> Action:
    """Measures what a report does with each test image of a run: its line, its interval, its paired test."""
    from cnnzoo.data.pipeline import ImageSet
    from cnnzoo.evaluation.scores import score
    from cnnzoo.evaluation.statistics import accuracy_interval, paired_p_value
    from experiments.runs.predictions import read_verdicts, write_predictions

    paths = tuple(image.path for image in drawn_manifest(count).images)
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    pixels = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (count, 1, 1, 3))
    images = ImageSet(pixels, labels, paths, 64)
    sure = np.random.default_rng(0).beta(9, 1, count).astype(np.float32)
    probabilities = np.where(labels[:, None] == np.arange(len(CLASSES)), sure[:, None], 1 - sure[:, None])
    groups = (np.arange(count) // GROUP).tolist()

    def write_and_judge() -> float:
        file = folder / "verdicts.csv"
        write_predictions(file, images, score(labels, probabilities), CLASSES, groups)
        found = read_verdicts(file, CLASSES)
        right = found.right[None]
        accuracy_interval(right, found.groups)
        return paired_p_value(right, np.roll(right, 1), found.groups)

    return write_and_judge


STAGES = {
    stage.name: stage
    for stage in (
        Stage("manifest", _listing, 2000),
        Stage("manifest, saved and loaded", _saving, 2000),
        Stage("grouped split", _splitting, 2000),
        Stage("decode", _decoding, 2000 + 3 * SMALL**2),
        Stage("epoch", _epoch, 2000),
        Stage("report: verdicts of a run", _verdicts, 2000),
        Stage("audit: search for twins", _looking_for_twins, 16_000),
    )
}


@dataclass(frozen=True)
class Cost:
    """What a stage took for so many images: wall and processor seconds, bytes at its peak and before it."""

    stage: str
    images: int
    seconds: float
    cpu_seconds: float
    peak: int
    before: int


def cost_of(name: str, count: int) -> Cost:
    """Measures a stage once, in this process, whose memory should hold nothing else."""
    with TemporaryDirectory(prefix="cnnzoo-bench-", dir=cache_dir()) as folder:
        action = STAGES[name].prepare(count, Path(folder))
        gc.collect()
        # What was reached so far is forgotten: the peak is that of the stage with what it is given.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _memory("VmRSS")
        took = lap(action)
        return Cost(name, count, took.seconds, took.cpu_seconds, _memory("VmHWM"), before)


def bytes_an_image(few: Cost, many: Cost) -> float:
    """Returns how much each image between two numbers of them adds to the peak."""
    return (many.peak - few.peak) / (many.images - few.images)


def _memory(field: str) -> int:
    """Bytes that Linux counts for this process: VmRSS now, VmHWM at the peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))

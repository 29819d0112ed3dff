"""A phase of a recipe, trained by cnnzoo and by rivals in turns, an epoch each."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import keras

import cnnzoo
from cnnzoo.data.manifest import Manifest
from cnnzoo.data.splits import Split
from cnnzoo.models.transfer import backbone_of, set_trainable
from cnnzoo.training.config import Phase
from cnnzoo.training.progress import Progress
from experiments.benchmarks import arithmetic
from experiments.benchmarks.clock import Lap, Timing, lap
from experiments.benchmarks.rivals import plain_keras
from experiments.recipes.recipe import Recipe

Epoch = Callable[[], Lap]


@dataclass(frozen=True)
class Speeds:
    """Times of an epoch of `images` images by cnnzoo and by each rival, and of the arithmetic alone."""

    images: int
    ours: Timing
    rivals: Mapping[str, Timing]
    limit: float


def train_in_turns(
    recipe: Recipe,
    phase: Phase,
    manifest: Manifest,
    rivals: Mapping[str, Epoch],
    *,
    weights: str,
    rounds: int,
) -> Speeds:
    """Trains a phase for an epoch to warm up and `rounds` others; each rival has its turn after each."""
    laps: dict[str, list[Lap]] = {name: [] for name in ("ours", *rivals)}
    products: list[Lap] = []
    model = recipe.build_model(num_classes=len(manifest.class_names), weights_file=weights)
    cpu = time.process_time()

    def turn(now: Progress) -> None:
        nonlocal cpu
        if now.result is None:
            return
        laps["ours"].append(Lap(now.result.seconds, time.process_time() - cpu))
        for name, epoch in rivals.items():
            laps[name].append(epoch())
        products.append(lap(arithmetic.multiply_matrices))
        cpu = time.process_time()

    config = replace(recipe.config, phases=(replace(phase, epochs=1 + rounds, patience=None),))
    cnnzoo.fit(model, _all_to_train(manifest, recipe), config, progress=turn)
    times = {name: Timing.of(done[1:]) for name, done in laps.items()}
    rate = arithmetic.FLOPS / Timing.of(products[1:]).seconds
    seconds = len(manifest.images) * arithmetic.training_flops(model) / rate
    return Speeds(len(manifest.images), times.pop("ours"), times, limit=seconds)


def _all_to_train(manifest: Manifest, recipe: Recipe) -> "cnnzoo.data.pipeline.Datasets":
    everything = tuple(range(len(manifest.images)))
    few = everything[: recipe.batch_size]  # validation is not what is timed
    return cnnzoo.load_datasets(
        manifest,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        split=Split(train=everything, validation=few, test=few),
        progress=False,
    )


def flops_of(recipe: Recipe, phase: Phase) -> int:
    """Returns the multiply-adds of a training step for one image."""
    model = recipe.build_model(num_classes=2, weights_file="")
    set_trainable(model, phase.trainable)
    return arithmetic.training_flops(model)


@contextmanager
def weights_of(recipe: Recipe, given: str) -> Iterator[str]:
    """Gives the file that a recipe starts from.

    Where it should be a pretrained one and none is given, it has random weights, which take as long.
    """
    if given or not recipe.pretrained:
        yield given
        return
    with TemporaryDirectory(prefix="cnnzoo-bench-") as folder:
        file = Path(folder, "random.weights.h5")
        backbone = backbone_of(recipe.build_model(num_classes=2, weights_file=""))
        assert backbone is not None
        backbone.save_weights(file)
        yield str(file)


def plain_epochs(recipe: Recipe, phase: Phase, folder: Path, *, num_classes: int, weights: str) -> Epoch:
    """Returns what trains a plain Keras model for an epoch."""
    images = plain_keras.dataset(folder, recipe)
    model = plain_keras.model(recipe, phase, num_classes=num_classes, weights_file=weights)
    clock = EpochClock()

    def epoch() -> Lap:
        model.fit(images, epochs=1, shuffle=False, verbose=0, callbacks=[clock])
        return clock.lap

    return epoch


class EpochClock(keras.callbacks.Callback):
    """The seconds of the latest epoch, without what is before and behind it."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.lap = Lap(time.perf_counter() - self._wall, time.process_time() - self._cpu)

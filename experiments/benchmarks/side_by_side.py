"""A phase of a recipe, trained by cnnzoo and by rivals in turns, an epoch each."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import keras

import cnnzoo
from cnnzoo.data.manifest import Manifest
from cnnzoo.data.splits import Split
from cnnzoo.models.shipped import shipped_file, shipped_models
from cnnzoo.models.transfer import backbone_of, set_trainable
from cnnzoo.training.config import Phase, TrainConfig
from cnnzoo.training.progress import Progress
from experiments.benchmarks import arithmetic
from experiments.benchmarks.clock import Lap, Timing, lap
from experiments.benchmarks.rivals import plain_keras
from experiments.recipes.recipe import Recipe

Epoch = Callable[[], Lap]


@dataclass(frozen=True)
class Speeds:
    """Seconds of an epoch for one image.

    Attributes:
        ours: by cnnzoo.
        rivals: by each rival.
        limit: of its multiply-adds, at the rate of a matrix product.
        once: seconds for an image before the first epoch, where frozen layers are computed once.
    """

    ours: Timing
    rivals: Mapping[str, Timing]
    limit: float | None
    once: float = 0.0


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

    cnnzoo.fit(model, _all_to_train(manifest, recipe), _short(recipe, [phase], rounds), progress=turn)
    count = len(manifest.images)
    times = {name: Timing.of(done[1:]).for_one_of(count) for name, done in laps.items()}
    rate = arithmetic.FLOPS / Timing.of(products[1:]).seconds
    return Speeds(times.pop("ours"), times, limit=arithmetic.training_flops(model) / rate)


def train_on_views(
    recipe: Recipe, phases: Sequence[Phase], manifest: Manifest, *, weights: str, rounds: int
) -> list[Speeds]:
    """Trains phases whose frozen layers are computed once, all in one training as they share what is kept.

    The first one's `once` is that of all.
    """
    laps: list[list[Lap]] = [[] for _ in phases]
    frozen = Frozen()
    model = recipe.build_model(num_classes=len(manifest.class_names), weights_file=weights)
    cpu = time.process_time()

    def heard(now: Progress) -> None:
        nonlocal cpu
        if now.frozen:
            frozen.heard(now)
        elif now.result is not None:
            laps[now.phase].append(Lap(now.result.seconds, time.process_time() - cpu))
        cpu = time.process_time()

    cnnzoo.fit(model, _all_to_train(manifest, recipe), _short(recipe, phases, rounds), progress=heard)
    count = len(manifest.images)
    times = [Timing.of(done[1:]).for_one_of(count) for done in laps]
    once = [frozen.seconds / count, *(0.0 for _ in times[1:])]
    return [Speeds(timing, {}, limit=None, once=first) for timing, first in zip(times, once, strict=True)]


class Frozen:
    """What it takes to compute frozen layers once: by how fast that goes, which leaves tracing them out."""

    def __init__(self) -> None:
        self.passes: list[list[tuple[int, int, float]]] = []

    def heard(self, now: Progress) -> None:
        """Notes how many images have gone through, and of how many."""
        if not self.passes or now.step < self.passes[-1][-1][0]:
            self.passes.append([])
        self.passes[-1].append((now.step, now.steps, time.perf_counter()))

    @property
    def seconds(self) -> float:
        """Of all images through each pass over frozen layers."""
        return sum(
            done[-1][1] * (done[-1][2] - done[0][2]) / (done[-1][0] - done[0][0])
            for done in self.passes
            if len(done) > 1
        )


def _short(recipe: Recipe, phases: Sequence[Phase], rounds: int) -> TrainConfig:
    short = tuple(replace(phase, epochs=1 + rounds, patience=None) for phase in phases)
    return replace(recipe.config, phases=short)


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
    if recipe.model in shipped_models():
        yield str(shipped_file(recipe.model))
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

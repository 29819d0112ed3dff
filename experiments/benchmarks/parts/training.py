"""Training each phase of each recipe beside plain Keras, and what that makes of a whole training."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

import keras

from cnnzoo.data.manifest import Manifest
from cnnzoo.errors import one_line
from cnnzoo.training.config import Phase
from experiments.benchmarks import arithmetic
from experiments.benchmarks.images import first_images, linked, manifest_of
from experiments.benchmarks.registry import Request, Tell
from experiments.benchmarks.rivals import plain_keras, pytorch
from experiments.benchmarks.rows import Row
from experiments.benchmarks.side_by_side import (
    Speeds,
    flops_of,
    plain_epochs,
    train_in_turns,
    train_on_views,
    weights_of,
)
from experiments.recipes.lookup import find_recipes
from experiments.recipes.published import USUAL
from experiments.recipes.recipe import FAST_SUFFIX, Recipe

EPOCH_FLOPS = 4e11  # multiply-adds of an epoch at most: some ten seconds on two cores
LEAST_BATCHES = 4  # of an epoch
TRAINING_IMAGES = 14_000  # of METU's half, which whole trainings are reckoned for
OWN = "crack_net"  # the recipe that is no public project's

# Seconds of a recipe's epochs, by cnnzoo and in plain Keras.
Seconds = tuple[float, float]


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields a row for each phase, for each recipe by its epochs, and for the public ones together."""
    tell(f"listing images of {request.data}")
    session = Session(request, manifest_of(request), pytorch.has_torch(request.python))
    whole: dict[str, Seconds] = {}
    for recipe in find_recipes(request.recipes):
        tell(f"training {recipe.name}")
        speeds: list[Speeds] = []
        try:
            for phase, speed in zip(recipe.config.phases, session.speeds(recipe), strict=True):
                speeds.append(speed)
                yield from _phase_rows(recipe, phase, speed)
        except Exception as error:
            yield Row(recipe.name, None, "", note=one_line(error))
            continue
        whole[recipe.name] = _seconds(recipe, speeds)
        epochs = " + ".join(str(phase.epochs) for phase in recipe.config.phases)
        name = f"{recipe.name}: {epochs} epochs of {TRAINING_IMAGES:,} images"
        yield _seconds_row(name, whole[recipe.name])
    public = [name for name in USUAL if name in whole and name != OWN]
    if len(public) > 1:
        what = f"the {len(public)} public recipes"
        yield _sum_row(f"{what}, by their epochs", [whole[name] for name in public])
        twins = [whole.get(f"{name}{FAST_SUFFIX}", whole[name]) for name in public]
        if twins != [whole[name] for name in public]:
            yield _sum_row(f"{what}, with frozen layers computed once", twins)


@dataclass
class Session:
    """What was measured so far: phases that differ in their epochs alone are measured once.

    Attributes:
        request: what is asked.
        manifest: of the images.
        torch: whether PyTorch is measured too.
        known: the speeds of phases, by what decides them.
    """

    request: Request
    manifest: Manifest
    torch: bool = False
    known: dict[str, Speeds] = field(default_factory=dict)

    def speeds(self, recipe: Recipe) -> Iterator[Speeds]:
        """Yields those of each phase; beside a phase with views stands plain Keras, which knows none."""
        viewed: Iterator[Speeds] = iter(())
        for phase in recipe.config.phases:
            plain = replace(phase, epochs=1, patience=None, views=0)
            if (key := _key(recipe, plain)) not in self.known:
                self.known[key] = self.phase(recipe, plain)
            if not phase.views:
                yield self.known[key]
                continue
            if (speeds := next(viewed, None)) is None:
                viewed = iter(self.views(recipe))
                speeds = next(viewed)
            yield replace(speeds, rivals=self.known[key].rivals)

    def phase(self, recipe: Recipe, phase: Phase) -> Speeds:
        """Trains a phase by cnnzoo and its rivals, in turns, on as many images as take some seconds."""
        manifest = self._images(recipe, flops_of(recipe, phase))
        with ExitStack() as stack:
            stack.callback(keras.backend.clear_session)
            given = self.request.weights.get(recipe.model, "")
            weights = stack.enter_context(weights_of(recipe, given))
            folder = stack.enter_context(linked(manifest))
            classes = len(manifest.class_names)
            plain = plain_epochs(recipe, phase, folder, num_classes=classes, weights=given)
            rivals = {plain_keras.NAME: plain}
            if self.torch and recipe.model in pytorch.NETWORKS:
                ask = stack.enter_context(pytorch.process(self.request.python, recipe, phase))
                rivals[pytorch.NAME] = partial(ask, "train", len(manifest.images))
            rounds = self.request.rounds
            return train_in_turns(recipe, phase, manifest, rivals, weights=weights, rounds=rounds)

    def views(self, recipe: Recipe) -> list[Speeds]:
        """Trains the phases of a recipe that compute frozen layers once."""
        phases = [phase for phase in recipe.config.phases if phase.views]
        manifest = self._images(recipe, max(flops_of(recipe, phase) for phase in phases))
        try:
            with weights_of(recipe, self.request.weights.get(recipe.model, "")) as weights:
                rounds = self.request.rounds
                return train_on_views(recipe, phases, manifest, weights=weights, rounds=rounds)
        finally:
            keras.backend.clear_session()

    def _images(self, recipe: Recipe, flops: int) -> Manifest:
        count = max(LEAST_BATCHES * recipe.batch_size, EPOCH_FLOPS / flops)
        return first_images(self.manifest, round(count / len(self.manifest.class_names)))


def _key(recipe: Recipe, phase: Phase) -> str:
    """What phases of the same speed share."""
    config = replace(recipe.config, phases=(phase,))
    return repr((recipe.model, recipe.arguments, recipe.image_size, recipe.batch_size, config))


def _phase_rows(recipe: Recipe, phase: Phase, speeds: Speeds) -> Iterator[Row]:
    known = {"all": "all layers", "head": "the head"}
    trained = known.get(str(phase.trainable), f"from {phase.trainable} on")
    note = f"{phase.views} views of each image through the frozen layers, once" if phase.views else ""
    if speeds.once:
        note += f": {1000 * speeds.once:.1f} ms an image"
    for number, (name, rival) in enumerate(speeds.rivals.items()):
        beside = f", beside {name.partition(' ')[0]}" if number else ""
        yield Row(
            f"{recipe.name}: training {trained}{beside}",
            1 / speeds.ours.seconds,
            "images/s",
            rival=1 / rival.seconds,
            rival_name=name,
            limit=1 / speeds.limit if speeds.limit else None,
            limit_name=arithmetic.NAME if speeds.limit else "",
            cores=speeds.ours.cores,
            noise=max(speeds.ours.noise, rival.noise),
            note=note,
        )


def _seconds(recipe: Recipe, speeds: Sequence[Speeds]) -> Seconds:
    """Seconds of a recipe's epochs over `TRAINING_IMAGES`, by cnnzoo and in plain Keras."""
    ours = plain = 0.0
    for phase, speed in zip(recipe.config.phases, speeds, strict=True):
        ours += TRAINING_IMAGES * (speed.once + phase.epochs * speed.ours.seconds)
        plain += TRAINING_IMAGES * phase.epochs * speed.rivals[plain_keras.NAME].seconds
    return ours, plain


def _sum_row(name: str, each: Sequence[Seconds]) -> Row:
    return _seconds_row(name, (sum(ours for ours, _ in each), sum(plain for _, plain in each)))


def _seconds_row(name: str, seconds: Seconds) -> Row:
    ours, plain = seconds
    return Row(name, ours, "s", rival=plain, rival_name=plain_keras.NAME, less_is_better=True)

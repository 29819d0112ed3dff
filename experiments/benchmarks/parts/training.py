"""Training each phase of each recipe beside plain Keras, and what that makes of a whole training."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
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
from experiments.benchmarks.side_by_side import Speeds, flops_of, plain_epochs, train_in_turns, weights_of
from experiments.recipes.lookup import find_recipes
from experiments.recipes.recipe import Recipe

EPOCH_FLOPS = 4e11  # multiply-adds of an epoch at most: some ten seconds on two cores
LEAST_BATCHES = 4  # of an epoch
TRAINING_IMAGES = 14_000  # of METU's half, which whole trainings are reckoned for
OWN = "crack_net"  # the recipe that is no public project's

# Seconds of a recipe's epochs, by cnnzoo and in plain Keras.
Seconds = tuple[float, float]


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields a row for each phase, for each recipe by its epochs, and for the public ones together."""
    tell(f"listing images of {request.data}")
    manifest = manifest_of(request)
    torch = pytorch.has_torch(request.python)
    known: dict[str, Speeds] = {}
    whole: dict[str, Seconds] = {}
    for recipe in find_recipes(request.recipes):
        speeds: list[Speeds] = []
        try:
            for phase in recipe.config.phases:
                tell(f"training {recipe.name}: {phase.trainable}")
                key = _key(recipe, phase)
                first = key not in known
                if first:
                    known[key] = measure_phase(recipe, phase, manifest, request, torch)
                speeds.append(known[key])
                yield from _phase_rows(recipe, phase, known[key], "" if first else "measured above")
        except Exception as error:
            yield Row(recipe.name, None, "", note=one_line(error))
            continue
        whole[recipe.name] = _seconds(recipe, speeds)
        epochs = " + ".join(str(phase.epochs) for phase in recipe.config.phases)
        yield _seconds_row(
            f"{recipe.name}: {epochs} epochs of {TRAINING_IMAGES:,} images", whole[recipe.name]
        )
    public = [seconds for name, seconds in whole.items() if name != OWN]
    if len(public) > 1:
        ours, plain = zip(*public, strict=True)
        yield _seconds_row(
            f"the {len(public)} public recipes above, by their epochs", (sum(ours), sum(plain))
        )


def measure_phase(
    recipe: Recipe, phase: Phase, manifest: Manifest, request: Request, torch: bool = False
) -> Speeds:
    """Trains a phase by cnnzoo and in plain Keras, in turns, on as many images as take some seconds."""
    count = max(LEAST_BATCHES * recipe.batch_size, EPOCH_FLOPS / flops_of(recipe, phase))
    manifest = first_images(manifest, round(count / len(manifest.class_names)))
    given = request.weights.get(recipe.model, "")
    try:
        with ExitStack() as stack:
            weights = stack.enter_context(weights_of(recipe, given))
            folder = stack.enter_context(linked(manifest))
            classes, images = len(manifest.class_names), len(manifest.images)
            plain = plain_epochs(recipe, phase, folder, num_classes=classes, weights=given)
            rivals = {plain_keras.NAME: plain}
            if torch and recipe.model in pytorch.NETWORKS:
                ask = stack.enter_context(pytorch.process(request.python, recipe, phase))
                rivals[pytorch.NAME] = partial(ask, "train", images)
            return train_in_turns(recipe, phase, manifest, rivals, weights=weights, rounds=request.rounds)
    finally:
        keras.backend.clear_session()


def _key(recipe: Recipe, phase: Phase) -> str:
    """What phases of the same speed share."""
    same = replace(phase, epochs=1, patience=None)
    config = replace(recipe.config, phases=(same,))
    return repr((recipe.model, recipe.arguments, recipe.image_size, recipe.batch_size, config))


def _phase_rows(recipe: Recipe, phase: Phase, speeds: Speeds, note: str) -> Iterator[Row]:
    known = {"all": "all layers", "head": "the head"}
    trained = known.get(str(phase.trainable), f"from {phase.trainable} on")
    for number, (name, rival) in enumerate(speeds.rivals.items()):
        beside = f", beside {name.partition(' ')[0]}" if number else ""
        yield Row(
            f"{recipe.name}: training {trained}{beside}",
            speeds.images / speeds.ours.seconds,
            "images/s",
            rival=speeds.images / rival.seconds,
            rival_name=name,
            limit=speeds.images / speeds.limit,
            limit_name=arithmetic.NAME,
            cores=speeds.ours.cores,
            noise=max(speeds.ours.noise, rival.noise),
            note=note,
        )


def _seconds(recipe: Recipe, speeds: list[Speeds]) -> Seconds:
    """Seconds of a recipe's epochs over `TRAINING_IMAGES`, by cnnzoo and in plain Keras."""
    ours = plain = 0.0
    for phase, speed in zip(recipe.config.phases, speeds, strict=True):
        epochs = phase.epochs * TRAINING_IMAGES / speed.images
        ours += epochs * speed.ours.seconds
        plain += epochs * speed.rivals[plain_keras.NAME].seconds
    return ours, plain


def _seconds_row(name: str, seconds: Seconds) -> Row:
    ours, plain = seconds
    return Row(name, ours, "s", rival=plain, rival_name=plain_keras.NAME, less_is_better=True)

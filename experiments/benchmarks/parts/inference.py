"""Asking each recipe's model about images that lie in memory."""

from collections.abc import Iterator

import keras
import numpy as np

from cnnzoo.data.pipeline import ImageSet
from cnnzoo.errors import one_line
from cnnzoo.evaluation.scores import evaluate
from cnnzoo.models.flops import count_flops
from experiments.benchmarks import arithmetic
from experiments.benchmarks.clock import in_turns
from experiments.benchmarks.registry import Request, Tell
from experiments.benchmarks.rivals import plain_keras
from experiments.benchmarks.rows import Row
from experiments.benchmarks.side_by_side import weights_of
from experiments.recipes.lookup import find_recipes
from experiments.recipes.recipe import Recipe

IMAGES_FLOPS = 1e11  # multiply-adds of a lap at most: a second or two on two cores
BATCH = 32


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields a row for each network and size: images/s in batches of 32."""
    seen = set()
    for recipe in find_recipes(request.recipes):
        key = repr((recipe.model, recipe.arguments, recipe.image_size))
        if key in seen:
            continue
        seen.add(key)
        tell(f"asking {recipe.name}")
        try:
            yield measure_model(recipe, request)
        except Exception as error:
            yield Row(recipe.name, None, "", note=one_line(error))
        finally:
            keras.backend.clear_session()


def measure_model(recipe: Recipe, request: Request) -> Row:
    """Predicts random images by cnnzoo and in plain Keras, in turns."""
    given = request.weights.get(recipe.model, "")
    with weights_of(recipe, given) as weights:
        ours = recipe.build_model(num_classes=2, weights_file=weights)
    phase = recipe.config.phases[-1]
    plain = plain_keras.model(recipe, phase, num_classes=2, weights_file=given)
    flops = count_flops(ours)
    count = BATCH * max(1, min(request.few // BATCH, round(IMAGES_FLOPS / flops / BATCH)))
    shape = (count, recipe.image_size, recipe.image_size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images = ImageSet(pixels, np.arange(count, dtype=np.int32) % 2, tuple(map(str, range(count))), BATCH)
    times = in_turns(
        {
            "ours": lambda: evaluate(ours, images),
            "plain": lambda: plain.predict(pixels, batch_size=BATCH, verbose=0),
            "limit": arithmetic.multiply_matrices,
        },
        request.rounds,
    )
    return Row(
        f"{recipe.name}: inference in batches of {BATCH}",
        count / times["ours"].seconds,
        "images/s",
        rival=count / times["plain"].seconds,
        rival_name=plain_keras.NAME,
        limit=arithmetic.FLOPS / times["limit"].seconds / flops,
        limit_name=arithmetic.NAME,
        cores=times["ours"].cores,
        noise=max(times["ours"].noise, times["plain"].noise),
    )

"""What each recipe starts from: random, published or given weights."""

from collections.abc import Sequence
from pathlib import Path

from cnnzoo.backend import import_keras
from cnnzoo.errors import InputError
from cnnzoo.files import sha256_of
from cnnzoo.models.shipped import shipped_file, shipped_models
from experiments.cli.apart import apart
from experiments.cli.process import quiet_stderr
from experiments.cli.say import Say, say
from experiments.recipes.recipe import Recipe


def given_weights(pairs: Sequence[str], recipes: Sequence[Recipe]) -> dict[str, str]:
    """Reads `--weights MODEL=FILE`: the file, or "random", by model.

    Raises:
        InputError: a pair is none, or names a model without pretrained weights or no file.
    """
    given = {}
    models = sorted({recipe.model for recipe in recipes if recipe.pretrained})
    for pair in pairs:
        model, equals, file = pair.partition("=")
        if not equals or not file:
            raise InputError(f"--weights {pair}: expected MODEL=FILE, as in mobilenet_v2=weights.h5")
        if model not in models:
            raise InputError(f"--weights {pair}: no chosen recipe takes weights for {model!r}; {models} do")
        if file != "random" and not Path(file).is_file():
            raise InputError(f"--weights {pair}: no such file")
        given[model] = file
    return given


def starting_weights(
    recipes: Sequence[Recipe], given: dict[str, str], say: Say = say
) -> dict[str, tuple[str, str]]:
    """Returns how the record names what a recipe starts from, and its file: none for random weights."""
    weights = {recipe.name: ("random", "") for recipe in recipes}
    published = []
    for recipe in recipes:
        file = given.get(recipe.model, "")
        if not recipe.pretrained or file == "random":
            continue
        if not file and recipe.model in shipped_models():
            file = str(shipped_file(recipe.model))
        if not file:
            published.append(recipe)
            continue
        known = f"{Path(file).name} (sha256 {sha256_of(file)[:12]})"
        weights[recipe.name] = known, str(Path(file).resolve())
    # Keras, which fetches, stays out of this process: its memory would be held through all runs.
    found, out_of_reach = apart(_fetch_all, published) if published else ({}, {})
    for model, error in out_of_reach.items():
        why = error.told({"weights": f"--weights {model}=FILE"})
        say(f"{model}: random weights instead of ImageNet's, training all layers: {why}", warning=True)
    return weights | {name: ("imagenet", str(file)) for name, file in found.items()}


def _fetch_all(recipes: Sequence[Recipe]) -> tuple[dict[str, Path], dict[str, InputError]]:
    """Returns the files by recipe, and why there are none by model."""
    found: dict[str, Path] = {}
    out_of_reach: dict[str, InputError] = {}
    for recipe in recipes:
        # One answer speaks for all files of a model: a network that hangs is not asked again.
        if recipe.model not in out_of_reach:
            try:
                found[recipe.name] = _fetch(recipe)
            except InputError as error:
                out_of_reach[recipe.model] = error
    return found, out_of_reach


def _fetch(recipe: Recipe) -> Path:
    with quiet_stderr():
        import_keras()

        from cnnzoo.models.catalogue import download_published
    shape = (recipe.image_size, recipe.image_size, 3)
    return download_published(recipe.model, input_shape=shape, **recipe.arguments)

"""Recipes by name: published ones, files, and one for any model."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from cnnzoo.data.augment import Augmentation
from cnnzoo.errors import InputError
from cnnzoo.training.config import Phase, TrainConfig
from experiments.cli.process import quiet_stderr
from experiments.recipes.published import RECIPES
from experiments.recipes.recipe import Recipe, load_recipe


def for_model(name: str) -> Recipe:
    """Returns a recipe for any registered model: no project's, the same for all.

    With pretrained weights: the head for three epochs, then the last quarter of the backbone. From scratch:
    15 epochs of AdamW. Flips, quarter turns and light change in both.

    Raises:
        InputError: no model has this name.
    """
    from cnnzoo.models.catalogue import model_info

    info = model_info(name)
    head = Phase(epochs=3, trainable="head")
    tuned = Phase(epochs=5, learning_rate=1e-4, trainable=0.25, schedule="cosine")
    scratch = Phase(epochs=15, optimizer="adamw", schedule="cosine", weight_decay=0.05)
    return Recipe(
        name=name.replace("/", "_"),
        model=name,
        image_size=info.image_size,
        batch_size=32,
        config=TrainConfig(
            phases=(head, tuned) if info.weights_available else (scratch,),
            augmentation=Augmentation(horizontal_flip=True, quarter_turns=True, light=0.2),
        ),
        pretrained=info.weights_available,
    )


def find_recipes(names: Sequence[str]) -> list[Recipe]:
    """Returns recipes in order: named ones, those of .json files, and `for_model` for a model's name.

    Raises:
        InputError: a name is unknown or stands there twice, or a file can't be used.
    """
    recipes = [_find_recipe(name) for name in names]
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise InputError("--recipes: a recipe is named twice")
    return recipes


def _find_recipe(name: str) -> Recipe:
    if name.endswith(".json"):
        return load_recipe(Path(name))
    if name in RECIPES:
        return RECIPES[name]
    # Model names cost the import of Keras: only for a name that is no recipe's.
    from cnnzoo.models.catalogue import list_models

    with quiet_stderr():
        models = list_models()
    if name in models:
        return for_model(name)
    near = get_close_matches(name, [*RECIPES, *models]) or list(RECIPES)
    raise InputError(f"--recipes: unknown recipe {name!r}; did you mean {', '.join(near)}?")

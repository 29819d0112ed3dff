"""A point of a search space as a recipe, so that a trial trains what `compare` trains later."""

import json
from hashlib import sha256

from cnnzoo.files import file_stem
from cnnzoo.training.search import HyperParameters, sample
from experiments.recipes.recipe import Recipe

OWN = ("tuner/", "search/")  # names that start so are keras-tuner's and ours, not the model's


def recipe_from(hp: HyperParameters, model: str, *, epochs: int, pretrained: bool) -> Recipe:
    """Turns sampled values into a recipe; Hyperband's epochs, which come with them, have the last word."""
    chosen = sample(hp, model, epochs=hp.values.get("tuner/epochs", epochs), pretrained=pretrained)
    return Recipe(
        name=f"{file_stem(model)}_tuned",
        model=model,
        image_size=chosen.image_size,
        batch_size=chosen.batch_size,
        config=chosen.config,
        arguments=chosen.arguments,
        pretrained=pretrained,
    )


def declared(model: str, *, pretrained: bool) -> HyperParameters:
    """Returns the whole space of a model, with every value at its default."""
    hp = HyperParameters()
    sample(hp, model, epochs=1, pretrained=pretrained)
    return hp


def fingerprint(space: HyperParameters) -> str:
    """A hash of what is searched, the same for the same declaration."""
    return sha256(json.dumps(space.get_config()["space"], sort_keys=True).encode()).hexdigest()[:16]


def searched(values: dict[str, bool | int | float | str]) -> dict[str, bool | int | float | str]:
    """Returns the values of the model and its training alone, and Hyperband's epochs as `epochs`."""
    own = {name: value for name, value in values.items() if not name.startswith(OWN)}
    return own | ({"epochs": values["tuner/epochs"]} if "tuner/epochs" in values else {})

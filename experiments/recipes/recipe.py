"""A recipe: a model with its arguments and how it is trained; as a JSON file too."""

import json
import re
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args

from cnnzoo.data.augment import Augmentation
from cnnzoo.errors import InputError
from cnnzoo.files import write_whole
from cnnzoo.training.config import Phase, TrainConfig

if TYPE_CHECKING:
    import keras

RANDOM_WEIGHTS_RATE, RANDOM_WEIGHTS_BATCH = 4e-3, 32

USUAL_SIZE, SMALLEST = 160, 32  # pixels: what most recipes take, and what every model takes at least

_PLAIN = (bool, int, float, str, NoneType)


@dataclass(frozen=True)
class Recipe:
    """A model with its arguments, its input size and how it is trained.

    `pretrained` says that it starts from ImageNet weights.
    """

    name: str
    model: str
    image_size: int
    batch_size: int
    config: TrainConfig
    arguments: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = True

    def __post_init__(self) -> None:
        # JSON knows no tuples, and models are called with them.
        plain = {name: tuple(v) if isinstance(v, list) else v for name, v in self.arguments.items()}
        object.__setattr__(self, "arguments", plain)

    def capped(self, epochs: int | None) -> "Recipe":
        """Returns the recipe with at most `epochs` epochs in each phase."""
        if epochs is None:
            return self
        phases = tuple(replace(phase, epochs=min(phase.epochs, epochs)) for phase in self.config.phases)
        return replace(self, config=replace(self.config, phases=phases))

    def from_random_weights(self) -> "Recipe":
        """Returns the recipe for a model that starts from random weights, as long as it is.

        What suits a head on a trained backbone, such as Adam at 1e-4, trains no random network: all layers
        train in one phase, with AdamW on a cosine, in batches small enough for many steps.
        """
        phase = Phase(
            epochs=sum(phase.epochs for phase in self.config.phases),
            optimizer="adamw",
            learning_rate=RANDOM_WEIGHTS_RATE,
            schedule="cosine",
            weight_decay=0.05,
        )
        batch_size = min(self.batch_size, RANDOM_WEIGHTS_BATCH)
        return replace(self, batch_size=batch_size, config=replace(self.config, phases=(phase,)))

    def for_tiles(self, size: int) -> "Recipe":
        """Returns the recipe for tiles of `size` pixels: smaller images in the proportion of the recipes."""
        return replace(self, image_size=max(SMALLEST, round(self.image_size * size / USUAL_SIZE)))

    def build_model(self, *, num_classes: int, weights_file: str) -> "keras.Model":
        """Builds the untrained model, from random weights where `weights_file` is empty."""
        from cnnzoo.models.catalogue import create_model

        return create_model(
            self.model,
            input_shape=(self.image_size, self.image_size, 3),
            num_classes=num_classes,
            weights=weights_file or None,
            **self.arguments,
        )

    def as_dict(self) -> dict[str, Any]:
        """What identifies the recipe's training, for the record."""
        return {name: value for name, value in asdict(self).items() if name != "name"}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Recipe":
        """Turns what `dataclasses.asdict` gives, or a JSON file holds, into a recipe.

        Raises:
            InputError: a field is unknown, missing, of another type or of no usable value.
        """
        values = dict(values)
        config = _object(values.get("config"), "config")
        phases = config.get("phases")
        if not isinstance(phases, list | tuple):
            raise InputError("config.phases must be a list of phases")
        config["phases"] = tuple(_build(Phase, phase, "a phase") for phase in phases)
        config["augmentation"] = _build(Augmentation, config.get("augmentation", {}), "config.augmentation")
        values["config"] = _build(TrainConfig, config, "config")
        values["arguments"] = _object(values.get("arguments", {}), "arguments")
        recipe = _build(Recipe, values, "the recipe")
        if not re.fullmatch(r"[\w.+-]+", recipe.name):
            raise InputError(f"name is {recipe.name!r}; files are named by it: letters, digits and -_.+ only")
        if min(recipe.image_size, recipe.batch_size) < 1:
            raise InputError("image_size and batch_size must be at least 1")
        return recipe

    def save(self, path: Path) -> None:
        """Writes the recipe as JSON, for `compare --recipes FILE.json`; an older file is replaced whole."""
        write_whole(path, json.dumps(asdict(self), indent=2) + "\n")


def load_recipe(path: Path) -> Recipe:
    """Reads what `Recipe.save` wrote, or a user did.

    Raises:
        InputError: the file can't be read or holds no recipe; the message names the file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Recipe.from_dict(_object(values, "the recipe"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # JSON and text; InputError is one too
        raise InputError(f"{path}: {error}") from None


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{name} must be an object with names and values")
    return dict(value)


def _build(kind: type, values: Any, name: str) -> Any:
    """Calls a dataclass with the values of a file, after a look at their names and types."""
    values = _object(values, name)
    known = {entry.name: entry for entry in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{name} has no field {key!r}; known: {', '.join(known)}")
        kinds = get_args(known[key].type) if isinstance(known[key].type, UnionType) else [known[key].type]
        plain = [part for part in kinds if part in _PLAIN]
        if plain and not any(_is(value, part) for part in plain):
            wanted = " or ".join(part.__name__ for part in plain)
            raise InputError(f"{key} of {name} is {value!r}; {wanted} is wanted")
    missing = [
        entry.name
        for entry in known.values()
        if entry.default is MISSING and entry.default_factory is MISSING and entry.name not in values
    ]
    if missing:
        raise InputError(f"{name} lacks {', '.join(missing)}")
    return kind(**values)


def _is(value: Any, kind: type) -> bool:
    """Like isinstance, but True is no number, and a whole number will do for a float."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)

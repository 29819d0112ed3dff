"""A recipe: a model with its arguments and how it is trained; as a JSON file too."""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.errors import InputError, printable
from cnnzoo.files import regular_file, write_whole
from cnnzoo.training.config import Phase, TrainConfig

if TYPE_CHECKING:
    import keras

RANDOM_WEIGHTS_RATE, RANDOM_WEIGHTS_BATCH = 4e-3, 32

USUAL_SIZE, SMALLEST = 160, 32  # pixels: what most recipes take, and what every model takes at least
FAST_SUFFIX = "_fast"  # of the twins that compute frozen layers once
LARGEST = 10_000  # side of an image, and images a step
LEAST_DRAWN, MOST_DRAWN = 20, 1_000_000
MOST_BYTES = 1 << 20  # of a recipe's file


@dataclass(frozen=True)
class Recipe:
    """A model with its arguments, its input size and how it is trained.

    `pretrained` says that it starts from ImageNet weights, or those in the package; `drawn` is the number of
    drawn tiles, with a crack and without, that train beside the images, which must show cracks in one of two
    classes. `several_views` says that the trained model answers by the mean of several views of an image,
    as `cnnzoo.evaluation.several_views` has them. Fewer training images than `epoch_images`
    pass several times in an epoch, each time augmented anew.
    """

    name: str
    model: str
    image_size: int
    batch_size: int
    config: TrainConfig
    arguments: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = True
    drawn: int = 0
    epoch_images: int = 0
    several_views: bool = False

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

    def with_views(self, views: int) -> "Recipe | None":
        """Returns the twin NAME_fast, which computes frozen layers once; None where no phase freezes any."""
        phases = tuple(
            phase if phase.trainable == "all" else replace(phase, views=views) for phase in self.config.phases
        )
        if phases == self.config.phases:
            return None
        return replace(self, name=f"{self.name}{FAST_SUFFIX}", config=replace(self.config, phases=phases))

    def for_tiles(self, size: int) -> "Recipe":
        """Returns the recipe for tiles of `size` pixels: smaller images in the proportion of the recipes."""
        return replace(self, image_size=max(SMALLEST, round(self.image_size * size / USUAL_SIZE)))

    def build_model(
        self, *, num_classes: int, weights_file: str, positive: int | None = None
    ) -> "keras.Model":
        """Builds the untrained model, from random weights where `weights_file` is empty.

        `positive` is the id of the class that shows cracks, for weights that know them.
        """
        from cnnzoo.models.catalogue import create_model
        from cnnzoo.models.shipped import shipped_models

        knows_cracks = weights_file and self.model in shipped_models()
        return create_model(
            self.model,
            input_shape=(self.image_size, self.image_size, 3),
            num_classes=num_classes,
            weights=weights_file or None,
            **({"cracked": positive if num_classes == 2 else None} if knows_cracks else {}),
            **self.arguments,
        )

    def as_dict(self) -> dict[str, Any]:
        """What identifies the recipe's training, for the record."""
        values = asdict(self)
        del values["name"]
        # Without what was added since, as records of before have it.
        for place, name in (
            (values, "drawn"),
            (values, "epoch_images"),
            (values, "several_views"),
            (values["config"]["augmentation"], "gamma"),
        ):
            if not place[name]:
                del place[name]
        for phase in values["config"]["phases"]:
            if phase["keep"] == "best":
                del phase["keep"]
        return values

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Recipe":
        """Turns what `dataclasses.asdict` gives, or a JSON file holds, into a recipe.

        Raises:
            InputError: a field is unknown, missing, of another type or of no usable value.
        """
        import msgspec

        try:
            recipe = msgspec.convert(values, Recipe)
        except msgspec.ValidationError as error:
            message, _, place = str(error).replace("`", "").partition(" - at $.")
            raise InputError(f"{place}: {message}" if place else message) from None
        if unknown := _unknown(values, asdict(recipe)):
            raise InputError(f"no field is named {unknown}")
        if not re.fullmatch(r"[\w.+-]{1,100}", recipe.name):
            raise InputError(
                f"name is {recipe.name!r}; files are named by it: at most 100 letters, digits and -_.+"
            )
        if not (0 < recipe.image_size <= LARGEST and 0 < recipe.batch_size <= LARGEST):
            raise InputError(f"image_size and batch_size must be at least 1 and at most {LARGEST:,}")
        if recipe.drawn and not LEAST_DRAWN <= recipe.drawn <= MOST_DRAWN:
            raise InputError(f"drawn is {recipe.drawn}; it must be 0, or {LEAST_DRAWN} to {MOST_DRAWN:,}")
        if not 0 <= recipe.epoch_images <= LARGEST:
            raise InputError(f"epoch_images is {recipe.epoch_images}; it must be 0 to {LARGEST:,}")
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
        with regular_file(path) as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise InputError(f"larger than {MOST_BYTES >> 20} MiB; a recipe is not")
        return Recipe.from_dict(json.loads(text, object_pairs_hook=_each_once))
    except OSError as error:
        raise InputError(f"{printable(path)}: {error.strerror}") from None
    except RecursionError:
        raise InputError(f"{printable(path)}: brackets within brackets without end; no recipe") from None
    except ValueError as error:  # JSON and text; InputError is one too
        raise InputError(f"{printable(path)}: {error}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{printable(twice)} stands there twice")
    return values


def _unknown(given: Any, known: Any) -> str:
    """Returns the first name in `given` that `known` lacks, with its place; empty where there is none."""
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            if name not in known:
                return f"{name}; there are {', '.join(known)}"
            if inner := _unknown(value, known[name]):
                return f"{name}.{inner}"
    if isinstance(given, list | tuple) and isinstance(known, list | tuple):
        return next(filter(None, map(_unknown, given, known)), "")
    return ""

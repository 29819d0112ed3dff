"""The one dict of architectures: a model file registers its entry points, everyone else asks by name."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cnnzoo.errors import InputError

if TYPE_CHECKING:
    import keras

SMALLEST_SIZE = 32  # five halvings leave one pixel

EntryPoint = TypeVar("EntryPoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class PublishedFile:
    """A weights file that its makers offer for download.

    Attributes:
        url: of the file.
        md5: its MD5, or SHA-256 where that is what they publish; None where they publish no hash.
        cached_as: its name in Keras's cache where that is not the one in the URL.
    """

    url: str
    md5: str | None = None
    cached_as: str = ""

    @property
    def file_name(self) -> str:
        """Its name in Keras's cache."""
        return self.cached_as or self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class ModelInfo:
    """What is known of an architecture without training it.

    Attributes:
        name: as in `create_model`.
        default_size: side in pixels, or a function that finds it out; `image_size` gives it.
        year: of the source.
        source: paper or project that it follows.
        url: of the source.
        weights_licence: of the published weights, empty where there are none.
        entry_point: function that builds it.
        weights_file: picks the published file; its arguments are some of the entry point's.
    """

    name: str
    default_size: int | Callable[[], int]
    year: int
    source: str
    url: str
    weights_licence: str
    entry_point: Callable[..., "keras.Model"]
    weights_file: Callable[..., PublishedFile] | None

    @cached_property
    def image_size(self) -> int:
        """Side in pixels that it takes by default."""
        return self.default_size() if callable(self.default_size) else self.default_size

    @property
    def weights_available(self) -> bool:
        """Whether `weights="imagenet"` works."""
        return self.weights_file is not None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names that `create_model` takes for this model."""
        return tuple(inspect.signature(self.entry_point).parameters)

    @property
    def parameters(self) -> int:
        """All parameters, of the model with two classes at its default size; the first use builds it."""
        return self._measured[0]

    @property
    def flops(self) -> int:
        """Multiply-adds for one image of the default size; see `count_flops`. The first use builds it."""
        return self._measured[1]

    @cached_property
    def _measured(self) -> tuple[int, int]:
        import keras

        from cnnzoo.flops import count_flops

        # Built to be measured and thrown away: no reason to take memory that training may want.
        with keras.device("cpu"):
            model = self.entry_point(input_shape=(self.image_size, self.image_size, 3), num_classes=2)
        return model.count_params(), count_flops(model)


_MODELS: dict[str, ModelInfo] = {}


def register_model(
    *,
    image_size: int | Callable[[], int],
    year: int,
    source: str,
    name: str | None = None,
    url: str = "",
    weights_file: Callable[..., PublishedFile] | None = None,
    weights_licence: str = "",
) -> Callable[[EntryPoint], EntryPoint]:
    """Returns the decorator that makes an entry point known under `name`, by default its own.

    The entry point takes keyword arguments only, `input_shape` and `num_classes` among them, and `weights` if
    there can be any; it returns an uncompiled model that takes RGB in [0, 255]. An `image_size` that takes
    time to find out may be a function. See `ModelInfo` for the rest.

    Raises:
        ValueError: the name is taken.
    """

    def register(entry_point: EntryPoint) -> EntryPoint:
        known_as = name or entry_point.__name__
        if known_as in _MODELS:
            raise ValueError(f"a model named {known_as!r} is registered already")
        _MODELS[known_as] = ModelInfo(
            name=known_as,
            default_size=image_size,
            year=year,
            source=source,
            url=url,
            weights_licence=weights_licence,
            entry_point=entry_point,
            weights_file=weights_file,
        )
        return entry_point

    return register


def list_models(pattern: str = "*") -> list[str]:
    """Returns the sorted names that match a shell pattern such as "*resnet*"."""
    return sorted(name for name in _models() if fnmatchcase(name, pattern))


def model_info(name: str) -> ModelInfo:
    """Returns what is known of a model.

    Raises:
        InputError: no model has this name.
    """
    models = _models()
    if name not in models:
        own = [own for own in models if "/" not in own]
        raise InputError(f"unknown model {name!r}; {suggest(name, models, listed=[*own, 'keras/...'])}")
    return models[name]


def create_model(
    name: str,
    *,
    input_shape: tuple[int, int, int] | None = None,
    num_classes: int = 2,
    weights: str | Path | None = None,
    **arguments: Any,
) -> "keras.Model":
    """Builds an uncompiled model.

    Args:
        name: one of `list_models()`.
        input_shape: (height, width, channels), by default RGB of the size that `model_info` names.
        num_classes: at least 2.
        weights: None for random ones, "imagenet" for the published ones, or a file.
        **arguments: of the entry point, `model_info(name).arguments`.

    Returns:
        Takes (n, height, width, channels) in [0, 255], uint8 or float32, and gives (n, units) float32:
        one sigmoid unit, P(class 1), or a softmax over the classes.

    Raises:
        InputError: an argument is unknown or has no usable value, or the weights can't be had or don't fit.
    """
    info = model_info(name)
    shape = (info.image_size, info.image_size, 3) if input_shape is None else tuple(input_shape)
    _check_shape(shape)
    if not _is_int(num_classes) or num_classes < 2:
        raise InputError(f"num_classes is {num_classes!r}; it must be a whole number, at least 2")
    for argument in arguments:
        if argument not in info.arguments:
            raise InputError(f"{name} has no argument {argument!r}; known: {', '.join(info.arguments)}")
    if "weights" in info.arguments:
        arguments["weights"] = weights
    elif weights is not None:
        raise InputError(f"{name} takes no pretrained weights; leave out weights={str(weights)!r}")
    return info.entry_point(input_shape=shape, num_classes=num_classes, **arguments)


def suggest(name: str, known: Collection[str], *, listed: Collection[str] | None = None) -> str:
    """Returns "near: a, b" with the known names most like `name`, or "known: ..." when none is.

    `listed` are the names that "known" shows where all of them would be too many.
    """
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    shown = known if listed is None else listed
    return f"near: {', '.join(near)}" if near else f"known: {', '.join(sorted(shown))}"


def _models() -> dict[str, ModelInfo]:
    # The model files import Keras, which takes seconds: not before somebody asks for a model.
    import_module("cnnzoo.models")
    import_module("cnnzoo.keras_applications")
    return _MODELS


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_shape(shape: tuple[Any, ...]) -> None:
    if len(shape) != 3 or not all(_is_int(side) for side in shape):
        raise InputError(f"input_shape is {shape}; it must be three whole numbers: height, width, channels")
    if min(shape[:2]) < SMALLEST_SIZE or shape[2] < 1:
        raise InputError(f"input_shape is {shape}; height and width must be at least {SMALLEST_SIZE} pixels")

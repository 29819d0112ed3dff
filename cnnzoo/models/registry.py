"""The one dict of architectures: a family registers its entry points; `catalogue` asks by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from cnnzoo.models.weights import PublishedFile

if TYPE_CHECKING:
    import keras

EntryPoint = TypeVar("EntryPoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class ModelInfo:
    """What is known of an architecture without training it.

    Attributes:
        name: as in `create_model`.
        image_size: side in pixels that it takes by default.
        year: of the source.
        source: paper or project that it follows.
        url: of the source.
        weights_licence: of the published weights, empty where there are none.
        entry_point: function that builds it.
        weights_file: picks the published file; its arguments are some of the entry point's.
        passed_on: arguments with their defaults that the entry point takes without naming them itself.
    """

    name: str
    image_size: int
    year: int
    source: str
    url: str
    weights_licence: str
    entry_point: Callable[..., "keras.Model"]
    weights_file: Callable[..., PublishedFile] | None
    passed_on: Mapping[str, Any]

    @property
    def weights_available(self) -> bool:
        """Whether `weights="imagenet"` works."""
        return self.weights_file is not None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names that `create_model` takes for this model."""
        return tuple(self.defaults)

    @property
    def defaults(self) -> dict[str, Any]:
        """The arguments with what each is when it is not given."""
        parameters = inspect.signature(self.entry_point).parameters.values()
        named = {each.name: each.default for each in parameters if each.kind is not each.VAR_KEYWORD}
        return {**named, **self.passed_on}

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

        from cnnzoo.models.flops import count_flops

        # Built to be measured and thrown away: no reason to take memory that training may want.
        with keras.device("cpu"):
            model = self.entry_point(input_shape=(self.image_size, self.image_size, 3), num_classes=2)
        return model.count_params(), count_flops(model)


MODELS: dict[str, ModelInfo] = {}


def register_model(
    *,
    image_size: int,
    year: int,
    source: str,
    name: str | None = None,
    url: str = "",
    weights_file: Callable[..., PublishedFile] | None = None,
    weights_licence: str = "",
    passed_on: Mapping[str, Any] | None = None,
) -> Callable[[EntryPoint], EntryPoint]:
    """Returns the decorator that makes an entry point known under `name`, by default its own.

    The entry point takes keyword arguments only, `input_shape` and `num_classes` among them, and `weights` if
    there can be any; it returns an uncompiled model that takes RGB in [0, 255]. See `ModelInfo` for the rest.

    Raises:
        ValueError: the name is taken.
    """

    def register(entry_point: EntryPoint) -> EntryPoint:
        known_as = name or entry_point.__name__
        if known_as in MODELS:
            raise ValueError(f"a model named {known_as!r} is registered already")
        MODELS[known_as] = ModelInfo(
            name=known_as,
            image_size=image_size,
            year=year,
            source=source,
            url=url,
            weights_licence=weights_licence,
            entry_point=entry_point,
            weights_file=weights_file,
            passed_on=passed_on or {},
        )
        return entry_point

    return register

"""What is searched for each model, declared once: for plain keras-tuner and for `experiments.tune`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner import HyperParameters

from cnnzoo.data.augment import Augmentation
from cnnzoo.models.catalogue import create_model, model_info
from cnnzoo.models.transfer import set_trainable
from cnnzoo.training.config import Phase, TrainConfig
from cnnzoo.training.fit import compile_phase

HEAD_SHARE = 3  # one epoch in three trains the head alone before the backbone is tuned
SMALLEST_IMAGE = 64
CRACK_NET_BUDGET = 130_000  # parameters


@dataclass(frozen=True)
class Sample:
    """A point of a search space: what `load_datasets`, `create_model` and `fit` take."""

    image_size: int
    batch_size: int
    arguments: dict[str, Any]
    config: TrainConfig


def sample(hp: HyperParameters, name: str, *, epochs: int, pretrained: bool = False) -> Sample:
    """Asks `hp` for a value of everything that is searched for a model.

    Args:
        hp: declares what it has not met before, and gives its default.
        name: of a registered model.
        epochs: of the training, at least two where a backbone is tuned after its head.
        pretrained: whether the model starts from weights that are published or in a file.

    Raises:
        InputError: no model has this name.
    """
    usual = model_info(name).image_size
    return Sample(
        image_size=hp.Choice("image_size", _image_sizes(name, usual), default=usual),
        batch_size=hp.Choice("batch_size", [16, 32, 64], default=32),
        arguments=_arguments(hp, name, pretrained=pretrained),
        config=TrainConfig(
            phases=_phases(hp, epochs=epochs, pretrained=pretrained),
            augmentation=_AUGMENTATION.get(name, _any_augmentation)(hp),
        ),
    )


def search_space(
    name: str,
    *,
    input_shape: tuple[int, int, int] | None = None,
    num_classes: int = 2,
    weights: str | Path | None = None,
) -> keras_tuner.HyperModel:
    """Returns a model's search space for any tuner of keras-tuner.

    `build(hp)` gives a compiled model: architecture, optimiser and, with `weights`, how much of the backbone
    trains are searched. Image size, batch size and augmentation belong to the data and are left to the
    caller; `python -m experiments.tune` searches them too.

    Args:
        name: one of `list_models()`.
        input_shape: (height, width, channels), by default RGB of the size that `model_info` names.
        num_classes: at least 2.
        weights: None for random ones, "imagenet" for the published ones, or a file.

    Raises:
        InputError: no model has this name.
    """
    model_info(name)
    return _SearchSpace(name, input_shape, num_classes, weights)


class _SearchSpace(keras_tuner.HyperModel):
    def __init__(
        self,
        name: str,
        input_shape: tuple[int, int, int] | None,
        num_classes: int,
        weights: str | Path | None,
    ) -> None:
        super().__init__(name=name)
        self.input_shape, self.num_classes, self.weights = input_shape, num_classes, weights

    def build(self, hp: HyperParameters) -> keras.Model:
        pretrained = self.weights is not None
        model = create_model(
            self.name,
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            weights=self.weights,
            **_arguments(hp, self.name, pretrained=pretrained),
        )
        # How long it will train is not known here: the rate stays as it is.
        phase = replace(_phases(hp, epochs=2, pretrained=pretrained)[-1], schedule="constant")
        set_trainable(model, phase.trainable)
        compile_phase(model, phase, steps=1)
        return model


def _image_sizes(name: str, usual: int) -> list[int]:
    """A half, three quarters and all of a model's usual size, in multiples of 32."""
    if name == "crack_net":
        return [96, 128, 160, 192]
    smaller = {32 * round(usual * share / 32) for share in (0.5, 0.75)}
    return sorted({usual, *(size for size in smaller if SMALLEST_IMAGE <= size < usual)})


def _phases(hp: HyperParameters, *, epochs: int, pretrained: bool) -> tuple[Phase, ...]:
    decay = _short(hp.Float("weight_decay", 1e-4, 0.3, sampling="log", default=0.05))
    rate = _short(hp.Float("learning_rate", 1e-4, 3e-2, sampling="log", default=1e-3))
    whole = Phase(epochs=epochs, optimizer="adamw", learning_rate=rate, schedule="cosine", weight_decay=decay)
    if not pretrained:
        return (whole,)
    trainable = hp.Choice("trainable", ["head", "0.25", "0.5", "all"])
    with hp.conditional_scope("trainable", ["0.25", "0.5", "all"]):
        slow = hp.Float("tuning_rate", 1e-5, 1e-3, sampling="log", default=1e-4)
    if trainable == "head":
        return (replace(whole, trainable="head"),)
    head = replace(whole, trainable="head", epochs=max(1, epochs // HEAD_SHARE))
    return head, replace(
        whole,
        trainable=trainable if trainable == "all" else float(trainable),
        learning_rate=_short(slow),
        epochs=max(1, epochs - head.epochs),
    )


def _any_augmentation(hp: HyperParameters) -> Augmentation:
    return Augmentation(
        horizontal_flip=True,
        quarter_turns=hp.Boolean("quarter_turns"),
        rotation=_step(hp, "rotation", 0.2, 0.05),
        zoom=_step(hp, "zoom", 0.3, 0.1),
        light=_step(hp, "light", 0.4, 0.1),
    )


def _crack_augmentation(hp: HyperParameters) -> Augmentation:
    """A crack is one however it is turned; what tells surfaces and cameras apart is searched."""
    return Augmentation(
        horizontal_flip=True,
        quarter_turns=True,
        zoom=_step(hp, "zoom", 0.3, 0.1),
        light=_step(hp, "light", 0.4, 0.1),
        colour=_step(hp, "colour", 0.2, 0.1),
        blur=_step(hp, "blur", 1.5, 0.5),
        noise=_step(hp, "noise", 12.0, 4.0),
    )


def _arguments(hp: HyperParameters, name: str, *, pretrained: bool) -> dict[str, Any]:
    if name in _ARGUMENTS:
        return _ARGUMENTS[name](hp)
    known = model_info(name).defaults
    found: dict[str, Any] = {}
    if "dropout" in known:
        found["dropout"] = _step(hp, "dropout", 0.5, 0.1, default=known["dropout"])
    for argument in ("alpha", "width"):
        # A published file fits one width.
        usual = known.get(argument)
        if isinstance(usual, int | float) and not pretrained:
            values = [type(usual)(usual * share) for share in (0.5, 0.75, 1)]
            found[argument] = hp.Choice(argument, values, default=usual)
    return found


def _three_conv(hp: HyperParameters) -> dict[str, Any]:
    first = hp.Choice("first_filters", [8, 16, 32], default=16)
    convolutions = hp.Int("convolutions", 2, 4, default=3)
    return {
        "filters": (first, *[2 * first] * (convolutions - 1)),
        "dense_units": hp.Choice("dense_units", [32, 64, 128], default=64),
        "dropout": _step(hp, "dropout", 0.5, 0.1, default=0.2),
    }


def _crack_net(hp: HyperParameters) -> dict[str, Any]:
    """How to spend at most `CRACK_NET_BUDGET` parameters: early or late, on few stages or many."""
    stem_kernel, stem_stride = hp.Choice("stem_kernel", [5, 7]), hp.Choice("stem_stride", [2, 4])
    first = hp.Choice("first_width", [12, 16, 20, 24])
    stages = hp.Int("stages", 3, 5, default=4)
    # The first stage sees the most places: a convolution there costs as much as several later on.
    early, late = hp.Int("early_depth", 1, 2), hp.Int("late_depth", 1, 3, default=2)
    depths = (early,) + (late,) * (stages - 1)
    return {
        "widths": _widths_within_budget(first, depths, stem_kernel),
        "depths": depths,
        "stem_kernel": stem_kernel,
        "stem_stride": stem_stride,
        "gray": hp.Boolean("gray"),
        "standardise": hp.Boolean("standardise"),
        "max_pooling": hp.Boolean("max_pooling"),
        "dropout": _step(hp, "dropout", 0.5, 0.1, default=0.4),
    }


def _widths_within_budget(first: int, depths: tuple[int, ...], stem_kernel: int) -> tuple[int, ...]:
    """The widths, each the same multiple of the one before, that come closest to the budget from below."""
    growths = (1 + step / 50 for step in range(100, -1, -1))
    candidates = [tuple(4 * round(first * growth**i / 4) for i in range(len(depths))) for growth in growths]
    fitting = (each for each in candidates if _parameters(each, depths, stem_kernel) <= CRACK_NET_BUDGET)
    return next(fitting, candidates[-1])


def _parameters(widths: tuple[int, ...], depths: tuple[int, ...], stem_kernel: int) -> int:
    """Of crack_net on RGB with two classes: kernels, four numbers a channel for each norm, the head."""
    total, before, kernel = 4 * widths[-1] + 2, 3, stem_kernel
    for width, depth in zip(widths, depths, strict=True):
        for _ in range(depth):
            total += kernel**2 * before * width + 4 * width
            before, kernel = width, 3
    return total


_ARGUMENTS: dict[str, Callable[[HyperParameters], dict[str, Any]]] = {
    "three_conv": _three_conv,
    "crack_net": _crack_net,
}

_AUGMENTATION: dict[str, Callable[[HyperParameters], Augmentation]] = {"crack_net": _crack_augmentation}


def _step(hp: HyperParameters, name: str, most: float, step: float, default: float = 0.0) -> float:
    """A value from 0 to `most` in steps; keras-tuner's own end before `most`."""
    values = [_short(step * i) for i in range(round(most / step) + 1)]
    return hp.Choice(name, values, default=min(values, key=lambda value: abs(value - default)))


def _short(value: float) -> float:
    """Three digits: a recipe is read by people, and the rest says nothing."""
    return float(f"{value:.3g}")

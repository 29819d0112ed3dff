"""Verdicts on image files by a model of any kind: whoever answers for it, Keras is not needed here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import read_image, resize_image
from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.evaluation.adapting import adapted
from cnnzoo.evaluation.calibration import Decision, decide
from cnnzoo.evaluation.likeness import Likeness

Ask = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]

MUCH_LARGER = 3.0  # times the width or height of the images that a model learnt from


class Known(Protocol):
    """What is known of a model, as of a `cnnzoo.Classifier`."""

    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def decision(self) -> Decision: ...
    @property
    def image_pixels(self) -> tuple[int, int] | None: ...
    @property
    def likeness(self) -> Likeness | None: ...


Adaptable = TypeVar("Adaptable", bound=Any)  # a dataclass that is `Known`


@dataclass(frozen=True, eq=False)
class Prediction:
    """The verdict on one file; `error` says why there is none.

    `times_larger`: how many times the image is as wide, or as high, as those that the model learnt from,
    where that is `MUCH_LARGER` or more: then a crack in it shrinks too far to be seen. 0 elsewhere.
    `distance`: how far the image is from those that the model learnt from; above 1 it is unlike them, and
    the verdict is not to be trusted. None where the model file doesn't say what they look like.
    """

    path: Path
    class_name: str = ""
    probability: float = 0.0
    probabilities: npt.NDArray[np.float64] | None = None
    error: str = ""
    times_larger: float = 0.0
    distance: float | None = None

    @property
    def unlike(self) -> bool:
        """Whether the image is unlike those that the model learnt from, as far as that is known."""
        return self.distance is not None and self.distance > 1


def verdicts(
    known: Known, size: int, ask: Ask, paths: Sequence[Path], batch_size: int
) -> Iterator[Prediction]:
    """Yields the verdict on each file, as `cnnzoo.predict` does.

    Args:
        known: what is known of the model.
        size: side of its input, pixels.
        ask: gives the calibrated probabilities, (n, classes), of images of this size, (n, size, size, 3).
        paths: image files.
        batch_size: images at a time.

    Raises:
        InputError: the model can't be asked.
    """
    for first in range(0, len(paths), batch_size):
        batch = [_read(path, size, known.image_pixels) for path in paths[first : first + batch_size]]
        images = [image for image, _, _ in batch if image is not None]
        if images:
            stacked = np.stack(images)
            rows = iter(asked(ask, stacked))
            distances = iter(_distances(known, stacked))
        for path, (image, error, larger) in zip(paths[first:], batch, strict=False):
            if image is None:
                yield Prediction(path, error=error)
            else:
                verdict = _verdict(path, next(rows), known)
                yield replace(verdict, times_larger=larger, distance=next(distances))


def _read(
    path: Path, size: int, usual: tuple[int, int] | None
) -> tuple[npt.NDArray[np.uint8] | None, str, float]:
    """The resized image, or why there is none, and how much larger than usual it was."""
    try:
        image = read_image(path)
    except InputError as error:
        return None, str(error), 0.0
    width, height = usual or (size, size)
    larger = max(image.shape[1] / width, image.shape[0] / height)
    return resize_image(image, size), "", larger if larger >= MUCH_LARGER else 0.0


def asked(ask: Ask, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Returns what a model answers.

    Raises:
        InputError: it fails.
    """
    try:
        return ask(images)
    except Exception as error:  # of the backend, which has many
        raise InputError(f"the model can't be asked about {len(images)} images: {one_line(error)}") from error


def _distances(known: Known, images: npt.NDArray[np.uint8]) -> list[float | None]:
    if known.likeness is None:
        return [None] * len(images)
    return [float(distance) for distance in known.likeness.distances(images)]


def _verdict(path: Path, probabilities: npt.NDArray[np.float64], known: Known) -> Prediction:
    if not np.isfinite(probabilities).all():
        return Prediction(path, error=f"{printable(path)}: the model's answer is no number")
    best = decide(probabilities[None], known.class_names, known.decision)[0]
    return Prediction(path, known.class_names[best], float(probabilities[best]), probabilities)


def adapted_to(classifier: Adaptable, verdicts: Sequence[Prediction]) -> Adaptable:
    """Returns the classifier with a threshold for the surface of images that it was asked about."""
    found = [verdict.probabilities for verdict in verdicts if verdict.probabilities is not None]
    return with_threshold_for(classifier, np.stack(found) if found else None)


def with_threshold_for(classifier: Adaptable, probabilities: npt.NDArray | None) -> Adaptable:
    """Returns the classifier with a threshold for a surface, by its answers to images of it."""
    names = classifier.class_names
    rows = np.zeros((0, len(names))) if probabilities is None else probabilities
    return replace(classifier, decision=adapted(classifier.decision, rows, names))


def decided(verdict: Prediction, classifier: Known) -> Prediction:
    """Returns the verdict on the same image by the decision of `classifier`, an adapted one."""
    if verdict.probabilities is None:
        return verdict
    again = _verdict(verdict.path, verdict.probabilities, classifier)
    return replace(again, times_larger=verdict.times_larger, distance=verdict.distance)

"""What goes with a model in its file: names of the classes, decision, what the training images look like.

It is written and read here without Keras, for the files of other programs have it too.
"""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from cnnzoo.deploy.origin import Origin, checked_origin
from cnnzoo.errors import one_line, printable
from cnnzoo.evaluation.calibration import Decision
from cnnzoo.evaluation.likeness import STATISTICS, Likeness

OURS = "cnnzoo.json"  # the member of an archive that has it
LARGEST_TEXT = 16 << 20  # bytes; the largest model of keras.applications has a config of 2 million
SUMS_TO_ONE = 1e-2  # what half precision, or 8-bit numbers, leave of it
LARGEST_SIDE = 10_000_000  # pixels of an image that a model learnt from
TEMPERATURES = (1e-3, 1e3)
LARGEST_PRECISION = 1e6  # inverse of the smallest variance that a statistic of images is given
LARGEST_LOG_ODDS = 17  # of a probability in float32


def object_in(text: str | bytes, name: str) -> dict[str, Any]:
    """Returns what a text of JSON, called `name` in a model file, says.

    Raises:
        ValueError: it is no object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} in it is damaged: {one_line(error)}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{name} in it is damaged: it is no object")
    return found


def are_probabilities(answers: npt.NDArray[np.float64]) -> bool:
    """Whether (n, classes) answers are probabilities; of one sigmoid unit they need not sum to 1."""
    if not np.isfinite(answers).all() or answers.min() < 0 or answers.max() > 1 + SUMS_TO_ONE:
        return False
    return answers.shape[1] == 1 or bool(np.allclose(answers.sum(axis=1), 1, atol=SUMS_TO_ONE))


def content_of(
    class_names: Sequence[str],
    decision: Decision,
    image_pixels: tuple[int, int] | None,
    likeness: Likeness | None,
    origin: Origin,
) -> dict[str, Any]:
    """Returns what a file keeps, for JSON."""
    return {
        "class_names": list(class_names),
        "decision": asdict(decision),
        "image_pixels": image_pixels,
        "likeness": likeness and asdict(likeness),
        "origin": asdict(origin),
    }


def parts_of(
    content: Mapping[str, Any], outputs: int
) -> tuple[tuple[str, ...], Decision, tuple[int, int] | None]:
    try:
        names = content.get("class_names", [f"class {i}" for i in range(max(2, outputs))])
        decision = Decision(**content.get("decision", {}))
        decision = replace(decision, recalls=tuple((known, least) for known, least in decision.recalls))
        return checked_parts(names, decision, content.get("image_pixels"), outputs)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{OURS} in it is damaged: {one_line(error)}") from error


def likeness_of(content: Mapping[str, Any]) -> Likeness | None:
    """Returns what a file says that the training images look like.

    Raises:
        ValueError: it can't be used.
    """
    values = content.get("likeness")
    try:
        found = None if values is None else msgspec.convert(values, Likeness)
        check_likeness(found)
    except ValueError as error:  # msgspec's is one
        raise ValueError(f"{OURS} in it is damaged: {one_line(error)}") from error
    return found


def origin_of(content: Mapping[str, Any]) -> Origin:
    """Returns what a file says of its origin.

    Raises:
        ValueError: it is something else.
    """
    try:
        return checked_origin(content.get("origin"))
    except ValueError as error:
        raise ValueError(f"{OURS} in it is damaged: {one_line(error)}") from error


def checked_parts(
    names: object, decision: Decision, pixels: object, outputs: int
) -> tuple[tuple[str, ...], Decision, tuple[int, int] | None]:
    """Returns what goes with a model of so many outputs: the names of the classes, the decision, the pixels.

    Raises:
        ValueError: they are not a different name for each class, or a part of the rest can't be used.
    """
    checked = _check_names(names, outputs)
    _check_decision(decision, checked)
    return checked, decision, _check_pixels(pixels)


def _check_names(names: object, outputs: int) -> tuple[str, ...]:
    classes = max(2, outputs)
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise ValueError(f"class_names must be {classes} different names, a name for each class: {names!r}")
    if odd := [name for name in names if not isinstance(name, str) or not name]:
        raise ValueError(f"class_names must be {classes} different names, a name for each class: {odd[0]!r}")
    if len(names) != classes or len(set(names)) < classes:
        shown = ", ".join(map(printable, names[:10])) + ", …" * (len(names) > 10)
        raise ValueError(
            f"class_names must be {classes} different names, a name for each class: {len(names)} ({shown})"
        )
    return tuple(names)


def _check_decision(decision: Decision, names: Collection[str]) -> None:
    low, high = TEMPERATURES
    if not _is_number(decision.temperature) or not low <= decision.temperature <= high:
        raise ValueError(f"temperature is {decision.temperature!r}; it must be from {low:g} to {high:g}")
    if not isinstance(decision.positive, str) or decision.positive not in {"", *names}:
        raise ValueError(
            f"positive is {decision.positive!r}; it must be '' or one of {', '.join(map(printable, names))}"
        )
    most = LARGEST_LOG_ODDS
    if decision.sound is not None and not (_is_number(decision.sound) and abs(decision.sound) <= most):
        raise ValueError(
            f"sound is {decision.sound!r:.40}; it must be a number from -{most} to {most}, or None"
        )
    if not all(_is_share(number) for pair in decision.recalls for number in pair):
        raise ValueError("recalls must be pairs of a recall and a threshold, each from 0 to 1")
    if decision.threshold is None:
        return
    if not _is_share(decision.threshold):
        raise ValueError(f"threshold is {decision.threshold!r}; it must be from 0 to 1, or None")
    if not decision.positive:
        raise ValueError("there is a threshold but no positive class that it is for")


def _check_pixels(pixels: object) -> tuple[int, int] | None:
    if pixels is None:
        return None
    if (
        not isinstance(pixels, Sequence)
        or len(pixels) != 2
        or not all(_is_number(side) and side == int(side) for side in pixels)
        or not all(1 <= side <= LARGEST_SIDE for side in pixels)
    ):
        raise ValueError(f"image_pixels is {pixels!r}; it must be the width and the height in pixels")
    return int(pixels[0]), int(pixels[1])


def check_likeness(likeness: Likeness | None) -> None:
    """Checks that a distance can be measured by it.

    Raises:
        ValueError: it is not 21 statistics, their inverse covariance and a limit above 0.
    """
    if likeness is None:
        return
    mean, precision = np.asarray(likeness.mean, float), np.asarray(likeness.precision, float)
    if mean.shape != (STATISTICS,) or precision.shape != (STATISTICS, STATISTICS):
        raise ValueError(f"likeness is not of {STATISTICS} statistics: {mean.shape}, {precision.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(precision).all() and np.isfinite(likeness.limit)):
        raise ValueError("likeness holds NaN or infinity")
    if likeness.limit <= 0 or np.abs(precision).max() > LARGEST_PRECISION or np.abs(mean).max() > 1000:
        raise ValueError("likeness holds numbers that no images have")
    if np.linalg.eigvalsh((precision + precision.T) / 2).min() <= 0:
        raise ValueError("likeness: its precision is no inverse of a covariance")


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1  # type: ignore[operator] # a number it is


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < sys.float_info.max

"""Checks of the arguments that models take."""

import math
from collections.abc import Sequence

from cnnzoo.errors import InputError


def check_counts(name: str, values: Sequence[int], *, least: int = 1, most: int | None = None) -> None:
    """Checks an argument that gives a number for each of `least` to `most` stages.

    Raises:
        InputError: there are fewer or more, or one of them is not a whole number of at least 1.
    """
    length = len(values) if isinstance(values, list | tuple) else 0
    if length < least or (most is not None and length > most):
        wanted = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise InputError(f"{name} is {values!r}; it must be a tuple of {wanted} whole numbers")
    for value in values:
        if not is_whole(value, least=1):
            raise InputError(f"{name} is {values!r}; each must be a whole number, at least 1")


def check_count(name: str, value: int, *, least: int = 1) -> None:
    """Checks a number of channels or units.

    Raises:
        InputError: it is not a whole number of at least `least`.
    """
    if not is_whole(value, least=least):
        raise InputError(f"{name} is {value!r}; it must be a whole number, at least {least}")


def is_whole(value: object, *, least: float = -math.inf) -> bool:
    """Says whether a value is a whole number, which True is none, of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Checks an argument that names one of a few things.

    Raises:
        InputError: it names none of them.
    """
    if value not in known:
        raise InputError(f"unknown {name} {value!r}; known: {', '.join(known)}")


def check_rate(argument: str, rate: float) -> None:
    """Checks a share of what training leaves out.

    Raises:
        InputError: the rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise InputError(f"{argument} is {rate}; it must be at least 0 and below 1")


def check_multiplier(argument: str, value: float) -> None:
    """Checks a factor for the width or the depth of a network.

    Raises:
        InputError: it is not above 0, or not finite.
    """
    if not 0 < value < math.inf:
        raise InputError(f"{argument} is {value}; the multiplier must be above 0")

"""What means that the input, or a learning rate, has to change and not the program; how errors are said."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

MOST_CHARACTERS = 500  # of what another library says


class InputError(ValueError):
    """A file, folder or option that cannot be used.

    The message names it and says what to do. The commands print it to stderr and exit with code 2. It is one
    line, and each of `more` another one: whatever a name in it holds, it is `printable`.

    Where a message names arguments of the function that was called, these stand in it in braces and are
    given by name as one would write them, as in `InputError("go on without ({skip_bad})",
    skip_bad="skip_bad=True")`: a command puts its own options in their place.
    """

    def __init__(self, message: str, *more: str, **arguments: str) -> None:
        super().__init__(message, *more)
        self.arguments = arguments

    def __str__(self) -> str:
        return self.told({})

    def told(self, options: Mapping[str, str]) -> str:
        """Returns the message with what `options` call the arguments, else with their own names."""
        message = "\n".join(map(printable, self.args))
        for name, own in self.arguments.items():
            message = message.replace(f"{{{name}}}", options.get(name, own), 1)  # not in a file's name
        return message


class Diverged(ArithmeticError):
    """A training whose loss is no number any more; `history` has the epochs that ended, as `Epoch`."""

    def __init__(self, message: str, history: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.history = tuple(history)


def kind_of(value: object) -> str:
    """Returns what a value of the wrong kind is called, as in `numpy.ndarray`."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def one_line(error: BaseException) -> str:
    """Returns the first line of what an error says, with the next if it ends in a colon, or its kind."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    said = lines[:2] if lines and lines[0].endswith(":") else lines[:1]
    return printable(" ".join(said)[:MOST_CHARACTERS]) or type(error).__name__


def printable(text: object) -> str:
    """Returns a name for people: on one line, and without what a terminal or a page would act upon.

    Line breaks, escape sequences, what turns the direction of writing, what has no width, and undecodable
    bytes are escaped, as in `Riss\\udcfc.jpg`.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def suggest(name: str, known: Collection[str], *, listed: Collection[str] | None = None) -> str:
    """Returns "near: a, b" with the known names most like `name`, or "known: ..." when none is.

    `listed` are the names that "known" shows where all of them would be too many.
    """
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    shown = known if listed is None else listed
    return f"near: {', '.join(near)}" if near else f"known: {', '.join(sorted(shown))}"

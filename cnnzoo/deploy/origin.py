"""Where a model file comes from: which cnnzoo wrote it, from which recipe and data."""

from dataclasses import dataclass

from cnnzoo import __version__
from cnnzoo.errors import printable

LONGEST = 200  # characters of a part


@dataclass(frozen=True)
class Origin:
    """What a model file says of its training; parts that it doesn't say are empty.

    Attributes:
        recipe: its name.
        data: fingerprint of the images that it was trained on.
        cnnzoo: version that wrote the file.
    """

    recipe: str = ""
    data: str = ""
    cnnzoo: str = __version__

    @property
    def newer(self) -> bool:
        """Whether a later version wrote the file: what that added to it is not used."""
        return _numbers(self.cnnzoo) > _numbers(__version__)

    @property
    def warning(self) -> str:
        """What a user should know before trusting the file; empty where there is nothing."""
        if not self.cnnzoo:
            return "The model file does not say which cnnzoo wrote it, from which recipe and images"
        if self.newer:
            return (
                f"cnnzoo {printable(self.cnnzoo)} wrote the model file; this is {__version__}, which does "
                "not use what was added since: update it"
            )
        return ""


def checked_origin(values: object) -> Origin:
    """Returns what a file says of its origin.

    Raises:
        ValueError: it says something else than three short texts.
    """
    if values is None:
        return Origin(cnnzoo="")
    names = set(Origin.__dataclass_fields__)
    if not isinstance(values, dict) or not values.keys() <= names:
        raise ValueError(f"origin has other parts than {', '.join(sorted(names))}")
    if any(not isinstance(text, str) or len(text) > LONGEST for text in values.values()):
        raise ValueError(f"origin has parts that are no text of at most {LONGEST} characters")
    return Origin(**{"cnnzoo": "", **values})


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: 0.2.1 of 0.2.1.dev3."""
    parts = version.split(".")
    found: list[int] = []
    for part in parts:
        if not part.isdecimal():
            break
        found.append(int(part))
    return tuple(found)

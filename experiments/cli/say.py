"""A line for people."""

import sys
from typing import Protocol

from cnnzoo.errors import printable


class Say(Protocol):
    """Takes a line for people; a warning belongs on stderr."""

    def __call__(self, text: str, *, warning: bool = False) -> None: ...


def say(text: str, *, warning: bool = False) -> None:
    """Prints it, each line `printable`: whatever stands in it, the terminal acts upon nothing."""
    lines = "\n".join(map(printable, text.split("\n")))
    print(lines, file=sys.stderr if warning else sys.stdout, flush=True)

"""A line for people."""

import sys
from typing import Protocol


class Say(Protocol):
    """Takes a line for people; a warning belongs on stderr."""

    def __call__(self, text: str, *, warning: bool = False) -> None: ...


def say(text: str, *, warning: bool = False) -> None:
    """Prints it."""
    print(text, file=sys.stderr if warning else sys.stdout, flush=True)

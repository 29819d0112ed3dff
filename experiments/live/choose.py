"""Which view the options and the terminal ask for."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from experiments.live.json_lines import JsonLines
from experiments.live.plain import Lines
from experiments.live.view import View


@contextmanager
def view_for(*, quiet: bool, as_json: bool) -> Iterator[View]:
    """Gives the view that was asked for, by default the one that the terminal can show."""
    if quiet or as_json:
        with _no_bars():
            yield JsonLines() if as_json else View()
    elif (terminal := _terminal()) is not None:
        from experiments.live.terminal import Live

        yield Live(terminal)
    else:
        yield Lines()


def _terminal() -> Any:
    """A console on stdout or stderr, whichever is a terminal that can be drawn on; None if none is."""
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        return None
    from rich.console import Console

    console = Console(stderr=not sys.stdout.isatty(), highlight=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keeps rich, in this process and those that it starts, from drawing bars while images are prepared."""
    before = os.environ.get("TTY_COMPATIBLE")
    os.environ["TTY_COMPATIBLE"] = "0"
    try:
        yield
    finally:
        del os.environ["TTY_COMPATIBLE"]
        if before is not None:
            os.environ["TTY_COMPATIBLE"] = before

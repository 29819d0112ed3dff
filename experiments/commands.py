"""What every command does alike: an input error is one line on stderr and exit code 2."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NoReturn

from cnnzoo.errors import InputError

USAGE_ERROR = 2
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line too."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"error: {message}; see {self.prog} --help\n")


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drops what native code writes to stderr: TensorFlow greets on import whatever its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def exit_code(command: Callable[[], int]) -> int:
    """Runs `command` and returns its exit code, or that of what stopped it."""
    # A file name may hold what the terminal's encoding lacks; that must not end a run.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader of a pipe went away (… | head): nothing is wrong, and nobody is left to tell.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED

"""What every command does alike: its exit codes, its name and how it starts children; errors are one line."""

import errno
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from cnnzoo.errors import InputError, printable
from experiments.cli.stopping import end_if_stopped, heeding_signals, stopped_line

USAGE_ERROR = 2
# What stands in a message for an argument of the library.
OPTION_OF_ARGUMENT = {
    "data": "--data",
    "groups": "--groups",
    "limit": "--limit",
    "name": "--data",
    "overlap": "--overlap",
    "random": "use --split random",
    "regroup": "give smaller groups with --groups FILE.csv",
    "skip_bad": "--skip-bad",
    "threshold": "--threshold",
    "tile": "--tile",
    "train_size": "--train-sizes",
    "weights": "--weights MODEL=FILE",
}

INTERRUPTED = 130

_ROOM, _ELSEWHERE = "make room and give the same command again", "choose a folder that can be written to"
WAYS_OUT = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
}


def called(name: str) -> str:
    """What a command of ours is called, the way that this one was started."""
    return f"cnnzoo {name}" if Path(sys.argv[0]).name == "cnnzoo" else f"python -m experiments.{name}"


def to_type(name: str) -> str:
    """What to type, here and now, to start a command of ours; a `cnnzoo` not on the PATH has its folder."""
    program, *rest = called(name).split(" ", 1)
    path = Path(sys.argv[0] if program == "cnnzoo" else sys.executable).absolute()
    found = shutil.which(program)
    if found is None or Path(found).absolute() != path:
        here = Path.cwd()
        program = str(path.relative_to(here) if path.is_relative_to(here) else path)
    return " ".join([shlex.quote(program), *rest])


def quoted(*words: object) -> str:
    """Returns words as one types them in a shell: on one line, also a name with what can't be seen in it."""
    return " ".join(map(_quoted, map(str, words)))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # Byte by byte: a name need not be UTF-8.
    parts = (
        c if c.isprintable() and c not in "'\\" else "".join(f"\\x{byte:02x}" for byte in _bytes_of(c))
        for c in word
    )
    return f"$'{''.join(parts)}'"


def _bytes_of(character: str) -> bytes:
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which no name holds
        return b"?"


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
    with heeding_signals():
        return _exit_code(command)


def _exit_code(command: Callable[[], int]) -> int:
    try:
        return command()
    except InputError as error:
        print(f"error: {error.told(OPTION_OF_ARGUMENT)}", file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of a pipe went away (… | head): nothing is wrong, and nobody is left to tell.
            sys.stdout = None
            return 0
        if error.filename is None:
            raise
        way_out = f"; {WAYS_OUT[error.errno]}" if error.errno in WAYS_OUT else ""
        print(f"error: {printable(error.filename)}: {error.strerror}{way_out}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        end_if_stopped()
        print(stopped_line(), file=sys.stderr)
        return INTERRUPTED

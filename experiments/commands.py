"""What every command does alike: an input error is one line on stderr and exit code 2."""

import argparse
import os
import shlex
import shutil
import site
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from cnnzoo.errors import InputError

ROOT = Path(__file__).parents[1]  # where our packages lie
USAGE_ERROR = 2
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line too."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"error: {message}; see {self.prog} --help\n")


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


def own_module(module: str, *arguments: object) -> list[str]:
    """The command that runs a module of ours; with `own_environment`, whatever the current folder holds."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def own_environment() -> dict[str, str]:
    """The environment in which `own_module` finds our packages, also where they aren't installed."""
    if str(ROOT) in site.getsitepackages():
        return dict(os.environ)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *([others] if others else [])])}


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which images there are and how they are split."""
    parser.add_argument(
        "--data", default="synthetic", help="synthetic (default), metu (downloads it), or a folder per class"
    )
    parser.add_argument(
        "--split",
        choices=("grouped", "random"),
        default="grouped",
        help="grouped (default): images of one photograph stay on one side; random: as public projects do it",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE.csv",
        help="columns path,group instead of the groups that are found",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="images per class, at most")
    parser.add_argument("--skip-bad", action="store_true", help="leave unreadable files out, and list them")


def check_at_least_one(options: argparse.Namespace, *names: str) -> None:
    """Checks the options that count something; None stands for no limit.

    Raises:
        InputError: one is below 1.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: it must be at least 1")


def check_groups(options: argparse.Namespace) -> None:
    """Checks that given groups are used.

    Raises:
        InputError: the split is a random one.
    """
    if options.groups is not None and options.split == "random":
        raise InputError("--groups: a random split keeps no groups together; leave one of the two out")


def make_folders(out: Path, names: Iterable[str]) -> None:
    """Makes the folders that a command writes to, below `--out`.

    Raises:
        InputError: that is no place to write to.
    """
    try:
        for name in names:
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; choose a folder that can be written to") from None


def reason_of(error: Exception) -> str:
    """Returns the first line of what an error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def how_it_ended(code: int) -> str:
    """Returns how a process ended that left nothing else, by its exit code."""
    return f"killed by signal {-code}, out of memory perhaps" if code < 0 else f"exit code {code}"


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

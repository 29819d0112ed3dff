"""Options that several commands share, and their checks."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from cnnzoo.data.folders import look_into, mark_as_output, no_data
from cnnzoo.data.formats import is_picture
from cnnzoo.errors import InputError, printable
from experiments.cli.process import USAGE_ERROR

SYNTHETIC = "synthetic"  # what a comparison is made of where no data are named


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line too."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"error: {printable(message)}; see {self.prog} --help\n")


def existing_name(text: str) -> Path:
    """A path that an option names: an empty one, as of an unset variable, would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty name; is a variable unset?")
    return Path(text)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which images there are and how they are split."""
    parser.add_argument(
        "--data",
        action="append",
        metavar="DIR",
        help="a folder with a folder of images per class, also one already split into train, val and test; a "
        "CSV file with the columns path,class; metu, which is downloaded; or synthetic (default); may be "
        "repeated: folders of the same classes are taken together, and split anew",
    )
    parser.add_argument(
        "--labels",
        action="append",
        dest="data",
        metavar="FILE.csv",
        help="the same as --data FILE.csv: a table of path and class in place of a folder per class, as "
        "`audit --fix` writes; lines without a class are left out",
    )
    parser.add_argument(
        "--split",
        choices=("grouped", "random"),
        help="grouped: images of one photograph stay on one side (default, but a folder with train and test "
        "in it keeps its own split); random: as public projects do it",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE.csv",
        help="columns path,group instead of the groups that are found",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="images per class, at most")
    parser.add_argument("--skip-bad", action="store_true", help="leave unreadable files out, and list them")


def add_ray_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds the option that has a cluster do the work; `what` names its pieces."""
    parser.add_argument(
        "--ray",
        metavar="HOST:PORT",
        help=f"head of a Ray cluster that this machine belongs to; it makes the {what}, several at a time",
    )


def data_values(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_data_options` and `--out` gave, as a `DataRequest` takes it.

    Raises:
        InputError: the results would lie among the images, or where TensorFlow can't write.
    """
    data = options.data or [SYNTHETIC]
    if not all(name.strip() for name in data):
        raise InputError("--data, --labels: an empty name; is a variable unset?")
    try:
        str(options.out).encode()
    except UnicodeEncodeError:
        # TensorBoard's logs: each training would fail at its first epoch.
        raise InputError(
            f"--out {options.out}: its name is not UTF-8, and TensorFlow writes to no other; choose another "
            "folder"
        ) from None
    check_apart(options.out, map(Path, data))
    names = ("out", "split", "groups", "limit", "skip_bad")
    return {"data": data[0], "more": tuple(data[1:]), **{name: getattr(options, name) for name in names}}


def check_apart(out: Path, folders: Iterable[Path]) -> None:
    """Checks that results get a folder of their own.

    Raises:
        InputError: `out` is one of the folders of images.
    """
    for folder in folders:
        if out.resolve() == folder.resolve():
            raise InputError(f"--out {out}: is the folder of images; choose another one, or one in it")


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
    """Makes the folders that a command writes to, below `--out`, and marks a new one as output of ours.

    Raises:
        InputError: that is no place to write to, or holds images of the user's.
    """
    try:
        picture = next(filter(is_picture, look_into(out).files), None)
        if picture is not None and not no_data(out):
            raise InputError(
                f"--out {out}: holds images ({printable(picture.name)}); choose a folder for results alone"
            )
        new = not out.exists() or not any(out.iterdir())
        for name in names:
            (out / name).mkdir(parents=True, exist_ok=True)
        if new:
            mark_as_output(out)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; choose a folder that can be written to") from None


def read_train_sizes(text: str) -> tuple[int | None, ...]:
    """Numbers of training images, None for all of them, the largest last."""
    try:
        sizes = [None if part == "all" else int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--train-sizes {text}: give numbers of images or `all`, separated by commas"
        ) from None
    if len(set(sizes)) < len(sizes) or any(size is not None and size < 1 for size in sizes):
        raise InputError(f"--train-sizes {text}: each must be at least 1, and given once")
    return tuple(sorted(sizes, key=lambda size: (size is None, size or 0)))


def read_seeds(text: str) -> list[int]:
    """Whole numbers from 0 on, each once."""
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds {text}: give whole numbers separated by commas, as in 0,1,2") from None
    if min(seeds) < 0 or max(seeds) >= 2**32 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {text}: each seed must be from 0 to 2^32 - 1, and given once")
    return seeds

"""A model, or none, and the images that it is asked about, as words of a command line."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from zipfile import is_zipfile

from cnnzoo.data.folders import look_below, no_data
from cnnzoo.errors import InputError, printable
from experiments.cli.arguments import existing_name
from experiments.cli.process import called, quoted
from experiments.cli.say import say

SHIPPED = "crack_net"
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5", ".onnx", ".tflite", ".pt", ".pth")  # not all can be read


def add_images(parser: argparse.ArgumentParser) -> None:
    """Adds the words that name a model and images."""
    # One list, parsed by itself: else no option could stand between the model and the images.
    parser.add_argument(
        "images",
        metavar="IMAGE_OR_FOLDER",
        nargs="+",
        type=existing_name,
        help="image files, or folders with all below them; before them a model, as cnnzoo compare or "
        "export (.onnx, .tflite) writes it "
        "(default: the crack_net that comes with cnnzoo)",
    )


def with_model(options: argparse.Namespace) -> argparse.Namespace:
    """Takes the model, if one is named, out of the list of images."""
    options.model = options.images.pop(0) if is_model(options.images[0]) else None
    return options


def is_model(path: Path) -> bool:
    """Whether a word names a model: by its suffix, by what the file is, or that of the one in the package."""
    if str(path) == SHIPPED and not path.exists():
        return True
    return path.suffix in MODEL_SUFFIXES or (path.is_file() and is_zipfile(path))


def files_to_ask_about(
    options: argparse.Namespace, command: str
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Returns the files to look at, and what of the folders can't be looked at.

    Raises:
        InputError: there are none, or a model comes after them.
    """
    _check_order(options, command)
    return _files(options.images)


def _check_order(options: argparse.Namespace, command: str) -> None:
    """Checks that there are images, and that no model comes after them."""
    models = [path for path in options.images if is_model(path)]
    if not options.images:
        usage = f"{called(command)} {quoted(options.model)} photos/"
        raise InputError(f"no images to ask {printable(options.model)} about: {usage}")
    if models and options.model is None:
        others = [path for path in options.images if path not in models]
        raise InputError(
            f"{printable(options.images[0])}: the model comes first, then the images: "
            f"{called(command)} {quoted(models[0], *others)}"
        )


def _files(paths: Iterable[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The files to look at, and what of the folders can't be looked at."""
    files: list[Path] = []
    bad: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir() and (reason := no_data(path)):
            say(f"Passed over {printable(path)}: {printable(reason)}", warning=True)
        elif path.is_dir():
            below = look_below(path)
            if not below.files and not below.bad:
                raise InputError(f"{printable(path)}: the folder holds no file")
            files += below.files
            bad += below.bad
            for folder, reason in below.passed_over:
                say(f"Passed over {printable(folder)}: {printable(reason)}", warning=True)
        elif path.is_file():
            files.append(path)
        elif path.exists():
            bad.append((path, "no regular file"))
        elif path.is_symlink():
            bad.append((path, "a link that leads nowhere"))
        else:
            raise InputError(f"{printable(path)}: no such file or folder")
    return files, bad

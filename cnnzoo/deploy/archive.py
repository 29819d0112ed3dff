"""The .keras file as an archive: looked at before Keras reads it, so that a hostile one costs nothing."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from cnnzoo.deploy.parts import LARGEST_TEXT, OURS, object_in
from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.hdf5 import MOST_EXPANSION, check_hdf5

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MEMBERS = (CONFIG, WEIGHTS, OURS, "metadata.json")
LARGEST_WEIGHTS = 8 << 30


class Contents(NamedTuple):
    """The config of a model, what `save_model` added, and the bytes of the weights."""

    config: dict[str, Any]
    ours: dict[str, Any]
    weights_size: int


def read_archive(path: Path) -> Contents:
    """Returns what a .keras file holds beside the weights, once all of it was looked at.

    Raises:
        InputError: the file is no .keras file, damaged, or holds what no model of images needs.
    """
    with refused(path), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = _members(archive)
        config = object_in(archive.read(CONFIG), CONFIG)
        size = members[WEIGHTS].file_size
        _check_weights(archive, size)
        return Contents(config, object_in(archive.read(OURS), OURS) if OURS in members else {}, size)


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Makes one line of what any library says to a model file that somebody made up, or damaged."""
    try:
        yield
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{printable(path)}: not a .keras model file, or a damaged one ({one_line(error)})"
        ) from error
    except Exception as error:
        raise InputError(
            f"{printable(path)}: can't be used as a model: {printable(one_line(error))}"
        ) from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name, with sizes that are what they seem."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename
        if name not in MEMBERS:
            raise ValueError(f"it holds {name[:100]!r}, which no model of images needs")
        if name in members:
            raise ValueError(f"it holds {name} twice")
        most = LARGEST_WEIGHTS if name == WEIGHTS else LARGEST_TEXT
        if member.file_size > min(most, max(LARGEST_TEXT, MOST_EXPANSION * member.compress_size)):
            raise ValueError(f"{name} would take {member.file_size:,} bytes of memory")
        members[name] = member
    for name in (CONFIG, WEIGHTS):
        if name not in members:
            raise ValueError(f"it holds no {name}")
    return members


def _check_weights(archive: zipfile.ZipFile, size: int) -> None:
    # Reading the whole member checks its CRC; from the archive, HDF5's jumps would be slow.
    with io.BytesIO(archive.read(WEIGHTS)) as content:
        try:
            with h5py.File(content, "r") as file:
                check_hdf5(file, size)
        except Exception as error:
            raise ValueError(f"{WEIGHTS} in it: {one_line(error)}") from error

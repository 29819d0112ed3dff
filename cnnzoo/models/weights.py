"""Finds, fetches, checks and loads pretrained weights. Files are HDF5: nothing in them is unpickled."""

import math
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.backend import keras_home
from cnnzoo.download import digest_of, download
from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.files import sha256_of, write_whole

if TYPE_CHECKING:
    import h5py
    import keras


@dataclass(frozen=True)
class PublishedFile:
    """A weights file that its makers offer for download.

    Attributes:
        url: of the file.
        md5: its MD5, or SHA-256 where that is what they publish; None where they publish no hash.
        cached_as: its name in Keras's cache where that is not the one in the URL.
    """

    url: str
    md5: str | None = None
    cached_as: str = ""

    @property
    def file_name(self) -> str:
        """Its name in Keras's cache."""
        return self.cached_as or self.url.rsplit("/", 1)[1]


def find_weights(
    model: str,
    weights: str | Path | None,
    *,
    channels: int,
    published: Callable[[], PublishedFile] | None = None,
) -> Path | None:
    """Turns a `weights` argument into a local file.

    Args:
        model: what messages call it.
        weights: None for none, "imagenet" for the published file, which is fetched if need be, or a file.
        channels: of the model's input.
        published: picks the published file, and is asked for "imagenet" alone; None where there is none.

    Raises:
        InputError: there is no such file, it can't be fetched, or the model does not take three channels.
    """
    if weights is None:
        return None
    if channels != 3:
        raise InputError(f"pretrained weights of {model} need 3 channels, not {channels}; leave them out")
    if str(weights) == "imagenet":
        if published is None:
            raise InputError(f"no weights are published for {model}; train it from random ones")
        return download_weights(model, published())
    path = Path(weights).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: no such weights file for {model}; give a file, 'imagenet' or none")
    return path


def download_weights(model: str, file: PublishedFile) -> Path:
    """Fetches an official no-top file, unless Keras's cache has it.

    The cache is `$KERAS_HOME` or `~/.keras`, shared with keras.applications. A file is checked by its
    published hash at every use, and fetched again where it is damaged. The makers of MobileNet and
    MobileNetV2 publish none: the SHA-256 of the first file that is seen is kept beside it in a file ending
    in .sha256, and every later use and download has to have the same.

    Args:
        model: what messages call it.
        file: to fetch.

    Raises:
        InputError: the network or the server does not answer, the hash differs, or the cache can't be
            written to.
    """
    folder = keras_home() / "models"
    target, seen = folder / file.file_name, folder / f"{file.file_name}.sha256"
    digest = file.md5 or _noted(seen)
    way_out = f"fetch {file.url} elsewhere and pass it with {{weights}}"
    if not file.md5 and digest:
        way_out = f"if its makers have changed it, delete {printable(seen)} to trust it anew, or {way_out}"
    try:
        if target.is_file() and _is_whole(target, digest):
            _note(seen, target, file)
            return target
        folder.mkdir(parents=True, exist_ok=True)
        download(file.url, target, title=f"the weights of {model}", way_out=way_out, digest=digest)
        if not digest:
            check_weights_file(target)
    except OSError as error:
        raise InputError(
            f"{printable(folder)}: {error.strerror}; set KERAS_HOME to another folder"
        ) from error
    except InputError as error:
        if not target.is_file():
            raise InputError(str(error), weights="weights=FILE") from error
        whose = "published" if file.md5 else "first"
        why = f"its hash is not the {whose} one, {digest}" if digest else "damaged"
        raise InputError(f"{printable(target)}: {why}, and {error}", weights="weights=FILE") from error
    _note(seen, target, file)
    return target


def _is_whole(target: Path, digest: str | None) -> bool:
    if digest:
        return digest_of(target, digest) == digest
    try:
        check_weights_file(target)
    except InputError:
        return False
    return True


def _noted(seen: Path) -> str | None:
    """The SHA-256 of the first file; None where none was seen yet."""
    if not seen.is_file():
        return None
    with seen.open(encoding="ascii", errors="replace") as file:
        found = re.match(r"[0-9a-f]{64}\b", file.read(1000))
    if found is None:
        raise InputError(f"{printable(seen)}: holds no SHA-256; delete it to trust the weights anew")
    return found[0]


def _note(seen: Path, target: Path, file: PublishedFile) -> None:
    """Keeps the hash of a file whose makers publish none, as `sha256sum --check` reads it."""
    if file.md5 or seen.is_file():
        return
    # A cache that is only read can't be noted in, and need not be: nothing here changes it.
    with suppress(OSError):
        write_whole(seen, f"{sha256_of(target)}  {target.name}\n")


def check_weights_file(path: Path) -> None:
    """Checks that a file holds arrays of finite numbers, all of them in itself, whatever model they are for.

    Raises:
        InputError: it doesn't, or is missing or damaged.
    """
    import h5py

    from cnnzoo.hdf5 import check_hdf5, not_finite

    if not path.is_file():
        raise InputError(f"{printable(path)}: no such weights file")
    try:
        with h5py.File(path, "r") as file:
            check_hdf5(file, path.stat().st_size)
            odd = not_finite(file)
    except ValueError as error:
        raise InputError(f"{printable(path)}: not used as weights: {printable(one_line(error))}") from error
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{printable(path)}: not an HDF5 weights file, or cut off; fetch it again"
        ) from error
    if odd:
        raise InputError(f"{printable(path)}: {printable(odd)} in it holds NaN or infinity; fetch it again")


def load_weights(backbone: "keras.Model", path: str | Path) -> None:
    """Loads a legacy .h5 or a Keras 3 .weights.h5 file, told apart by what is inside.

    Raises:
        InputError: the file is missing, damaged, holds NaN, is of another layout, or of another model.
    """
    import h5py

    path = Path(path)
    check_weights_file(path)
    with h5py.File(path, "r") as file:
        legacy = _is_legacy(file)
        _check_shapes(backbone, path, _array_shapes(file))
    try:
        with _named_for_keras(path, ".h5" if legacy else ".weights.h5") as name:
            backbone.load_weights(name)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"{path}: does not fit {_describe(backbone)}: {one_line(error)}") from error


def _is_legacy(file: "h5py.File") -> bool:
    """Keras 1 and 2 list the layers in an attribute, which is split in numbered parts when it is long."""
    group = file.get("model_weights", file)
    return "layer_names" in group.attrs or "layer_names0" in group.attrs


def _array_shapes(file: "h5py.File") -> list[tuple[int, ...]]:
    import h5py

    shapes: list[tuple[int, ...]] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            shapes.append(item.shape)

    file.visititems(visit)
    return sorted(shapes)


def _check_shapes(backbone: "keras.Model", path: Path, found: list[tuple[int, ...]]) -> None:
    """Keras takes what it finds in a .weights.h5 file and ignores the rest: compare the whole first."""
    expected = sorted(tuple(weight.shape) for weight in backbone.weights)
    if found == expected:
        return
    message = (
        f"{path}: does not fit {_describe(backbone)}: it holds {_count(found)}, expected {_count(expected)}"
    )
    if len(found) == len(expected):
        message += f", among them shape {next(iter(set(expected) - set(found)), expected[0])}"
    elif len(found) == len(expected) + 2:
        message += " (take the file without the top)"
    raise InputError(message)


def _describe(backbone: "keras.Model") -> str:
    return f"{backbone.name} of input {backbone.input_shape[1:]}"


def _count(shapes: list[tuple[int, ...]]) -> str:
    return f"{len(shapes)} arrays with {sum(math.prod(shape) for shape in shapes):,} numbers"


@contextmanager
def _named_for_keras(path: Path, suffix: str) -> Iterator[str]:
    """Keras chooses its reader by the suffix; a link gives a file the one that its content asks for."""
    if path.name.endswith(suffix) and (suffix != ".h5" or not path.name.endswith(".weights.h5")):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"file{suffix}")
        link.symlink_to(path.resolve())
        yield str(link)

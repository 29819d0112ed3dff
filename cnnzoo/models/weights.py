"""Finds, fetches, checks and loads pretrained weights. Files are HDF5: nothing in them is unpickled."""

import math
import os
import queue
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.errors import InputError, one_line

if TYPE_CHECKING:
    import h5py
    import keras

CONNECT_SECONDS = 10.0


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
    """Fetches an official no-top file through `keras.utils.get_file`, unless Keras's cache has it.

    The cache is `$KERAS_HOME` or `~/.keras`, shared with keras.applications. A file is checked by its
    published hash; the makers of MobileNet and MobileNetV2 publish none.

    Args:
        model: what messages call it.
        file: to fetch.

    Raises:
        InputError: the network or the server does not answer, or the hash differs.
    """
    import keras

    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    file_name = file.file_name

    def refused(what: str) -> InputError:
        way_out = f"fetch {file.url} elsewhere and pass it with {{weights}}"
        return InputError(f"{what}; {way_out}", weights="weights=FILE")

    if not (home / "models" / file_name).is_file():
        reason = _unreachable(file.url)
        if reason:
            raise refused(f"can't fetch the weights of {model} ({reason})")
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(CONNECT_SECONDS):
            path = keras.utils.get_file(
                file_name, file.url, file_hash=file.md5, cache_dir=str(home), cache_subdir="models"
            )
    except ValueError as error:
        raise refused(f"{file_name}: its hash is not the published {file.md5}") from error
    except Exception as error:  # get_file wraps network errors in plain Exception
        raise refused(f"can't fetch the weights of {model} ({one_line(error)})") from error
    return Path(path)


def load_weights(backbone: "keras.Model", path: str | Path) -> None:
    """Loads a legacy .h5 or a Keras 3 .weights.h5 file, told apart by what is inside.

    Raises:
        InputError: the file is missing, damaged, of another layout, or of another model.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    try:
        with h5py.File(path, "r") as file:
            legacy = _is_legacy(file)
            shapes = _array_shapes(file)
    except OSError as error:
        raise InputError(f"{path}: not an HDF5 weights file, or cut off; fetch it again") from error
    _check_shapes(backbone, path, shapes)
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


def _unreachable(url: str) -> str:
    """Returns why the server does not answer within `CONNECT_SECONDS`, or nothing if it does.

    Socket timeouts bound neither the name look-up nor the walk over many addresses, hence the thread.
    """
    answer: queue.Queue[str] = queue.Queue()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()
            answer.put("")
        except Exception as error:  # whatever it is, it is the reason
            answer.put(one_line(error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        return f"no answer within {CONNECT_SECONDS:.0f} s"


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

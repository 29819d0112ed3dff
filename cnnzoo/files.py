"""Files on disk: the cache, reading what is a file, writing that a kill leaves whole, names and hashes."""

import atexit
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, BinaryIO

import platformdirs

from cnnzoo.errors import InputError, printable

_HOST = re.sub(r"[^\w-]", "_", os.uname().nodename)
_UNFINISHED = re.compile(r"\..+\.(?P<host>[\w-]+)-(?P<pid>\d+)\.part(\..*)?", re.DOTALL)
MOST_BYTES = 120  # of a name that begins or ends a file's: file systems take 255 in all
_temporary: list[Path] = []
# Of a file system without locks, as some of networks and of FUSE.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_A_DAY = 24 * 3600  # seconds, after which what another machine left unfinished is taken for dead


def warn_user(line: str) -> None:
    """Says on stderr what went otherwise than asked."""
    print(f"warning: {line}", file=sys.stderr, flush=True)


def cache_dir(*parts: str) -> Path:
    """Returns the folder `parts` below the cache, which `CNNZOO_CACHE` moves, and creates it.

    Where that can't be written, a folder for temporary files takes its place, with a word on stderr: in this
    process and those that it starts, until this one ends.

    Raises:
        InputError: nor can files be written in the folder for temporary ones.
    """
    try:
        return _writable(_cache_root().joinpath(*parts))
    except (OSError, RuntimeError) as error:  # RuntimeError: no home is known
        return _writable(_temporary_cache(error).joinpath(*parts))


def _cache_root() -> Path:
    if root := os.environ.get("CNNZOO_CACHE"):
        return Path(root)
    root = platformdirs.user_cache_dir("cnnzoo")
    if root.startswith("~"):
        raise RuntimeError("there is no home folder")
    return Path(root)


def _writable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "it can't be written", str(folder))
    return folder


def _temporary_cache(error: OSError | RuntimeError) -> Path:
    """Makes a cache in a temporary folder; ours and our children's `CNNZOO_CACHE` from now on."""
    why = f"{printable(error.filename)}: {error.strerror}" if isinstance(error, OSError) else str(error)
    way_out = "name a folder for it in CNNZOO_CACHE"
    try:
        folder = temporary_folder("cache")
    except OSError:
        raise InputError(f"the cache can't be used ({why}), nor can temporary files; {way_out}") from error
    os.environ["CNNZOO_CACHE"] = str(folder)
    warn_user(f"the cache can't be used ({why}): what is kept there is lost in the end; {way_out}")
    return folder


def temporary_folder(name: str) -> Path:
    """Makes a folder that only its owner may enter, and that is removed when the process ends, also in haste.

    Raises:
        OSError: there is no place for it.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"cnnzoo-{name}-"))
    _temporary.append(folder)
    return folder


@atexit.register
def remove_temporary_folders() -> None:
    """Removes what `temporary_folder` made, such as the folder that stood in for the cache."""
    while _temporary:
        shutil.rmtree(_temporary.pop(), ignore_errors=True)


def allocate(file: IO[bytes], size: int, folder: Path) -> None:
    """Gives a file its blocks on the disk: were one missing, writing through a map of it would be fatal.

    Raises:
        InputError: there is no place for it in `folder`.
    """
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        free = shutil.disk_usage(folder).free
        raise InputError(
            f"{printable(folder)}: no room for {size / 1e9:.1f} GB of images or layers' outputs, which don't "
            f"fit in RAM or are shared ({error.strerror}, {free / 1e9:.1f} GB free); choose fewer images "
            "({limit}) or another place (CNNZOO_CACHE)",
            limit="limit",
        ) from error


@contextmanager
def regular_file(path: str | Path) -> Iterator[BufferedReader]:
    """Opens a file for reading, and nothing else: a pipe would be waited for, a device never ends.

    Raises:
        InputError: it is no file.
        OSError: it can't be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise InputError("no regular file")
    with open(descriptor, "rb") as file:
        yield file


def lock(file: IO[bytes], *, wait: bool = True) -> bool:
    """Takes the kernel's lock on an open file; returns False where its file system has no locks.

    Raises:
        BlockingIOError: another process has it, and `wait` is False.
        OSError: it can't be taken.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of `path` in the end.

    Killed or failing in between, a program leaves the older file or none, never a part; nor does a machine
    that loses its power. What a killed one left unfinished in the folder is removed.

    Raises:
        OSError: it can't be written, with the name of the file.
    """
    # The suffix stays: Keras goes by it. A name that may be written leaves no room for all of this beside it.
    stem = path.stem if len(os.fsencode(path.stem)) <= MOST_BYTES else file_stem(path.stem)
    unfinished = path.with_name(f".{stem}.{_HOST}-{os.getpid()}.part{path.suffix}")
    _remove_unfinished(path.parent)
    try:
        yield unfinished
        _to_disk(unfinished)
        unfinished.replace(path)
        _to_disk(path.parent)
    except OSError as error:
        if error.filename is None:  # as where the disk is full
            error.filename = str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    with suppress(OSError):
        for entry in os.scandir(folder):
            found = _UNFINISHED.fullmatch(entry.name)
            if found and entry.is_file(follow_symlinks=False) and _is_dead(found, entry.stat().st_mtime):
                os.unlink(entry)


def _is_dead(name: re.Match[str], changed: float) -> bool:
    """Whether the process that a file is named after is gone."""
    if name["host"] == _HOST:
        import psutil  # behind the answer to --help

        return not psutil.pid_exists(int(name["pid"]))
    return time.time() - changed > _A_DAY


def _to_disk(path: Path) -> None:
    """Has a file, or the names in a folder, on disk before it returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file so that a kill leaves the older one or the whole new one, never a part."""
    if isinstance(content, str):
        content = content.encode(errors="replace")
    with replaced_whole(path) as unfinished:
        unfinished.write_bytes(content)


def keep(file: Path, text: str) -> None:
    """Writes a file of the cache with the hash of what is in it; where that fails, it says so and goes on."""
    try:
        write_whole(file, f"{_digest(file, text)}\n{text}")
    except OSError as error:
        warn_user(f"{printable(file)}: {error.strerror}; it is not kept for the next time")


def kept(file: Path) -> str | None:
    """Returns what `keep` wrote; None where there is nothing, or, with a word, where it is damaged."""
    try:
        with regular_file(file) as opened:
            content = opened.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except (OSError, InputError):
        content = ""
    digest, _, text = content.partition("\n")
    if digest == _digest(file, text):
        return text
    discard(file)
    return None


def discard(file: Path) -> None:
    """Takes a damaged file out of the cache, with a word."""
    warn_user(f"{printable(file)} is damaged: it is made again")
    with suppress(OSError):
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()


def _digest(file: Path, text: str) -> str:
    # With the name, so that a file which took another's place is not believed.
    return hashlib.sha256(f"{file.name}\n{text}".encode(errors="replace")).hexdigest()


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file of records and has it on disk before it returns."""
    try:
        with path.open("a+b") as file:
            # A run killed while it wrote leaves a torn line: end it, so that it costs one record and not two.
            if file.tell() and _last_byte(file) != b"\n":
                file.write(b"\n")
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)  # it has none where the disk is full
        raise


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def file_stem(name: str) -> str:
    """Returns `name` with what a file name shouldn't hold replaced, and cut where it is long."""
    stem = re.sub(r"[^\w.+-]", "_", name)
    if len(stem.encode()) <= MOST_BYTES:
        return stem
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{stem.encode()[: MOST_BYTES - 9].decode(errors='ignore')}-{digest}"


def sha256_of(path: str | Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Files on disk: the cache, writing that a kill leaves whole, names and hashes."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import platformdirs


def cache_dir(*parts: str) -> Path:
    """Returns the folder `parts` below the cache, which `CNNZOO_CACHE` moves, and creates it."""
    root = os.environ.get("CNNZOO_CACHE") or platformdirs.user_cache_dir("cnnzoo")
    folder = Path(root, *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of `path` in the end.

    Killed or failing in between, a program leaves the older file or none, never a part; nor does a machine
    that loses its power.
    """
    # The suffix stays: Keras goes by it.
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield unfinished
        _to_disk(unfinished)
        unfinished.replace(path)
        _to_disk(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Has a file, or the names in a folder, on disk before it returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that a kill leaves the older one or the whole new one, never a part."""
    with replaced_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="replace")


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file of records and has it on disk before it returns."""
    with path.open("a+b") as file:
        # A run killed while it wrote leaves a torn line: end it, so that it costs one record and not two.
        if file.tell() and _last_byte(file) != b"\n":
            file.write(b"\n")
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def file_stem(name: str) -> str:
    """Returns `name` with what a file name shouldn't hold replaced."""
    return re.sub(r"[^\w.+-]", "_", name)


def sha256_of(path: str | Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""One command at a time in a folder of results: a second one would mix its files with the first one's."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from cnnzoo.errors import InputError, printable
from cnnzoo.files import lock
from experiments.cli.process import called
from experiments.cli.say import Say, say

LOCK_FILE = ".lock"


@contextmanager
def alone_in(out: Path, name: str, say: Say = say) -> Iterator[None]:
    """Keeps a folder of results to this process; `name` is the command's, as in `compare`.

    The lock is the kernel's, which gives it back when its holder ends, however it ends. What the file says is
    for people alone.

    Raises:
        InputError: another process holds the folder, or the file can't be opened.
    """
    path = out / LOCK_FILE
    try:
        # Not truncated: it may hold the name of whoever has the lock.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    except OSError as error:
        raise InputError(f"--out {printable(path)}: {error.strerror}; choose another folder") from None
    with file:
        _take(file, out, say)
        try:
            _sign(file, name)
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def _take(file: BinaryIO, out: Path, say: Say) -> None:
    try:
        locked = lock(file, wait=False)
    except BlockingIOError:
        raise InputError(
            f"--out {printable(out)}: {_holder(file)} writes to it; wait until that ends, or choose another "
            "folder"
        ) from None
    except OSError as error:
        raise InputError(f"--out {printable(out)}: {error.strerror}; choose another folder") from None
    if not locked:
        say(f"{printable(out)}: can't be locked there; start nothing else that writes to it", warning=True)


def _sign(file: BinaryIO, name: str) -> None:
    """Leaves who holds the folder; a full disk is no reason to stop before anything is lost."""
    holder = {
        "command": called(name),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
    }
    with suppress(OSError):
        file.truncate(0)
        file.write(json.dumps(holder).encode())


def _holder(file: BinaryIO) -> str:
    """Says who holds the folder, as well as the file tells."""
    try:
        text = json.loads(file.read(10_000))
        told = "{command} (process {pid} on {host}, since {since})".format_map(text)
        return printable(told)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError):
        return "another command"

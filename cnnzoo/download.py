"""One file from a web server: over https alone, within bounds, resumed where it stopped, and checked.

Not by pooch, which checks hashes too: what broke off it fetches again from the first byte, and it sets no
bound to what a server sends, or how slowly.
"""

import errno
import hashlib
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.files import lock

SCHEMES = ("https",)
TIMEOUT = 10.0  # seconds without a byte
OPENING = 3 * TIMEOUT  # seconds for look-up, connection, redirects and headers together
ATTEMPTS = 5  # connections that may break off in one call
WINDOW, SLOWEST = 30.0, 16 << 10  # seconds in which less than so many bytes a second are too few
LARGEST = 4 << 30  # bytes of a file whose size nobody has published
CHUNK = 1 << 18
NOT_THERE = 416  # what a server answers where a file ends before the part that is asked for


class _Broken(Exception):
    """The server or the network failed, not this machine; says how."""


def download(
    url: str, target: Path, *, title: str, way_out: str, digest: str | None = None, size: int | None = None
) -> Path:
    """Downloads `url` to `target`, by way of a .part beside it.

    Args:
        url: https address; it may redirect to others. A server that can't resume is read from the start.
        target: file to write; what is there is replaced once the new one is whole and checked.
        title: what the bar and the messages call it.
        way_out: what the user can do instead, for the messages.
        digest: MD5 or SHA-256 in hex that it has to have; None where it isn't known.
        size: bytes that it has to have; None where they aren't known.

    Raises:
        InputError: no answer, the connection broke off time and again, or was too slow; the server sends
            something else or too much; or there is no room. What was received stays for the next call where
            `digest` will tell whether it is right, unless the disk is full.
    """
    # Without a hash, nothing would tell halves of two files.
    part = target.with_name(f"{target.name}.part" if digest else f"{target.name}.{os.getpid()}.part")
    try:
        with _alone(part) as file:
            if digest and target.is_file() and digest_of(target, digest) == digest:
                part.unlink()  # another process has fetched it meanwhile
                return target
            try:
                _fetch(url, file, resume=digest is not None, size=size, title=title)
            except _Broken as error:
                raise _incomplete(str(error), file, title, way_out, size, keep=digest is not None) from error
            os.fsync(file.fileno())
            if digest and digest_of(part, digest) != digest:
                part.unlink()
                raise InputError(f"{title}: what {url} sent is not the published file; {way_out}")
            return part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{printable(target.parent)}: can't keep {title} there: {error.strerror or error}"
        ) from error
    finally:
        if not digest:
            part.unlink(missing_ok=True)


def digest_of(path: Path, like: str) -> str:
    """Returns the MD5 or SHA-256 of a file, in hex, whichever is as long as `like`."""
    kind = hashlib.sha256 if len(like) == 64 else _md5
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)  # the only hash that some makers publish


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """Opens a part, once no other process writes to it; without a byte in it in the end, it goes."""
    while True:
        with part.open("ab") as file:
            lock(file)
            if not part.exists() or not os.path.samestat(part.stat(), os.fstat(file.fileno())):
                continue  # whoever had it has given it its name, or removed it
            try:
                yield file
            finally:
                if part.exists() and part.stat().st_size == 0:
                    part.unlink()
            return


def _fetch(url: str, file: BinaryIO, *, resume: bool, size: int | None, title: str) -> None:
    """Appends to `file` what is missing of it."""
    reason = "the connection broke off"
    for _ in range(ATTEMPTS):
        start = _length(file) if resume else 0
        if size is not None and start >= size:
            return
        try:
            with _open(url, start) as response:
                return _receive(response, file, start=start, size=size, title=title)
        except _Broken as error:
            reason = str(error)
            if isinstance(error.__cause__, HTTPError) and error.__cause__.code == NOT_THERE and start:
                file.truncate(0)
            elif _length(file) <= start:
                break
    raise _Broken(reason)


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _incomplete(
    reason: str, file: BinaryIO, title: str, way_out: str, size: int | None, *, keep: bool
) -> InputError:
    if not keep:
        file.truncate(0)
    if received := _length(file):
        of = f" of {size:,}" if size else ""
        way_out = f"{received:,}{of} bytes are here: run again to go on, or {way_out}"
    return InputError(f"can't download {title} ({reason}); {way_out}")


class _SameScheme(HTTPRedirectHandler):
    """Follows no redirect that anybody on the way could answer."""

    max_redirections = 5

    def http_error_302(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> HTTPResponse | None:
        if url := headers.get("Location"):
            try:
                _check_scheme(urljoin(req.full_url, url))
            except HTTPException:
                fp.close()
                raise
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _check_scheme(url: str) -> None:
    if url.partition(":")[0].lower() not in SCHEMES:
        raise HTTPException(f"it leads to {printable(url)[:100]}, which is not {' or '.join(SCHEMES)}")


def _open(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "cnnzoo", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"

    def answer() -> HTTPResponse:
        _check_scheme(url)
        request = Request(url, headers=headers)  # noqa: S310 - the scheme has just been checked
        return build_opener(_SameScheme).open(request, timeout=TIMEOUT)

    try:
        return _within(OPENING, answer)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise _Broken(one_line(error).removeprefix("<urlopen error ").removesuffix(">")) from error


def _within(seconds: float, ask: Callable[[], HTTPResponse]) -> HTTPResponse:
    """Socket timeouts bound neither the name look-up, nor many addresses, nor slow headers: a thread does."""
    answer: queue.Queue[HTTPResponse | Exception] = queue.Queue()
    late = threading.Event()

    def put() -> None:
        try:
            response = ask()
            answer.put(response)
            if late.is_set():
                response.close()
        except Exception as error:
            answer.put(error)

    threading.Thread(target=put, daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        late.set()
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
    if isinstance(found, Exception):
        raise found
    return found


def _receive(response: HTTPResponse, file: BinaryIO, *, start: int, size: int | None, title: str) -> None:
    """Appends to `file` what comes, or writes it anew where the server answered with the whole file."""
    resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    )
    start = start if resumed else 0
    expected = _expected(response, start, size)
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(file.name))).free
    if expected - start > free:
        raise OSError(errno.ENOSPC, f"it takes {expected - start:,} bytes, {free:,} are free")
    file.truncate(start)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Downloading {title}", total=expected, completed=start)
        for chunk in _chunks(response, expected - start):
            file.write(chunk)
            file.flush()
            bar.advance(task, len(chunk))


def _expected(response: HTTPResponse, start: int, size: int | None) -> int:
    """How long the file will be in the end."""
    length = response.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        if size is None:
            raise _Broken("the server doesn't say how large it is")
        return size
    offered = start + int(length[:20])
    if size is not None and offered != size:
        raise _Broken(f"the server offers {offered:,} bytes instead of {size:,}")
    if offered > LARGEST:
        raise _Broken(f"the server offers {offered:,} bytes, at most {LARGEST:,} are taken")
    return offered


def _chunks(response: HTTPResponse, missing: int) -> Iterator[bytes]:
    """What comes until nothing is missing, and not a byte more."""
    since, came = time.monotonic(), 0
    while missing:
        try:
            chunk = response.read1(min(CHUNK, missing))
        except (OSError, HTTPException, ValueError) as error:
            raise _Broken(one_line(error)) from error
        if not chunk:
            raise _Broken("the connection broke off")
        yield chunk
        missing, came = missing - len(chunk), came + len(chunk)
        passed = time.monotonic() - since
        if passed > WINDOW:
            if came < SLOWEST * passed:
                raise _Broken(f"{came / passed / 1024:.1f} KiB a second are too few")
            since, came = time.monotonic(), 0

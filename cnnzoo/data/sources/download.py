"""One file from a web server: with a bar, resumed where it stopped, and checked.

Not by pooch, which checks hashes too: what broke off it fetches again from the first byte.
"""

import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from cnnzoo.errors import InputError, one_line
from cnnzoo.files import sha256_of

TIMEOUT = 10.0  # seconds without an answer
ATTEMPTS = 5  # connections that may break off in one call
CHUNK = 1 << 18


def download(url: str, target: Path, *, size: int, sha256: str, title: str, way_out: str) -> Path:
    """Downloads `url` to `target`, by way of `target`.part.

    Args:
        url: address; it may redirect. A server that can't resume is read from the start again.
        target: file to write.
        size: bytes that the file has to have.
        sha256: hash that it has to have.
        title: what the bar and the messages call it.
        way_out: what the user can do instead, for the messages.

    Raises:
        InputError: no answer within some 10 seconds, the connection broke off time and again, or the server
            sends something else. What was received stays for the next call, unless it is wrong.
    """
    part = target.with_name(target.name + ".part")
    reason = ""
    for _ in range(ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        if start >= size:
            break
        try:
            with _open(url, start) as response:
                _receive(response, part, start=start, size=size, title=title)
        except (OSError, HTTPException) as error:
            reason = one_line(error).removeprefix("<urlopen error ").removesuffix(">")
            if not part.exists() or part.stat().st_size == start:
                break
    received = part.stat().st_size if part.exists() else 0
    if received < size:
        if received:
            way_out = f"{received:,} of {size:,} bytes are here: run again to go on, or {way_out}"
        raise InputError(f"can't download {title} ({reason or 'the connection broke off'}); {way_out}")
    if sha256_of(part) != sha256:
        part.unlink()
        raise InputError(f"{title}: what {url} sent is not the published file; {way_out}")
    return part.replace(target)


def _open(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "cnnzoo", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def _receive(response: HTTPResponse, part: Path, *, start: int, size: int, title: str) -> None:
    """Appends to `part` what comes, or writes it anew where the server answered with the whole file."""
    resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    )
    start = start if resumed else 0
    length = response.headers.get("Content-Length")
    if length is not None and start + int(length) != size:
        raise HTTPException(f"the server offers {start + int(length):,} bytes instead of {size:,}")
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        part.open("ab" if resumed else "wb") as file,
    ):
        task = bar.add_task(f"Downloading {title}", total=size, completed=start)
        while start < size and (chunk := response.read(CHUNK)):
            file.write(chunk)
            start += len(chunk)
            bar.update(task, completed=start)

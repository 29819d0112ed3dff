"""What is refused before Gradio sees it: its server does far more than this page has a use for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from experiments.demo.kept import UPLOAD_SECONDS, Kept

MAX_BYTES = 32 << 20  # of a picture
_AROUND = 2 << 20  # more, of a request with one in it: Gradio says which file is too large
_MAX_QUESTION = 64 << 10  # of any other request

# What the page asks for. All else, such as Gradio's relay to other servers, is not there.
_FILE, _UPLOAD = "/gradio_api/file=", "/gradio_api/upload"
_POSTED = {_UPLOAD, *(f"/gradio_api/{name}" for name in ("queue/join", "run/predict", "cancel", "reset"))}
_FETCHED = {
    *("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"),
    *(
        f"/gradio_api/{name}"
        for name in ("info", "queue/data", "startup-events", "theme.css", "upload_progress")
    ),
}
_FETCHED_BELOW = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/", _FILE)

# What the browser may load and talk to: this server. Gradio's page has scripts and styles within it.
_POLICY = "; ".join(
    (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
_FILE_POLICY = "sandbox; default-src 'none'"  # a picture may hold scripts (SVG), which are not to run
_HEADERS = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Refusal = tuple[int, str]


class Guard:
    """Has browsers load nothing from elsewhere, and lets through what the page itself asks for.

    It answers only to the names of this computer: a page of somebody else's could otherwise have its own name
    lead here, and read what is shown.
    """

    def __init__(self, application: Any, kept: Kept, names: Iterable[str]) -> None:
        """Takes the application, its pictures, and the names that it answers to; without any, to all."""
        self._application, self._kept = application, kept
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers a request, as an ASGI application does."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if refusal := self._refusal(scope, headers):
            await _refuse(send, *refusal)
            return
        policy = _FILE_POLICY if scope["path"].startswith(_FILE) else _POLICY

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = (b"content-security-policy", policy.encode())
                message["headers"] = [*message.get("headers", []), more, *_HEADERS]
            await send(message)

        if scope["path"] != _UPLOAD:
            await self._application(scope, receive, guarded)
            return
        with self._kept.coming(_length(headers) or 0):
            await _in_time(self._application, scope, receive, guarded)

    def _refusal(self, scope: Message, headers: dict[bytes, bytes]) -> Refusal | None:
        """Why a request is refused; None where it isn't."""
        path, method = scope["path"], scope["method"]
        if self._names and _name_in(headers) not in self._names:
            return 421, "not the name of this computer"
        if _from_elsewhere(headers, method):
            return 403, "not asked by this page"
        if method == "POST" and path in _POSTED:
            return self._too_large(path, headers)
        if method not in ("GET", "HEAD") or not (path in _FETCHED or path.startswith(_FETCHED_BELOW)):
            return 404, "no such page"
        if path.startswith(_FILE) and not self._kept.holds(path.removeprefix(_FILE)):
            return 403, "no picture of this page"
        return None

    def _too_large(self, path: str, headers: dict[bytes, bytes]) -> Refusal | None:
        length = _length(headers)
        if length is None:
            return 411, "its length is missing"
        if length > (MAX_BYTES + _AROUND if path == _UPLOAD else _MAX_QUESTION):
            return 413, "too large"
        if path == _UPLOAD and not self._kept.has_room(length):
            return 507, "Too many pictures at a time: try again in some minutes"
        return None


async def _in_time(application: Any, scope: Message, receive: Receive, send: Send) -> None:
    """Has an application take an upload, which is cut off where it takes too long: it would keep its room."""
    until = asyncio.get_running_loop().time() + UPLOAD_SECONDS
    whole = late = False

    async def received() -> Message:
        nonlocal whole, late
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            late = True
            return {"type": "http.disconnect"}
        whole = not message.get("more_body", False)
        return message

    async def sent(message: Message) -> None:
        if not late:  # else it says that the browser has gone
            await send(message)

    try:
        await application(scope, received, sent)
    except Exception:
        if not late:
            raise
    if late:
        minutes = UPLOAD_SECONDS // 60
        await _refuse(
            send, 408, f"The picture took longer than {minutes} minutes to come: send a smaller one"
        )


async def _refuse(send: Send, status: int, said: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said.encode()})


def _name_in(headers: dict[bytes, bytes]) -> str:
    """The name that a browser asked for, without its port."""
    host = headers.get(b"host", b"").decode("latin-1")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.strip("[]").lower()


def _from_elsewhere(headers: dict[bytes, bytes], method: str) -> bool:
    """Whether a page of somebody else's, open in the same browser, asks: it could upload, if not read."""
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2].lower() != headers.get(b"host", b"").lower():
        return True
    site = headers.get(b"sec-fetch-site", b"none")
    return method not in ("GET", "HEAD") and site not in (b"same-origin", b"none")


def _length(headers: dict[bytes, bytes]) -> int | None:
    """The bytes of a request's content; None where they are only known once it has come."""
    length = headers.get(b"content-length", b"")
    return int(length) if length.isdigit() and b"transfer-encoding" not in headers else None

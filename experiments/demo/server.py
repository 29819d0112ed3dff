"""The web server of the page: on one port of this computer, and with nothing from any other."""

import errno
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.errors import InputError

if TYPE_CHECKING:
    import gradio as gr

PORT, PORTS = 7860, 100  # the first that is tried, and how many
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

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
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)

_ENDING_SECONDS = 1  # that an answer may still take when the command ends

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def bound(host: str, port: int | None) -> socket.socket:
    """Returns a socket that listens: on `port`, or without one on the first free one from 7860 on.

    Raises:
        InputError: the port is taken, or there is no such address here.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host}: no address of this computer") from error
    for number in range(PORT, PORT + PORTS) if port is None else [port]:
        try:
            return socket.create_server((str(address[0]), number), family=family)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port is None:
                continue
            raise InputError(_refused(host, number, error)) from error
    raise InputError(f"--port: those from {PORT} to {PORT + PORTS - 1} are all taken; name another one")


def _refused(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: taken by another program; name another one, or none"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"--port {port}: not allowed to you; name one above 1023"
    return f"--host {host}: no address of this computer ({os.strerror(error.errno or 0)})"


def is_local(listening: socket.socket) -> bool:
    """Whether no other computer reaches it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def address_of(listening: socket.socket) -> str:
    """What to type into a browser."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def be_silent(folder: Path) -> None:
    """Has Gradio tell nobody anything, and keep pictures in `folder`; it reads both when it is imported."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(folder),
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
    )


def serve(page: "gr.Blocks", listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serves a page until this thread is interrupted; `ready` is called when it can be opened."""
    import uvicorn

    names = LOCAL_NAMES if is_local(listening) else ()
    config = uvicorn.Config(
        _Guard(_application(page), names),
        log_level="critical",  # a visitor who leaves, or an end in the middle of an answer, is no error
        ws="none",
        timeout_graceful_shutdown=_ENDING_SECONDS,
    )
    server = uvicorn.Server(config)
    # Signals are the command's: in a thread of its own the server leaves them alone.
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.05)
        if thread.is_alive():
            ready()
        while thread.is_alive():
            thread.join(0.2)
    finally:
        server.should_exit = True
        thread.join(_ENDING_SECONDS + 1)


def _application(page: "gr.Blocks") -> Any:
    """The page as an application, with all that would reach beyond this computer left out."""
    import fastapi
    import gradio as gr

    from experiments.demo.page import MAX_BYTES, head, style, theme

    return gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page,
        path="",
        footer_links=[],
        run_history=False,  # it would keep pictures in the browser
        show_error=False,
        max_file_size=MAX_BYTES,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        theme=theme(),
        css=style(),
        head=head(),
    )


class _Guard:
    """Has browsers load nothing from elsewhere, and answers only to the names of this computer.

    A page of somebody else's could otherwise have its own name lead here, and read what is shown.
    """

    def __init__(self, application: Any, names: Sequence[str]) -> None:
        """Takes the application, and the names that it answers to; without any, to all."""
        self._application, self._names = application, names

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if self._names and _name_in(scope) not in self._names:
            await send({"type": "http.response.start", "status": 421, "headers": []})
            await send({"type": "http.response.body", "body": b"not the name of this computer"})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self._application(scope, receive, guarded)


def _name_in(scope: Message) -> str:
    """The name that a browser asked for, without its port."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.strip("[]").lower()

"""The web server of the page: on one port of this computer, and with nothing from any other."""

import errno
import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.errors import InputError
from experiments.demo.guard import MAX_BYTES, Guard
from experiments.demo.kept import LOOKS_AFTER, Kept

if TYPE_CHECKING:
    import gradio as gr

PORT, PORTS = 7860, 100  # the first that is tried, and how many
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

_ENDING_SECONDS = 1  # that an answer may still take when the command ends


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


def names_of(listening: socket.socket, host: str) -> tuple[str, ...]:
    """The names that are answered to, `host` being the one that was asked for; none stands for all."""
    return (*LOCAL_NAMES, str(listening.getsockname()[0]), host) if is_local(listening) else ()


def serve(
    page: "gr.Blocks", listening: socket.socket, host: str, kept: Kept, ready: Callable[[], None]
) -> None:
    """Serves a page until this thread is interrupted; `ready` is called when it can be opened."""
    import uvicorn

    # What libraries would log of a malformed request goes nowhere: anybody could fill the terminal with it.
    logging.getLogger().addHandler(logging.NullHandler())
    config = uvicorn.Config(
        Guard(_application(page), kept, names_of(listening, host)),
        log_level="critical",  # a visitor who leaves, or an end in the middle of an answer, is no error
        ws="none",
        timeout_graceful_shutdown=_ENDING_SECONDS,
    )
    server = uvicorn.Server(config)
    ended = threading.Event()

    def run() -> None:
        try:
            server.run([listening])
        finally:
            ended.set()

    # Signals are the command's: in a thread of its own the server leaves them alone. An event is waited for:
    # a `join` that Ctrl-C interrupts takes the thread for ended (Python 3.11); its socket would be closed.
    threading.Thread(target=run, daemon=True).start()
    try:
        while not (ended.is_set() or server.started):
            time.sleep(0.05)
        if not ended.is_set():
            ready()
        swept = time.monotonic()
        while not ended.wait(0.2):
            if time.monotonic() - swept >= LOOKS_AFTER:
                kept.sweep()
                swept = time.monotonic()
    finally:
        server.should_exit = True
        ended.wait(_ENDING_SECONDS + 1)


def _application(page: "gr.Blocks") -> Any:
    """The page as an application, with all that would reach beyond this computer left out."""
    import fastapi
    import gradio as gr

    from experiments.demo.page import head, style, theme

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

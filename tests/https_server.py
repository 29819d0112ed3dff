"""A web server on this machine that speaks TLS, whose certificate the process trusts while it runs."""

import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

import pytest


def certificate(folder):
    """Makes a certificate for 127.0.0.1 and its key; returns their files."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate of the test's server, is not here")
    crt, key = folder / "server.crt", folder / "server.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", crt], check=True, capture_output=True)
    return crt, key


@contextmanager
def serving(handler, files=None):
    """Yields the address of a server: https with a certificate's `files`, else http."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # whoever asked has hung up
        if files:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*files)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"{'https' if files else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()

"""Where `cnnzoo demo` listens, and whom it answers."""

import asyncio
import socket

import pytest

from cnnzoo.errors import InputError
from experiments.demo import server


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_taken_port_is_refused_where_it_was_asked_for(taken):
    with pytest.raises(InputError, match=f"--port {taken}: taken"):
        server.bound("127.0.0.1", taken)


def test_without_a_port_the_next_free_one_is_taken(taken, monkeypatch):
    monkeypatch.setattr(server, "PORT", taken)
    with server.bound("127.0.0.1", None) as listening:
        assert taken < listening.getsockname()[1] < taken + server.PORTS
    monkeypatch.setattr(server, "PORTS", 1)
    with pytest.raises(InputError, match="all taken"):
        server.bound("127.0.0.1", None)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such name", "a" * 70])
def test_what_is_no_address_of_this_computer_is_refused(host):
    with pytest.raises(InputError, match="--host"):
        server.bound(host, None)


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)])
def test_it_is_known_whether_others_reach_it(host, local):
    with server.bound(host, None) as listening:
        assert server.is_local(listening) is local
        address = server.address_of(listening)
    assert address.startswith("http://") and "0.0.0.0" not in address


def answered(guard, host):
    """The status and headers of an answer to who asks for a host."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(guard({"type": "http", "headers": [(b"host", host.encode())]}, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})


def test_it_answers_to_the_names_of_this_computer_alone():
    guard = server._Guard(application, server.LOCAL_NAMES)
    for host in ("localhost:7860", "127.0.0.1:7860", "[::1]:7860", "LOCALHOST"):
        assert answered(guard, host)[0] == 200
    for host in ("somebody.example:7860", "127.0.0.1.somebody.example", ""):
        assert answered(guard, host)[0] == 421
    assert answered(server._Guard(application, ()), "wall.local:7860")[0] == 200


def test_browsers_are_told_to_load_nothing_from_elsewhere():
    _, headers = answered(server._Guard(application, ()), "localhost")
    assert headers[b"x"] == b"y"
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self'") and "http" not in policy and "*" not in policy

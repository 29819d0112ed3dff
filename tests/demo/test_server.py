"""Where `cnnzoo demo` listens."""

import socket
from urllib.parse import urlsplit

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


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "127.0.0.1"])
def test_the_address_that_is_printed_is_answered_to(host):
    with server.bound(host, None) as listening:
        names = server.names_of(listening, host)
        assert urlsplit(server.address_of(listening)).hostname in names and host in names
    with server.bound("0.0.0.0", None) as listening:
        assert server.names_of(listening, "0.0.0.0") == ()

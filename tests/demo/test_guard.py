"""Whom `cnnzoo demo` answers, and what it takes from them."""

import asyncio

import pytest

from experiments.demo import guard as guarding
from experiments.demo.guard import MAX_BYTES, Guard
from experiments.demo.kept import Kept
from experiments.demo.server import LOCAL_NAMES

UPLOAD = "/gradio_api/upload"


def asked(guard, path="/", method="GET", **headers):
    """The status, headers and content of an answer."""
    sent = []

    async def send(message):
        sent.append(message)

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(guard({"type": "http", "path": path, "method": method, "headers": pairs}, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[-1].get("body", b"").decode()


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "example.jpg").write_bytes(bytes(100))
    return Kept(tmp_path, 3000)


@pytest.fixture
def guard(kept):
    return Guard(application, kept, LOCAL_NAMES)


def test_it_answers_to_the_names_of_this_computer_alone(guard, kept):
    for host in ("localhost:7860", "127.0.0.1:7860", "[::1]:7860", "LOCALHOST"):
        assert asked(guard, host=host)[0] == 200
    for host in ("somebody.example:7860", "127.0.0.1.somebody.example", ""):
        assert asked(guard, host=host)[0] == 421
    assert asked(Guard(application, kept, ()), host="wall.local:7860")[0] == 200
    assert asked(Guard(application, kept, ("Wall",)), host="wall:7860")[0] == 200


def test_browsers_are_told_to_load_nothing_from_elsewhere_and_to_run_no_picture(guard, tmp_path):
    _, headers, _ = asked(guard, host="localhost")
    assert headers[b"x"] == b"y"
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self'") and "http" not in policy and "*" not in policy
    _, headers, _ = asked(guard, f"/gradio_api/file={tmp_path}/example.jpg", host="localhost")
    assert headers[b"content-security-policy"].startswith(b"sandbox")


def test_only_files_of_its_folder_are_given_out_and_only_routes_of_its_own_are_there(guard, tmp_path):
    for path in ("/etc/passwd", "x", "http://203.0.113.7/x", tmp_path, f"{tmp_path}/../x"):
        assert asked(guard, f"/gradio_api/file={path}", host="localhost")[0] == 403
    assert asked(guard, f"/gradio_api/file={tmp_path}/example.jpg", host="localhost")[0] == 200
    for path in ("/gradio_api/proxy=http://203.0.113.7/", "/gradio_api/runs", "/login", "//config", "/docs"):
        assert asked(guard, path, host="localhost")[0] == 404
    assert asked(guard, "/gradio_api/vibe-edit", "POST", host="localhost", content_length="2")[0] == 404
    assert asked(guard, "/", "OPTIONS", host="localhost")[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost:7860", "sec_fetch_site": "same-origin"}, 200),
        ({"origin": "https://LOCALHOST:7860"}, 200),
        ({"origin": "http://localhost:1"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
    ],
)
def test_what_another_site_sends_is_refused(guard, headers, status):
    given = {"host": "localhost:7860", "content_length": "10", **headers}
    assert asked(guard, UPLOAD, "POST", **given)[0] == status


def test_a_link_from_another_site_opens_the_page(guard):
    assert asked(guard, host="localhost", sec_fetch_site="cross-site")[0] == 200


def test_what_is_sent_at_a_time_is_bounded(guard, kept, tmp_path):
    def sent(size, path=UPLOAD, **more):
        return asked(guard, path, "POST", host="localhost", content_length=str(size), **more)

    assert sent(2900)[0] == 200 and sent(2900)[0] == 200  # what never came takes no room
    status, _, said = sent(2901)
    assert (status, said) == (507, "Too many pictures at a time: try again in some minutes")
    with kept.coming(2000):
        assert sent(901)[0] == 507 and sent(900)[0] == 200
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "wall.jpg").write_bytes(bytes(2000))
    assert sent(901)[0] == 507 and sent(900)[0] == 200
    assert sent(2 * MAX_BYTES)[0] == 413
    assert sent(1 << 20, "/gradio_api/queue/join")[0] == 413
    assert sent(10, transfer_encoding="chunked")[0] == 411
    assert asked(guard, UPLOAD, "POST", host="localhost")[0] == 411


def test_an_upload_that_trickles_for_ever_is_cut_off_and_told_so(kept, monkeypatch):
    monkeypatch.setattr(guarding, "UPLOAD_SECONDS", 0.2)
    sent = []

    async def trickle():
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def application(scope, receive, send):
        assert not kept.has_room(2000)
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 500, "headers": []})
        raise RuntimeError("the browser has gone")

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"2000")]
    scope = {"type": "http", "path": UPLOAD, "method": "POST", "headers": headers}
    asyncio.run(asyncio.wait_for(Guard(application, kept, LOCAL_NAMES)(scope, trickle, send), 5))
    assert [message["status"] for message in sent[:-1]] == [408] and b"minutes" in sent[-1]["body"]
    assert kept.has_room(2000)


def test_an_upload_that_came_in_time_may_be_answered_later(kept, monkeypatch):
    monkeypatch.setattr(guarding, "UPLOAD_SECONDS", 0.05)
    messages = iter([{"type": "http.request", "body": b"x", "more_body": False}, {"type": "left"}])

    async def receive():
        return next(messages)

    async def application(scope, receive, send):
        await receive()
        await asyncio.sleep(0.1)
        assert await receive() == {"type": "left"}
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent = []

    async def send(message):
        sent.append(message["status"])

    headers = [(b"host", b"localhost"), (b"content-length", b"1")]
    scope = {"type": "http", "path": UPLOAD, "method": "POST", "headers": headers}
    asyncio.run(Guard(application, kept, LOCAL_NAMES)(scope, receive, send))
    assert sent == [200]

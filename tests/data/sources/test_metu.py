"""The METU source against archives written here byte by byte and a server on this machine."""

import hashlib
import re
import struct
import threading
import zipfile
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from cnnzoo import download as download_module
from cnnzoo.data.sources.metu import ARCHIVE, METU, PAGE, Published, metu_folder
from cnnzoo.errors import InputError

pytest.importorskip("unrar.cffi.unrarlib", reason="unrar2-cffi has no wheel for this machine")


@pytest.fixture(autouse=True)
def without_tls(monkeypatch):
    monkeypatch.setattr(download_module, "SCHEMES", ("http",))


FILE, LINK, DEVICE = 0o100644, 0o120777, 0o020644


def _block(kind, flags, body, data=b""):
    head = struct.pack("<BHH", kind, flags, len(body) + 7) + body
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data


def rar(members):
    """A RAR 4 archive (technote.txt of RAR 4.20) of stored members: (name, data[, Unix mode])."""
    blocks = [b"Rar!\x1a\x07\x00", _block(0x73, 0, bytes(6))]
    for name, data, *mode in members:
        raw = name.encode()
        body = struct.pack("<IIBIIBBHI", len(data), len(data), 3, zlib.crc32(data), 0x4F560000, 20, 0x30,
                           len(raw), mode[0] if mode else FILE)  # fmt: skip
        blocks.append(_block(0x74, 0x8000, body + raw, data))
    return b"".join([*blocks, _block(0x7B, 0x4000, b"")])


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (227, 227, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


IMAGES = {
    f"{name}/{i:05}.jpg": jpeg(100 * c + i) for c, name in enumerate(("Negative", "Positive")) for i in (1, 2)
}
RAR = rar(IMAGES.items())


def published(content=RAR, url="http://127.0.0.1:9/nobody-listens"):
    return Published(
        url=url, size=len(content), sha256=hashlib.sha256(content).hexdigest(), images_per_class=2
    )


def zip_with(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def assert_unpacked(folder):
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}
    assert found == IMAGES


def assert_nothing_unpacked(place):
    assert {path.suffix for path in place.rglob("*") if path.is_file()} <= {".rar", ".zip", ".part"}
    assert not [path for path in place.iterdir() if path.is_dir()]


@contextmanager
def server(content, *, ranges=True, stop_after=None, lie=b"", status=None):
    """Serves `content`; the first `len(stop_after)` answers break off after that many bytes."""
    stops, asked = list(stop_after or []), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range"))
            if status is not None:
                return self.send_error(status)
            start = int(asked[-1].removeprefix("bytes=").rstrip("-")) if ranges and asked[-1] else 0
            body = lie or content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: stops.pop(0)] if stops else body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/file", asked
        finally:
            http.shutdown()


def test_downloads_once_and_then_finds_the_folder(tmp_path):
    with server(RAR) as (url, asked):
        folder = metu_folder(tmp_path, published=published(url=url))
        assert metu_folder(tmp_path, published=published(url=url)) == folder
    assert asked == [None]
    assert_unpacked(folder)
    assert metu_folder(folder, published=published()) == folder


@pytest.mark.parametrize("ranges", [True, False])
def test_resumes_where_the_connection_broke_off(tmp_path, ranges):
    with server(RAR, ranges=ranges, stop_after=[1000, 20_000]) as (url, asked):
        assert_unpacked(metu_folder(tmp_path, published=published(url=url)))
    second = 1000 + 20_000 if ranges else 20_000
    assert asked == [None, "bytes=1000-", f"bytes={second}-"]


def test_goes_on_in_a_later_call_with_what_an_earlier_one_received(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "ATTEMPTS", 1)
    with server(RAR, stop_after=[1000]) as (url, asked):
        with pytest.raises(InputError, match=r"1,000 of [\d,]+ bytes are here: run again to go on"):
            metu_folder(tmp_path, published=published(url=url))
        assert_nothing_unpacked(tmp_path)
        assert_unpacked(metu_folder(tmp_path, published=published(url=url)))
    assert asked == [None, "bytes=1000-"]


def test_without_a_network_names_the_page_and_the_file_to_save(tmp_path):
    with pytest.raises(InputError) as caught:
        metu_folder(tmp_path, published=published())
    message = str(caught.value)
    assert PAGE in message and str(tmp_path / ARCHIVE) in message and "\n" not in message


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "TIMEOUT", 0.2)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:  # nobody accepts
        url = f"http://127.0.0.1:{silent.server_port}/"
        with pytest.raises(InputError, match="timed out"):
            metu_folder(tmp_path, published=published(url=url))


@pytest.mark.parametrize("status", [403, 404, 416, 500])
def test_an_error_of_the_server_is_named(tmp_path, status):
    with server(RAR, status=status) as (url, _), pytest.raises(InputError, match=f"HTTP Error {status}"):
        metu_folder(tmp_path, published=published(url=url))


@pytest.mark.parametrize(
    ("lie", "says"), [(b"<html>", "offers 6 bytes instead"), (RAR[::-1], "not the published file")]
)
def test_another_file_from_the_server_is_refused_and_not_kept(tmp_path, lie, says):
    with server(RAR, lie=lie) as (url, _), pytest.raises(InputError, match=says):
        metu_folder(tmp_path, published=published(url=url))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["folder", "file"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_uses_an_archive_that_is_already_there(tmp_path, monkeypatch, given, wrapped):
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "downloads" / ("5y9wdsg2zt-2.zip" if wrapped else "any name.rar")
    archive.parent.mkdir()
    if wrapped:
        zip_with(archive, [("Concrete Crack Images/Concrete Crack Images.rar", RAR, FILE)])
    else:
        archive.write_bytes(RAR)
    folder = metu_folder(archive if given == "file" else archive.parent, published=published())
    assert_unpacked(folder)
    assert folder.parent == (tmp_path / "cache" / "metu" if given == "file" else archive.parent)
    assert {path.name for path in folder.parent.iterdir()} <= {"images", archive.name}


def test_finds_a_folder_that_the_user_unpacked_and_refuses_half_of_one(tmp_path):
    for name, data in IMAGES.items():
        path = tmp_path / "by hand" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert metu_folder(tmp_path, published=published()) == tmp_path / "by hand"
    path.unlink()
    with pytest.raises(InputError, match="holds 2 Negative and 1 Positive images, METU has 2 of each"):
        metu_folder(tmp_path, published=published())


def test_folders_above_the_classes_and_other_files_do_not_matter(tmp_path):
    members = [("METU/Thumbs.db", b"x"), *((f"METU/{name}", data) for name, data in IMAGES.items())]
    (tmp_path / "a.rar").write_bytes(rar(members))
    assert_unpacked(metu_folder(tmp_path, published=published(rar(members))))


EVIL = {
    "parent": ("../Positive/evil.jpg", b"evil"),
    "parent, backslashes": ("Positive\\..\\..\\Positive\\evil.jpg", b"evil"),
    "absolute": ("/Positive/evil.jpg", b"evil"),
    "drive": ("C:/Positive/evil.jpg", b"evil"),
    "link": ("Positive/evil.jpg", b"/etc/passwd", LINK),
    "device": ("Positive/evil.jpg", b"", DEVICE),
}


@pytest.mark.parametrize("member", EVIL.values(), ids=EVIL)
@pytest.mark.parametrize("kind", ["rar", "zip"])
def test_an_evil_member_is_refused_and_nothing_stays(tmp_path, member, kind):
    place = tmp_path / "place"
    place.mkdir()
    name, data, mode = (*member, FILE)[:3]
    content = rar([*IMAGES.items(), member]) if kind == "rar" else RAR
    if kind == "rar":
        (place / "a.rar").write_bytes(content)
    else:
        zip_with(place / "a.zip", [("a.rar", RAR, FILE), (name, data, mode)])
    with pytest.raises(InputError, match=r"points out of its folder|is a link or a device"):
        metu_folder(place, published=published(content))
    assert_nothing_unpacked(place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


BROKEN_RARS = {
    "wrong CRC": (RAR[:500] + b"\0\1\2\3" + RAR[504:], "damaged"),
    "cut off": (RAR[: len(RAR) // 2], "damaged|instead of 2 of each"),
    "no rar": (b"<html>not found</html>", "damaged"),
    "image missing": (rar(list(IMAGES.items())[:3]), "holds 2 Negative and 1 Positive images instead of 2"),
    "image twice": (rar([*IMAGES.items(), *IMAGES.items()]), "exists"),
    "huge image": (rar([("Positive/big.jpg", bytes(2_000_000))]), "too large"),
}


@pytest.mark.parametrize(("content", "says"), BROKEN_RARS.values(), ids=BROKEN_RARS)
def test_a_broken_rar_is_refused_even_with_the_right_hash(tmp_path, content, says):
    (tmp_path / "a.rar").write_bytes(content)
    with pytest.raises(InputError, match=says):
        metu_folder(tmp_path, published=published(content))
    assert_nothing_unpacked(tmp_path)


def test_another_rar_is_refused_by_its_hash(tmp_path):
    (tmp_path / "a.rar").write_bytes(RAR[:-1] + b"?")
    with pytest.raises(
        InputError, match=re.escape(f"{tmp_path / 'a.rar'}: truncated, damaged or another file")
    ):
        metu_folder(tmp_path, published=published())


def _damage(content, at):
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 9]) + content[at + 9 :]


@pytest.mark.parametrize("how", ["truncated", "damaged", "empty", "no rar inside", "two rars"])
def test_a_bad_zip_is_refused_by_name(tmp_path, how):
    members = {
        "no rar inside": [("a.txt", b"", FILE)],
        "two rars": [("a.rar", RAR, FILE), ("b.rar", RAR, FILE)],
    }
    archive = zip_with(tmp_path / "a.zip", members.get(how, [("a.rar", RAR, FILE)]))
    content = archive.read_bytes()
    damaged = {"truncated": content[:-100], "damaged": _damage(content, len(content) // 2), "empty": b""}
    archive.write_bytes(damaged.get(how, content))
    with pytest.raises(InputError, match=re.escape(str(archive))):
        metu_folder(tmp_path, published=published())
    assert_nothing_unpacked(tmp_path)


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        metu_folder(tmp_path / "a.zip")


def test_without_the_rar_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "unrar.cffi.unrarlib", None)
    (tmp_path / "a.rar").write_bytes(RAR)
    with pytest.raises(InputError, match="pip install unrar2-cffi"):
        metu_folder(tmp_path, published=published())
    assert_nothing_unpacked(tmp_path)


def test_real_images_survive_the_round_trip(tmp_path, shared):
    names = [
        p for c in ("Negative", "Positive") for p in sorted((shared / "data/metu_half" / c).iterdir())[:2]
    ]
    content = rar([(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in names])
    (tmp_path / "a.rar").write_bytes(content)
    folder = metu_folder(tmp_path, published=published(content))
    for path in names:
        assert (folder / path.parent.name / path.name).read_bytes() == path.read_bytes()


def test_the_published_archive_is_pinned():
    assert METU.images_per_class == 20_000
    assert re.fullmatch("[0-9a-f]{64}", METU.sha256) and METU.url.startswith("https://")

"""Downloads from servers that lie, stall, redirect or break off, and caches that are damaged."""

import errno
import hashlib
import io
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import h5py
import numpy as np
import pytest
from https_server import certificate, serving

from cnnzoo import download as module
from cnnzoo.backend import keras_home
from cnnzoo.data.sources.metu import metu_folder
from cnnzoo.data.sources.synthetic import synthetic_concrete
from cnnzoo.download import download
from cnnzoo.errors import InputError
from cnnzoo.models.weights import PublishedFile, download_weights


def weights_file():
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["kernel"] = np.random.default_rng(0).random(70_000, np.float32)
    return content.getvalue()


CONTENT = weights_file()
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how the server behaves."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar = []
    elsewhere = ""

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        with suppress(OSError):  # whoever asked has hung up
            getattr(self, self.path.strip("/").partition("/")[0])()

    def answer(self, content, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content_Length": len(content), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def good(self):
        self.answer(CONTENT)

    def ranges(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start >= len(CONTENT):
            return self.answer(b"", 416)
        head = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        # A third at a time, then it breaks off.
        self.answer(CONTENT[start : start + 100_000], 206 if start else 200, **head,
                    Content_Length=len(CONTENT) - start)  # fmt: skip

    def other(self):
        self.answer(CONTENT[::-1])

    def short(self):
        self.answer(CONTENT[:1000], Content_Length=len(CONTENT))

    def long(self):
        self.answer(CONTENT + b"more", Content_Length=len(CONTENT))

    def huge(self):
        self.answer(b"x", Content_Length=10**13)

    def beyond_numbers(self):
        self.answer(b"x", Content_Length="9" * 5000)

    def negative(self):
        self.answer(CONTENT[::-1], Content_Length=-5)

    def no_length(self):
        self.answer(CONTENT, Content_Length=None)

    def endless(self):
        self.answer(b"", Content_Length=None)
        while True:
            self.wfile.write(bytes(1 << 16))

    def chunks_without_end(self):
        self.answer(b"", Content_Length=None, Transfer_Encoding="chunked")
        while True:
            self.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    def no_http(self):
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    def stall(self):
        self.answer(CONTENT[:1000], Content_Length=len(CONTENT))
        time.sleep(5)

    def trickle(self):
        self.answer(b"", Content_Length=len(CONTENT))
        for _ in range(200):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def slow_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for i in range(200):
            self.wfile.write(f"X-{i}: y\r\n".encode())
            time.sleep(0.05)

    def silence(self):
        time.sleep(5)

    def missing(self):
        self.answer(b"gone", 404)

    def round(self):
        self.answer(b"", 302, Location=self.path)

    def to_http(self):
        self.answer(b"", 302, Location=self.elsewhere + "/good")

    def to_file(self):
        self.answer(b"", 301, Location="file:///etc/passwd")

    def to_ftp(self):
        self.answer(b"", 307, Location="ftp://127.0.0.1/x")

    def to_data(self):
        self.answer(b"", 308, Location="data:,hello")

    def to_escapes(self):
        self.answer(b"", 303, Location="javas\x1b[31mcript:1")

    def moved(self):
        self.answer(b"", 302, Location="/good")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def https(tmp_path_factory):
    files = certificate(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch, serving(Handler, files) as secure, serving(Handler) as plain:
        patch.setenv("SSL_CERT_FILE", str(files[0]))
        Handler.elsewhere = plain
        yield secure


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    monkeypatch.setattr(module, "OPENING", 0.6)
    monkeypatch.setattr(module, "WINDOW", 0.3)
    monkeypatch.setattr(module, "LARGEST", 1 << 20)
    Handler.asked.clear()


def refusal(url, target, **known):
    """What a download ends with: one line, within bounds of time, and no part of a file under its name."""
    began = time.perf_counter()
    with pytest.raises(InputError) as caught:
        download(url, target, title="the file", way_out="fetch it elsewhere", **known)
    assert time.perf_counter() - began < 4
    assert not target.exists()
    said = str(caught.value)
    assert "\n" not in said and "\x1b" not in said
    return said


KNOWN = {"all is known": {"digest": SHA256, "size": len(CONTENT)}, "a hash": {"digest": MD5}, "nothing": {}}


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_a_good_server_is_believed(https, known, tmp_path):
    """A file comes whole over https, also by way of a redirect to https, and nothing else is left."""
    for path in ("good", "moved"):
        target = tmp_path / path
        assert download(f"{https}/{path}", target, title="it", way_out="", **known) == target
        assert target.read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "moved"]


REFUSED = {
    "short": "broke off",
    "huge": "offers|at most",
    "beyond_numbers": "offers|at most",
    "negative": "doesn't say|offers|broke off|negative|not the published",
    "no_http": "can't download",
    "stall": "timed out",
    "trickle": "too few",
    "slow_headers": "no answer within",
    "silence": "timed out|no answer within",
    "missing": "404",
    "round": "redirect",
    "to_http": "not https",
    "to_file": "not https",
    "to_ftp": "not https",
    "to_data": "not https",
    "to_escapes": "not https|can't download",
}


@pytest.mark.slow
@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
@pytest.mark.parametrize("path", REFUSED)
def test_a_server_that_lies_or_stalls_is_given_up(https, path, known, tmp_path):
    """A server that lies about sizes, stalls, trickles or redirects to anything but https is given up."""
    assert re.search(REFUSED[path], refusal(f"{https}/{path}", tmp_path / "file", **known))
    left = {file.name for file in tmp_path.iterdir()}
    assert left <= ({"file.part"} if known else set())


@pytest.mark.parametrize("path", ["to_http", "to_file", "to_ftp"])
def test_no_redirect_leaves_https(https, path, tmp_path):
    """A redirect to http, ftp or a file of this machine is not followed."""
    assert "not https" in refusal(f"{https}/{path}", tmp_path / "file", digest=SHA256)
    assert [asked for asked, _ in Handler.asked] == [f"/{path}"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "x"]
)
def test_nothing_but_https_is_asked(url, tmp_path):
    """A file is fetched over https or not at all."""
    assert "not https" in refusal(url, tmp_path / "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["endless", "chunks_without_end"])
def test_a_server_that_never_ends_is_cut_off(https, path, tmp_path):
    """A server that sends more and more is cut off at the size that the file has to have."""
    said = refusal(f"{https}/{path}", tmp_path / "file", digest=SHA256, size=len(CONTENT))
    assert "not the published" in said
    assert "how large" in refusal(f"{https}/{path}", tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_what_broke_off_goes_on_and_is_checked(https, tmp_path):
    """A download that breaks off goes on where it was, and gets its name only when its hash is right."""
    known = {"digest": SHA256, "title": "it", "way_out": ""}
    download(f"{https}/ranges", tmp_path / "file", **known)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [start for _, start in Handler.asked] == [None, "bytes=100000-", "bytes=200000-"]
    # What an earlier call left may be of another file, or too much of it.
    for left in (b"other" * 100, CONTENT + b"more"):
        (tmp_path / "file").unlink()
        (tmp_path / "file.part").write_bytes(left)
        try:
            download(f"{https}/ranges", tmp_path / "file", **known)
        except InputError:
            download(f"{https}/ranges", tmp_path / "file", **known)
        assert (tmp_path / "file").read_bytes() == CONTENT


def test_ctrl_c_leaves_nothing_that_can_not_be_judged(https, tmp_path, monkeypatch):
    """Ctrl-C during a download leaves nothing, or what the next call goes on with where a hash is known."""

    def stopped(response, file, **_):
        file.write(CONTENT[:1000])
        file.flush()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_receive", stopped)
    for known, left in (({}, []), ({"digest": SHA256}, ["file.part"])):
        with pytest.raises(KeyboardInterrupt):
            download(f"{https}/good", tmp_path / "file", title="it", way_out="", **known)
        assert [path.name for path in tmp_path.iterdir()] == left


def test_a_server_that_is_not_who_it_says_is_refused(https, tmp_path, monkeypatch):
    """A server whose certificate nobody vouches for is refused."""
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(f"{https}/good", tmp_path / "file", digest=SHA256)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_nothing(https, tmp_path, monkeypatch):
    """A disk without room is one line that names the folder, and no part of a file stays."""
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("", (), {"free": 1000}))
    said = refusal(f"{https}/good", tmp_path / "file", digest=SHA256)
    assert f"{tmp_path}: can't keep the file there: it takes {len(CONTENT):,} bytes, 1,000 are free" in said
    assert not list(tmp_path.iterdir())


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from pathlib import Path
from cnnzoo.data.sources.metu import metu_folder
from cnnzoo.data.sources.synthetic import synthetic_concrete
from cnnzoo.download import download
try: download(sys.argv[1], Path(sys.argv[2]), title="it", way_out="", digest=sys.argv[3])
except ValueError as error: print(error)
"""


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(https, tmp_path):
    """A disk that fills up during a download is one line too, and no part stays."""
    command = [sys.executable, "-c", FULL, f"{https}/good", str(tmp_path / "file"), SHA256]
    run = subprocess.run(command, capture_output=True, text=True)
    assert f"can't keep it there: {os.strerror(errno.EFBIG)}" in run.stdout, run.stderr
    assert not list(tmp_path.iterdir())


def test_two_at_once_end_with_one_whole_file(https, tmp_path):
    """Two processes that fetch one file at once both end with the whole file, which is fetched once."""
    code = "import sys\nfrom pathlib import Path\nfrom cnnzoo.download import download\n"
    code += "download(sys.argv[1], Path(sys.argv[2]), title='it', way_out='', digest=sys.argv[3])"
    command = [sys.executable, "-c", code, f"{https}/ranges", str(tmp_path / "file"), SHA256]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(Handler.asked) == 3  # the file breaks off twice
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path / "models"


def test_a_damaged_file_in_the_cache_is_fetched_again(https, cache):
    """Published weights that are damaged in the cache are noticed by their hash, and fetched again."""
    file = PublishedFile(f"{https}/good/w.h5", md5=MD5)
    assert download_weights("net", file).read_bytes() == CONTENT
    download_weights("net", file)
    assert len(Handler.asked) == 1
    (cache / "w.h5").write_bytes(CONTENT[:-1] + b"?")
    assert download_weights("net", file).read_bytes() == CONTENT
    assert len(Handler.asked) == 2
    assert [path.name for path in cache.iterdir()] == ["w.h5"]


def test_a_damaged_file_that_can_not_be_fetched_again_is_named(https, cache):
    """Published weights that are damaged and can't be fetched again are named with the way out."""
    download_weights("net", PublishedFile(f"{https}/good/w.h5", md5=MD5))
    (cache / "w.h5").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"w\.h5: its hash is not the published.*404.*weights=FILE"):
        download_weights("net", PublishedFile(f"{https}/missing/w.h5", md5=MD5))
    with pytest.raises(InputError, match="not the published file"):
        download_weights("net", PublishedFile(f"{https}/other/w.h5", md5=MD5))


def test_weights_without_a_published_hash_are_trusted_on_first_use(https, cache):
    """Weights for which no hash is published have to be those of the first download ever after."""
    file = PublishedFile(f"{https}/good/w.h5")
    download_weights("net", file)
    assert (cache / "w.h5.sha256").read_text() == f"{SHA256}  w.h5\n"
    assert (
        subprocess.run(["sha256sum", "--check", "w.h5.sha256"], cwd=cache, capture_output=True).returncode
        == 0
    )
    # Damaged, it is fetched again; from a server that sends something else, it isn't taken.
    (cache / "w.h5").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"its hash is not the first.*delete .*w\.h5\.sha256 to trust"):
        download_weights("net", PublishedFile(f"{https}/other/w.h5"))
    assert (cache / "w.h5").read_bytes() == b"damaged"
    assert download_weights("net", file).read_bytes() == CONTENT
    (cache / "w.h5").unlink()
    with pytest.raises(InputError, match="not the published file"):
        download_weights("net", PublishedFile(f"{https}/other/w.h5"))
    assert sorted(path.name for path in cache.iterdir()) == ["w.h5.sha256"]


def test_a_file_that_keras_fetched_is_noted_at_its_first_use(cache):
    """Weights that Keras itself fetched are trusted as they are when they are first used."""
    cache.mkdir()
    (cache / "w.h5").write_bytes(CONTENT)
    file = PublishedFile("https://127.0.0.1:1/w.h5")
    assert download_weights("net", file) == cache / "w.h5"
    (cache / "w.h5").write_bytes(b"changed")
    with pytest.raises(InputError, match="its hash is not the first"):
        download_weights("net", file)
    (cache / "w.h5.sha256").write_bytes(b"\xff no hash")
    with pytest.raises(InputError, match=r"w\.h5\.sha256: holds no SHA-256"):
        download_weights("net", file)


def test_a_torn_file_is_not_what_is_trusted(https, cache):
    """A file without a published hash that is cut off or no weights is neither used nor trusted later."""
    cache.mkdir()
    (cache / "w.h5").write_bytes(CONTENT[:100_000])
    with pytest.raises(InputError, match=r"w\.h5: damaged.*404"):
        download_weights("net", PublishedFile(f"{https}/missing/w.h5"))
    with pytest.raises(InputError, match=r"w\.h5: not an HDF5 weights file"):
        download_weights("net", PublishedFile(f"{https}/other/w.h5"))
    assert download_weights("net", PublishedFile(f"{https}/good/w.h5")).read_bytes() == CONTENT
    assert (cache / "w.h5.sha256").read_text().startswith(SHA256)


def test_a_cache_that_is_no_folder_is_named(tmp_path, monkeypatch):
    """A cache that can't be written to is named with the way out."""
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file/models.*set KERAS_HOME"):
        download_weights("net", PublishedFile("https://127.0.0.1:1/w.h5"))
    assert keras_home() == tmp_path / "file"


@pytest.mark.parametrize("suffix", [".rar", ".zip"])
def test_a_sparse_archive_is_not_read(suffix, tmp_path):
    """An archive of a terabyte of nothing is refused at once, by its size."""
    with (tmp_path / f"a{suffix}").open("wb") as file:
        file.truncate(1 << 40)
    began = time.perf_counter()
    with pytest.raises(InputError, match=rf"a\{suffix}: "):
        metu_folder(tmp_path)
    assert time.perf_counter() - began < 1


def test_synthetic_images_that_are_gone_are_drawn_again(tmp_path):
    """Images of the demonstration that are missing in the cache are drawn again."""
    folder = synthetic_concrete(2, root=tmp_path, progress=False)
    images = {path: path.read_bytes() for path in folder.rglob("*.jpg")}
    next(iter(images)).unlink()
    assert synthetic_concrete(2, root=tmp_path, progress=False) == folder
    assert {path: path.read_bytes() for path in folder.rglob("*.jpg")} == images


def test_synthetic_images_without_room_are_one_line(tmp_path, monkeypatch):
    """A full disk while the demonstration is drawn is one line, and no part of it stays."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cnnzoo.data.sources.synthetic.Path.write_bytes", full)
    with pytest.raises(InputError, match=f"{tmp_path}: can't keep the images there: No space left"):
        synthetic_concrete(2, root=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())

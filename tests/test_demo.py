"""`cnnzoo demo`: its command line, and its page in headless Chromium with the network watched."""

import contextlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from cnnzoo.data.sources.concrete import draw_tile
from experiments.cli.process import exit_code
from experiments.demo import command

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
HERE = {"127.0.0.1", "localhost"}
needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra demo is not installed"
)

# The command, with all that its process looks up or connects to written to a file.
WATCHED = """
import sys
log = open(sys.argv.pop(1), "a", buffering=1)
def heard(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        print(event, arguments[1], file=log)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        print(event, arguments[0], file=log)
sys.addaudithook(heard)
from experiments import demo
from experiments.demo import server
server.LOOKS_AFTER = 0.5
from experiments.cli.process import exit_code
sys.exit(exit_code(demo.main))
"""


def run(*words):
    return exit_code(lambda: command.main(list(map(str, words))))


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from experiments import demo\n"
        "try: demo.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('gradio', 'tensorflow', 'keras', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("usage: ") and done.stdout.endswith("\n[]\n"), done.stderr


def refused(capsys, *words):
    """The one line on stderr of a command that can't start."""
    assert run(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "pip install 'cnnzoo[demo]'" in refused(capsys)


@pytest.fixture
def silent(monkeypatch):
    """Puts back what the command sets for Gradio, and has it found whether it is there or not."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(command, "find_spec", lambda name: object())


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_a_port_that_is_none(port, silent, capsys):
    assert f"--port {port}" in refused(capsys, "--port", port)


def test_a_taken_port(silent, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert f"--port {port}: taken" in refused(capsys, "--port", port)


@pytest.mark.parametrize("name", ["nowhere.keras", "nowhere.onnx", "notes.txt"])
def test_a_model_that_is_none(name, silent, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no model")
    assert name in refused(capsys, name)
    assert "--threshold" in refused(capsys, "--threshold", 2)
    assert "--tile" in refused(capsys, "--tile", 3)


def wait_for(log, found, process, seconds=90):
    """What a pattern finds in a file that another process writes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if match := re.search(found, log.read_text()):
            return match
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


class Served:
    """A running command: its process, address, the files that it writes."""

    def __init__(self, folder):
        self.folder, self.temporary = folder, folder / "temporary"
        self.temporary.mkdir()
        self.said, self.heard = folder / "said.txt", folder / "heard.txt"
        environment = {**os.environ, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT)}
        environment["PYTHONUNBUFFERED"] = "1"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WATCHED, str(self.heard)],
                env=environment, stdout=said, stderr=said, cwd=folder, start_new_session=True,
                # A test run in the background ignores Ctrl-C, and would hand that on.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        self.address = wait_for(self.said, r"Open (http://127\.0\.0\.1:\d+/)", self.process)[1]

    def get(self, path, **headers):
        return self.asked("GET", path, headers=headers)

    def asked(self, method, path, **more):
        """Status and content of an answer."""
        with closing(http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=30)) as connection:
            connection.request(method, path, **more)
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One server for all tests."""
    running = Served(tmp_path_factory.mktemp("served"))
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def opened(browser, served, size=DESK, **more):
    """The page, opened, and the addresses that it asks for."""
    page = browser.new_page(viewport=size, **more)
    page.asked = []
    page.on("request", lambda made: page.asked.append(made.url))
    page.on("response", lambda got: got.status < 400 or page.asked.append(f"error: {got.status} {got.url}"))
    page.on("pageerror", lambda error: page.asked.append(f"error: {error}"))
    page.goto(served.address)
    page.get_by_text("The answer appears here.").wait_for()
    return page


@pytest.fixture
def page(browser, served):
    """The page on a desk; a request to another computer, or an error in it, fails the test."""
    page = opened(browser, served)
    yield page
    assert len(page.asked) > 10
    assert {urlsplit(url).hostname for url in page.asked if not url.startswith(("data:", "blob:"))} <= HERE
    page.close()


def upload(page, path):
    page.locator("#picture input[type=file]").set_input_files(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A cracked tile, a cracked photograph, and what is none or too large."""
    folder = tmp_path_factory.mktemp("pictures")
    tile, _ = draw_tile(np.random.default_rng(9), crack=True)
    wall, _ = draw_tile(np.random.default_rng(3), crack=True, size=720)
    cv2.imwrite(str(folder / "tile.png"), tile[..., ::-1])
    cv2.imwrite(str(folder / "wall.jpg"), wall[..., ::-1])
    cv2.imwrite(str(folder / "pixels.png"), np.full((10_000, 10_100), 128, np.uint8))
    (folder / "notes.txt").write_text("no picture")
    (folder / "notes.jpg").write_text("no picture")
    (folder / "bytes.jpg").write_bytes((folder / "wall.jpg").read_bytes() + bytes(33 << 20))
    return folder


@needs_gradio
@pytest.mark.parametrize(
    ("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk, light", "phone, dark"]
)
def test_a_tile_is_answered_at_every_width(browser, served, pictures, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = opened(browser, served, size, color_scheme=scheme)
    upload(page, pictures / "tile.png")
    page.get_by_role("heading", name="Crack", exact=True).wait_for()
    assert re.search(r"Probability 0\.9\d+|Probability 1\.0000", page.locator("#answer").inner_text())
    page.get_by_alt_text("Where it looked").wait_for()
    width, visible = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= visible == size["width"]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.search(r"\d+", ground)[0]) < 128) == (scheme == "dark")
    assert [fault["id"] for fault in axe.Axe().run(page).response["violations"]] == []
    page.close()


@needs_gradio
def test_a_photograph_is_mapped_or_looked_at_as_a_tile(page, pictures):
    upload(page, pictures / "wall.jpg")
    page.get_by_role("heading", name=re.compile(r"^\d+ cracks?$")).wait_for()
    said = page.locator("#answer").inner_text()
    assert "Whole photograph, 720 × 720 pixels" in said
    assert re.search(r"length in all\s+[\d,]+ pixels", said) and re.search(r"surface\s+\d+\.\d\d %", said)
    page.get_by_alt_text("Cracks", exact=True).wait_for()
    page.get_by_label("One tile").check()
    page.get_by_alt_text("Where it looked").wait_for()
    assert "It was shrunk" in page.locator("#answer").inner_text()


@needs_gradio
def test_an_example_is_answered_and_taken_back(page):
    page.get_by_role("button", name="sound concrete").click()
    page.get_by_role("heading", name="No crack", exact=True).wait_for()
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    page.get_by_text("The answer appears here.").wait_for()


@needs_gradio
def test_what_is_no_picture_or_too_large_is_one_line(page, served, pictures):
    before = served.said.read_text()
    for name, line in (
        ("notes.jpg", "notes.jpg: not a JPEG, PNG"),
        ("pixels.png", "pixels.png: 10100 x 10000 pixels: over 100 megapixels"),
    ):
        upload(page, pictures / name)
        page.get_by_role("alert").filter(has_text=line).wait_for()
        page.locator("#picture").get_by_role("button", name="Remove Image").click()
        page.get_by_text("The answer appears here.").wait_for()
    upload(page, pictures / "notes.txt")
    page.get_by_text("Invalid file type: notes.txt").wait_for()
    upload(page, pictures / "bytes.jpg")
    page.get_by_text("exceed the maximum allowed size of 32").wait_for()
    assert served.said.read_text() == before  # no traceback


@needs_gradio
def test_uploads_are_cut_off_and_files_of_the_computer_stay_its_own(served):
    for size in (33, 40):
        assert served.asked("POST", UPLOAD, body=form(bytes(size << 20)), headers=FORM)[0] == 413
    for path in ("/etc/passwd", served.said, ROOT / "README.md"):
        assert served.get(f"/gradio_api/file={path}")[0] in (403, 404)
    assert served.get("/", Host="somebody.example")[0] == 421
    status, config = served.get("/config")
    assert status == 200
    told = json.loads(config)
    assert told["analytics_enabled"] is False and told["run_history"] is False


UPLOAD = "/gradio_api/upload"
FORM = {"content-type": "multipart/form-data; boundary=x"}


def form(content, name="a.jpg"):
    head = f'--x\r\ncontent-disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n"


def question(served, *data, number=1):
    """What the page is told of a question that is sent past its fields: whether it was answered, and how."""
    session = f"s{time.monotonic_ns()}"
    body = json.dumps({"data": data, "fn_index": number, "session_hash": session})
    json_ = {"content-type": "application/json"}
    status, said = served.asked("POST", "/gradio_api/queue/join", body=body, headers=json_)
    assert status == 200, said
    told = served.get(f"/gradio_api/queue/data?session_hash={session}")[1].decode()
    (last,) = [line for line in told.splitlines() if '"process_completed"' in line]
    told = json.loads(last.removeprefix("data: "))
    return told["success"], told["output"]


META = {"meta": {"_type": "gradio.FileData"}}
FOREIGN = "/gradio_api/file=http://203.0.113.7/x.png"


@needs_gradio
def test_a_question_with_what_is_no_upload_is_refused_in_the_same_words(served, pictures, tmp_path):
    before = [served.said.read_text(), served.heard.read_text()]
    (folder,) = served.temporary.glob("cnnzoo-demo-*")
    lying = sorted(folder.rglob("*"))
    (tmp_path / "link").symlink_to(pictures / "tile.png")
    paths = [
        pictures / "tile.png",
        pictures / "none.png",
        "/etc/passwd",
        folder,
        "../x",
        "a\0b",
        folder / ("a" * 300),
    ]
    paths += [f"{folder}/../../../../etc/passwd", f"{folder}/..", tmp_path / "link"]
    paths += ["http://203.0.113.7/x.png", "https://pictures.example/x.png", FOREIGN, "file:///etc/passwd"]
    asked = [{"path": str(path), **meta} for path in paths for meta in (META, {})]
    asked += [["x"], "x", 7, {}, {"path": None, **META}, {"path": "x", "meta": 1}]
    example = {"path": str(folder / "sound concrete.jpg"), **META}
    asked += [{**example, "orig_name": name} for name in (asked[0], 7)]
    told = [question(served, each, "Choose for me") for each in asked]
    told += [question(served, None, each) for each in (asked[0], asked[20], "Nonsense", None, [asked[0]])]
    told += [question(served, each, number=0) for each in (asked[0], 99, -1, "x")]
    told += [question(served), question(served, None), question(served, None, "One tile", asked[0])]
    refused = (False, "This is no picture that was dropped on this page.")
    assert {(done, said.get("error")) for done, said in told} == {refused}
    assert question(served, example, "One tile")[0]
    gone = question(served, {**example, "path": str(folder / "gone.png")}, "One tile")
    assert gone[0] and "gone.png: deleted" in json.dumps(gone[1])
    answer = {path for path in folder.rglob("*") if "image" not in path.name and path.is_file()}
    assert answer == {path for path in lying if "image" not in path.name and path.is_file()}
    assert served.asked("POST", UPLOAD, body=b"x", headers=FORM)[0] == 400
    assert [served.said.read_text(), served.heard.read_text()] == before  # no traceback, nothing looked up


@needs_gradio
def test_gradio_has_no_route_that_reaches_further(served):
    before = served.heard.read_text()
    for path in (FOREIGN, "/gradio_api/proxy=http://203.0.113.7/x", "/gradio_api/deep_link?session_hash=a"):
        assert served.get(path)[0] in (403, 404)
    for path in ("vibe-edit", "process_recording", "component_server", "call/answered", "run/answered"):
        assert served.asked("POST", f"/gradio_api/{path}", body="{}")[0] == 404
    assert served.heard.read_text() == before


@needs_gradio
def test_another_site_in_the_same_browser_can_send_nothing(served):
    for foreign in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert served.asked("POST", UPLOAD, body=form(b"x"), headers=FORM | foreign)[0] == 403
    assert served.get("/config", Origin="http://evil.example")[0] == 403
    own = {"origin": served.address.rstrip("/"), "sec-fetch-site": "same-origin"}
    status, said = served.asked("POST", UPLOAD, body=form(b"x"), headers=FORM | own)
    assert status == 200 and json.loads(said)[0].endswith("/a.jpg")


@needs_gradio
def test_a_cancelled_upload_is_deleted_as_others_are(served):
    (folder,) = served.temporary.glob("cnnzoo-demo-*")
    before = {path for path in folder.rglob("*") if path.is_file()}
    host, port = urlsplit(served.address).netloc.split(":")
    with socket.create_connection((host, int(port))) as cancelled:
        head = f"POST {UPLOAD} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: 9000000\r\n"
        kind = f"content-type: {FORM['content-type']}\r\n\r\n"
        cancelled.sendall((head + kind).encode() + form(bytes(4 << 20))[: 4 << 20])
        until = time.monotonic() + 20
        while not (left := {path for path in folder.rglob("tmp*") if path.is_file()} - before):
            assert time.monotonic() < until
            time.sleep(0.05)
    (left,) = left
    while left.exists():
        with contextlib.suppress(FileNotFoundError):
            os.utime(left, (0, 0))  # as if it was long ago; again, as the end of it may be written late
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (folder / "sound concrete.jpg").exists()


@needs_gradio
def test_nothing_phones_home_and_ctrl_c_leaves_nothing(served):
    """The last one: it ends the server."""
    (folder,) = served.temporary.glob("cnnzoo-demo-*")
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert len(kept) > 6 and folder.stat().st_mode & 0o077 == 0
    began = time.monotonic()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(30) == 130
    assert time.monotonic() - began < 5
    assert served.said.read_text().endswith("stopped by Ctrl-C; no picture was kept\n")
    assert "Traceback" not in served.said.read_text()
    assert list(served.temporary.glob("*")) == []
    heard = served.heard.read_text().splitlines()
    assert "socket.getaddrinfo 127.0.0.1" in heard  # its own address: the watch works
    assert [line for line in heard if not any(name in line for name in HERE)] == []

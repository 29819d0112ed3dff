"""Bad image files, and images that change while they are used."""

import json
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hostile import SUFFIXES, encoded, hostile, picture
from PIL import Image

from cnnzoo import limits
from cnnzoo.data import images, pipeline
from cnnzoo.data.audit.examine import audit_manifest, twins_between
from cnnzoo.data.audit.findings import Audit
from cnnzoo.data.images import load_images, read_image, reading
from cnnzoo.data.manifest import Manifest, build_manifest
from cnnzoo.errors import InputError
from cnnzoo.limits import Budget
from experiments.auditing.issues import issues_of

MOST_SECONDS, MOST_MEMORY = 10, 1.5e9  # for each of the bad files


@pytest.fixture
def folder(image_folder, tmp_path):
    """Eight images of each class, to be damaged."""
    for name in ("crack", "plain"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for path in sorted((image_folder / name).iterdir())[:8]:
            shutil.copy(path, tmp_path / "data" / name)
    return tmp_path / "data"


def write_hostile(folder, *, seed, count):
    """Puts hostile files between good ones; returns the names of all."""
    rng = random.Random(0)
    for name in ("bad", "good"):
        (folder / name).mkdir(parents=True)
        (folder / name / "fine.png").write_bytes(encoded(picture(rng), "PNG"))
    for name, data in hostile(seed, count):
        (folder / "bad" / name).write_bytes(data)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}


# Pillow says a few things as warnings, which would end a test.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_damaged_image_is_read_or_named(tmp_path, record_property):
    """Image files that are damaged, cut off or made to do harm are each read, or listed with the reason."""
    names = write_hostile(tmp_path, seed=0, count=13 * len(SUFFIXES))
    manifest = build_manifest(tmp_path, skip_bad=True, progress=False)
    read, bad = {image.path for image in manifest.images}, {file.path for file in manifest.bad}
    assert read | bad == names and not read & bad
    assert all(file.reason and "\n" not in file.reason for file in manifest.bad)
    for name in sorted(names)[::5]:
        if name in read:
            assert read_image(tmp_path / name).ndim == 3
    record_property("tried", len(names))
    record_property("measured", f"{len(bad)} of {len(names)} listed")


HARM = """
import json, re, sys, time
from pathlib import Path
from cnnzoo.data.audit.examine import audit_manifest
from cnnzoo.data.images import read_image
from cnnzoo.data.manifest import Manifest, build_manifest
from cnnzoo.errors import InputError
root = Path(sys.argv[1])
slowest, lost = 0, []
for path in sorted(root.rglob("*.*")):
    start = time.perf_counter()
    try:
        read_image(path)
    except InputError:
        pass
    except Exception as error:
        lost.append(f"{path.name}: {error!r}")
    slowest = max(slowest, time.perf_counter() - start)
manifest = build_manifest(root, skip_bad=True, progress=False)
audit = audit_manifest(manifest, cached=False, progress=False)
# Not ru_maxrss, which has that of the process that started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([slowest, peak, lost, len(manifest.images), len(manifest.bad), len(audit.groups)]))
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bad_files_cost_little(tmp_path, seed, record_property):
    """A bad image file costs a bounded time and memory, and the audit of a folder of them goes through."""
    names = write_hostile(tmp_path, seed=seed, count=520)
    run = subprocess.run(
        [sys.executable, "-c", HARM, str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr[-2000:]
    slowest, peak, lost, read, bad, grouped = json.loads(run.stdout)
    assert run.stderr == "" and lost == [] and read + bad == len(names) and grouped == read
    assert slowest < MOST_SECONDS and peak < MOST_MEMORY
    record_property("tried", len(names))
    record_property("measured", f"at most {slowest:.1f} s a file, {peak / 1e6:.0f} MB")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_a_hundred_megapixels_fit(tmp_path, mode, record_property):
    """An image of 100 megapixels is read in seconds and less than 1 GB of memory."""
    Image.new(mode, (10_000, 10_000), 77 if mode in "LP" else (77, 77, 77, 9)[: len(mode)]).save(
        tmp_path / "large.png"
    )
    code = (
        "import re, sys, time; from cnnzoo.data.images import read_image; start = time.perf_counter(); "
        "assert read_image(sys.argv[1]).shape == (10_000, 10_000, 3); "
        "seconds, status = time.perf_counter() - start, open('/proc/self/status').read(); "
        # Not ru_maxrss, which has that of the process that started it.
        "print(seconds, int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) * 1024)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "large.png")], capture_output=True, text=True, check=True
    )
    seconds, peak = map(float, run.stdout.split())
    assert seconds < MOST_SECONDS and peak < 1e9
    record_property("measured", f"{mode}: {seconds:.1f} s, {peak / 1e6:.0f} MB")


def test_images_of_any_shape_are_audited(tmp_path, record_property):
    """The audit takes images of any shape: lines that are one pixel wide, and single pixels."""
    rng = np.random.default_rng(0)
    shapes = [(1100, 1), (1, 1100), (2, 2), (1, 1), (1, 2), (3, 1), (1, 30_000), (60_000, 1), (513, 1)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i, shape in enumerate(shapes):
            for kind, pixels in (
                ("flat", np.full((*shape, 3), 9 * i + (name == "b"), np.uint8)),
                ("noise", rng.integers(0, 256, (*shape, 3), dtype=np.uint8)),
            ):
                Image.fromarray(pixels).save(tmp_path / name / f"{i}-{kind}.png")
    manifest = build_manifest(tmp_path, progress=False)
    assert len(manifest.images) == 4 * len(shapes)
    assert len(audit_manifest(manifest, cached=False, progress=False).groups) == 4 * len(shapes)
    record_property("tried", 4 * len(shapes))


def pipe(path):
    os.mkfifo(path)


def endless(path):
    path.symlink_to("/dev/zero")


def listening(path):
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


def hollow(path):
    """5 GB that take no place on the disk."""
    with path.open("wb") as file:
        file.write(encoded(Image.new("RGB", (4, 4)), "BMP"))
        file.truncate(5 * 10**9)


def hollow_and_no_image(path):
    with path.open("wb") as file:
        file.truncate(900 * 10**6)


def kernel_file(path):
    path.symlink_to("/proc/self/maps")


def looping(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "make", [pipe, endless, listening, hollow, hollow_and_no_image, kernel_file, looping, Path.mkdir]
)
def test_only_files_of_a_sensible_size_are_read(tmp_path, make):
    """A pipe, a device, a socket or a file of many gigabytes in the place of an image is named at once."""
    make(tmp_path / "no_image.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"no_image\.png: "):
        read_image(tmp_path / "no_image.png")
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


@pytest.mark.parametrize(("side", "scans"), [(40, 1000), (9900, 185), (9900, 30), (5000, 100)])
def test_a_jpeg_of_many_scans_is_refused(tmp_path, side, scans):
    """A JPEG that is made to take minutes, by many passes over its pixels, is named at once."""
    (tmp_path / "slow.jpg").write_bytes(many_scans(side, scans))
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"slow\.jpg: a JPEG of .* scans"):
        read_image(tmp_path / "slow.jpg")
    assert time.perf_counter() - start < 1


@pytest.mark.slow
def test_the_longest_jpeg_that_is_read_takes_seconds(tmp_path, record_property):
    """A JPEG of as many passes over its pixels as are allowed is listed within seconds."""
    path = tmp_path / "slow.jpg"
    path.write_bytes(many_scans(9900, 5))
    start = time.perf_counter()
    assert images.examine_image(path).width == 9900
    seconds = time.perf_counter() - start
    assert seconds < MOST_SECONDS
    record_property("measured", f"{seconds:.1f} s")


def many_scans(side, more):
    """A JPEG of few bytes, with its last scan some times more; its header says how many pixels it is."""
    data = encoded(picture(random.Random(0)), "JPEG", progressive=True)
    size, last = data.index(b"\xff\xc2") + 5, data.rindex(b"\xff\xda")
    data = data[:size] + struct.pack(">HH", side, side) + data[size + 4 :]
    return data[:-2] + data[last:-2] * more + data[-2:]


def test_a_damaged_manifest_is_named(folder, tmp_path, record_property):
    """A saved manifest that is damaged, cut off or nested without end is named, and nothing of it used."""
    build_manifest(folder, progress=False).save(tmp_path / "whole.json")
    whole, rng = (tmp_path / "whole.json").read_bytes(), random.Random(0)
    damaged = [b"", b"[]", b"null", b"[" * 200_000, b'{"a":' * 200_000, bytes(range(256))]
    damaged += [whole[: rng.randrange(len(whole) - 1)] for _ in range(20)]
    for content in damaged:
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.json: no manifest"):
            Manifest.load(tmp_path / "bad.json")
    record_property("tried", len(damaged))


def test_a_jpeg_cut_off_before_its_end_marker_is_listed(tmp_path, record_property):
    """A JPEG that is cut off but for its end marker is listed: it decodes with warnings."""
    rng, tried = random.Random(5), 60
    for name in ("cut", "progressive", "whole"):
        (tmp_path / name).mkdir()
    for i in range(tried):
        mode = ["RGB", "RGB", "RGB", "L", "CMYK"][i % 5]
        options = {"subsampling": i % 3 if mode == "RGB" else 0}
        image = picture(rng).convert(mode)
        for folder in ("cut", "progressive"):
            data = encoded(image, "JPEG", progressive=folder == "progressive", **options)
            (tmp_path / "whole" / f"{folder}-{i}.jpg").write_bytes(data)
            start = data.index(b"\xff\xda") + 20
            cut = data[: rng.randrange(start, len(data) - 30)]
            (tmp_path / folder / f"{i}.jpg").write_bytes(cut + b"\xff\xd9")
    manifest = build_manifest(tmp_path, skip_bad=True, progress=False)
    warned = {image.path for image in manifest.images if image.warning}
    warned |= {file.path for file in manifest.bad}
    assert {path for path in warned if "progressive/" not in path} == {f"cut/{i}.jpg" for i in range(tried)}
    # Cut off between two of its passes a progressive one is whole to every decoder, only blurred.
    progressive = sum("progressive/" in path for path in warned)
    assert progressive > 0.8 * tried
    nothing_else = Audit((), (), {}, (), None, ())
    issues = issues_of(manifest, nothing_else)
    listed = [issue for issue in issues if issue.kind == "decodes_with_warnings"]
    assert len(listed) == len(warned) - len(manifest.bad) and all(issue.suggestion for issue in listed)
    record_property("tried", tried)
    record_property("measured", f"of progressive ones {progressive} of {tried}")


def swapped(root):
    """The images of two classes change places."""
    for path in sorted((root / "crack").iterdir()):
        other = root / "plain" / path.name
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)


def one_replaced(root):
    path = root / "plain" / "03.png"
    path.write_bytes((root / "crack" / "03.png").read_bytes())


def one_bit(root):
    """The last bit of a comment: the pixels stay as they are, the file doesn't."""
    path = root / "plain" / "05.png"
    path.write_bytes(path.read_bytes() + b"\0")


def gone(root):
    (root / "plain" / "05.png").unlink()


def through_memory(manifest):
    pipeline.load_image_set(manifest, image_size=16)


def through_a_file(manifest):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "free_memory", lambda: 1000)
        try:
            pipeline.load_image_set(manifest, image_size=16)
        finally:
            assert not list(Path(os.environ["CNNZOO_CACHE"], "resized").iterdir())


def through_the_audit(manifest):
    audit_manifest(manifest, cached=False, progress=False)


def through_a_second_folder(manifest):
    twins_between(replace(manifest, images=()), manifest, progress=False)


def through_pictures(manifest):
    from experiments.auditing.sheets import _tile

    for i in range(len(manifest.images)):
        _tile(manifest, i)


@pytest.mark.parametrize("change", [swapped, one_replaced, one_bit, gone])
@pytest.mark.parametrize(
    "use",
    [through_memory, through_a_file, through_the_audit, through_a_second_folder, through_pictures],
)
def test_images_that_change_end_the_run_by_name(folder, tmp_path, monkeypatch, change, use):
    """An image that changes or vanishes after the folder was listed ends the run with its name."""
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path / "cache"))
    manifest = build_manifest(folder, progress=False)
    change(folder)
    with pytest.raises(InputError, match=r"\.png: .*run the same command again") as caught:
        use(manifest)
    assert "\n" not in str(caught.value)


def test_few_large_images_are_held_at_once(tmp_path, monkeypatch):
    """However many threads read large images, the memory that they hold together is bounded."""
    paths = []
    for i in range(12):
        Image.new("RGB", (300, 300), (i, i, i)).save(tmp_path / f"{i}.png")
        paths.append(tmp_path / f"{i}.png")
    monkeypatch.setattr(images, "_PIXELS", Budget(200_000))
    monkeypatch.setattr(limits, "usable_cores", lambda: 8)
    held, most, lock = 0, 0, threading.Lock()
    resize = images.resize_image

    def slow_resize(image, size):
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        time.sleep(0.01)
        with lock:
            held -= 1
        return resize(image, size)

    monkeypatch.setattr(images, "resize_image", slow_resize)
    assert load_images(paths, 8, progress=False)[:, 0, 0, 0].tolist() == list(range(12))
    assert most == 2


@pytest.mark.parametrize(("kind", "needed"), [("PNG", r"0\.2"), ("WEBP", r"0\.3")])
def test_an_image_too_large_for_the_memory_left_is_named(tmp_path, monkeypatch, kind, needed):
    """An image that would not fit into the memory that is left is named before it is decoded."""
    path = tmp_path / f"large{SUFFIXES[kind]}"
    Image.new("L", (5000, 4000)).save(path, lossless=True, method=0)
    monkeypatch.setattr(images, "free_memory", lambda: 100_000_000)
    with pytest.raises(InputError, match=rf"large\.\w+: 5000 x 4000 pixels: .*{needed} GB .*0\.1 GB"):
        read_image(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SUFFIXES))
def test_the_memory_that_is_asked_for_is_enough(tmp_path, kind, record_property):
    """Decoding takes no more memory than is asked for beforehand, whatever the kind of file."""
    path = tmp_path / f"large{SUFFIXES[kind]}"
    path.write_bytes(encoded(picture(random.Random(0)).resize((4000, 4000)), kind))
    code = (
        "import re, sys; from cnnzoo.data.images import read_image\n"
        # Not ru_maxrss, which has that of the process that started it.
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024\n"
        "read_image(sys.argv[1]); before = peak(); read_image(sys.argv[2]); print(peak() - before)"
    )
    small = tmp_path / f"small{SUFFIXES[kind]}"
    small.write_bytes(encoded(picture(random.Random(0)).resize((64, 64)), kind))
    run = subprocess.run(
        [sys.executable, "-c", code, small, path], capture_output=True, text=True, check=True
    )
    of_pixels = (int(run.stdout) - path.stat().st_size) / 4000**2
    assert of_pixels <= images.DECODERS_BYTES.get(kind, images.BYTES_PER_PIXEL) * 1.05
    record_property("measured", f"{kind}: {of_pixels:.0f} bytes a pixel")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "I;16", "I", "HSV", "LAB"])
def test_large_images_are_the_same_as_small_ones(tmp_path, monkeypatch, mode):
    """A large image, which is turned to RGB piece by piece, has the pixels of one done at once."""
    image = picture(random.Random(3), 61, 37)
    wide = np.arange(61 * 37, dtype=np.uint16).reshape(61, 37) * 29
    image = Image.fromarray(wide) if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("a.png" if mode in ("P", "PA", "I;16", "LA", "RGBA") else "a.tif")
    try:
        image.save(path)
    except OSError:
        pytest.skip(f"no file holds {mode}")
    try:
        whole = read_image(path)
    except InputError:
        return  # as large ones are
    monkeypatch.setattr(images, "STRIP", 500)
    with reading(path) as strips:
        assert np.array_equal(whole, strips)

"""Caches that are damaged, full, read-only, missing or used by two at once; limits of memory."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnzoo import files, limits
from cnnzoo.data import pipeline, resized
from cnnzoo.data.audit.examine import audit_manifest
from cnnzoo.data.audit.findings import Audit, audit_file
from cnnzoo.data.images import load_images
from cnnzoo.data.manifest import build_manifest
from cnnzoo.errors import InputError
from cnnzoo.files import cache_dir, replaced_whole, write_whole

SIZE = 12


@pytest.fixture(scope="module")
def manifest(image_folder):
    return build_manifest(image_folder, limit=8, progress=False)


@pytest.fixture(scope="module")
def pixels(manifest):
    return load_images([manifest.root / image.path for image in manifest.images], SIZE, progress=False)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, for images that don't fit into memory."""
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pipeline, "free_memory", lambda: 1000)
    return tmp_path / "cache"


def from_a_file(manifest):
    images = pipeline.load_image_set(manifest, image_size=SIZE).images
    assert isinstance(images, np.memmap)
    return images


def flipped(rng, file):
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def cut(rng, file):
    os.truncate(file, rng.randrange(file.stat().st_size))


def zeroed(rng, file):
    data = file.read_bytes()
    # Where nothing but zeros were there before, nothing would be damaged.
    start = rng.choice([i for i, byte in enumerate(data) if byte])
    file.write_bytes(data[:start] + bytes(min(512, len(data) - start)) + data[start + 512 :])


def all_zeros(rng, file):
    file.write_bytes(bytes(file.stat().st_size))


def emptied(rng, file):
    file.write_bytes(b"")


def longer(rng, file):
    file.write_bytes(file.read_bytes() + rng.randbytes(rng.randrange(1, 99)))


def noise(rng, file):
    file.write_bytes(rng.randbytes(file.stat().st_size))


def other_json(rng, file):
    file.write_text(rng.choice(["[]", "5", "null", "{}", "[" * 5000]))


def folder(rng, file):
    file.unlink()
    file.mkdir()
    (file / "inside").touch()


def pipe(rng, file):
    file.unlink()
    os.mkfifo(file)


DAMAGES = [flipped, cut, zeroed, all_zeros, emptied, longer, noise, other_json, folder, pipe]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_resized_images_are_made_again(cache, manifest, pixels, damage, capsys, record_property):
    """A damaged cache of resized images is noticed and made again, with a word."""
    rng, tried = random.Random(damage.__name__), 4
    from_a_file(manifest)
    (file,) = (cache / "resized").iterdir()
    for _ in range(tried):
        damage(rng, file)
        assert np.array_equal(from_a_file(manifest), pixels)
        said = capsys.readouterr().err
        assert said == f"warning: {file} is damaged: it is made again\n"
        assert [path.name for path in (cache / "resized").iterdir()] == [file.name]
        assert np.array_equal(from_a_file(manifest), pixels)
        assert capsys.readouterr().err == ""
    record_property("tried", tried)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_audit_is_not_used(cache, manifest, audit, damage, capsys, record_property):
    """A damaged audit in the cache is noticed, with a word, and never used."""
    rng, tried = random.Random(damage.__name__), 10
    file = audit_file(manifest)
    for _ in range(tried):
        audit.save(file)
        assert Audit.load(file) == audit
        damage(rng, file)
        assert Audit.load(file) is None
        assert capsys.readouterr().err == f"warning: {file} is damaged: it is made again\n"
        assert not file.exists()
    record_property("tried", tried)


@pytest.fixture(scope="module")
def audit(manifest):
    return audit_manifest(manifest, cached=False, progress=False)


def test_the_cache_of_other_images_is_not_used(cache, image_folder, manifest, pixels, audit, capsys):
    """What the cache keeps of one set of images is never used for another, even if files change places."""
    others = build_manifest(image_folder, limit=7, progress=False)
    from_a_file(others)
    (theirs,) = (cache / "resized").iterdir()
    from_a_file(manifest)
    (ours,) = set((cache / "resized").iterdir()) - {theirs}
    shutil.copy(theirs, ours)
    assert np.array_equal(from_a_file(manifest), pixels)
    audit_manifest(others, progress=False)
    shutil.copy(audit_file(others), audit_file(manifest))
    assert audit_manifest(manifest, progress=False) == audit
    assert capsys.readouterr().err.count("is damaged") == 2


AT_ONCE = """
import sys
from pathlib import Path
from cnnzoo.data import pipeline
from cnnzoo.data.manifest import build_manifest
pipeline.free_memory = lambda: 1000
print("ready", flush=True)
sys.stdin.readline()
manifest = build_manifest(sys.argv[1], progress=False)
images = pipeline.load_image_set(manifest, image_size=160).images
import hashlib
print(hashlib.sha256(images.tobytes()).hexdigest())
"""


def started(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


@pytest.mark.slow
def test_two_at_once_make_one_cache(cache, image_folder, record_property):
    """Programs that make the same cache of resized images at the same time all get the right images."""
    tried, together = 3, 3
    for _ in range(tried):
        shutil.rmtree(cache, ignore_errors=True)
        running = [started(AT_ONCE, image_folder) for _ in range(together)]
        for process in running:
            assert process.stdout.readline() == "ready\n"
        found = set()
        for process in running:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in running:
            out, err = process.communicate(timeout=120)
            assert (process.returncode, err) == (0, "")
            found.add(out)
        assert len(found) == 1 and len(list((cache / "resized").iterdir())) == 1
    record_property("tried", tried * together)


HALFWAY = """
import sys, time
from cnnzoo.data import pipeline, resized
from cnnzoo.data.manifest import build_manifest
pipeline.free_memory = lambda: 1000
def half(paths, size, *, out, **others):
    out[: len(out) // 2] = 7
    print("half", flush=True)
    time.sleep(60)
resized.load_images = half
pipeline.load_image_set(build_manifest(sys.argv[1], limit=8, progress=False), image_size=int(sys.argv[2]))
"""


@pytest.mark.slow
def test_what_a_killed_one_left_is_removed(cache, image_folder, manifest, pixels, record_property):
    """A half-written cache that a killed program left is never used, and removed at the next use."""
    tried = 3
    for _ in range(tried):
        shutil.rmtree(cache, ignore_errors=True)
        process = started(HALFWAY, image_folder, SIZE)
        assert process.stdout.readline() == "half\n"
        process.kill()
        process.communicate()
        assert list(cache.glob("resized/.*.part*"))
        assert np.array_equal(from_a_file(manifest), pixels)
        assert not list(cache.glob("resized/.*"))
    record_property("tried", tried)


def test_unfinished_files_of_the_dead_alone_are_removed(tmp_path):
    """Unfinished files of programs that are still running, and files of others, are left alone."""
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True)
    dead = int(done.stdout)
    host = files._HOST
    mine = f".a.{host}-{os.getppid()}.part.json"
    for name in (f".a.{host}-{dead}.part.json", mine, f".a.other-{dead}.part.json", ".a.part", "b.part"):
        (tmp_path / name).touch()
    os.utime(tmp_path / f".a.other-{dead}.part.json", (0, 0))
    write_whole(tmp_path / "a.json", "text")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", mine, ".a.part", "b.part"}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount")
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], capture_output=True
        ).returncode
    ):
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_one_line(small_disk, manifest, monkeypatch):
    """Where the disk of the cache is full, a run ends with a line that names it, and leaves nothing there."""
    monkeypatch.setenv("CNNZOO_CACHE", str(small_disk / "cache"))
    monkeypatch.setattr(pipeline, "free_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"disk/cache/resized.*No space left.*CNNZOO_CACHE") as caught:
        pipeline.load_image_set(manifest, image_size=64)
    assert "\n" not in str(caught.value)
    assert not list((small_disk / "cache" / "resized").iterdir())


def test_a_full_disk_does_not_lose_an_audit(small_disk, manifest, audit, monkeypatch, capsys):
    """Where the disk of the cache is full, the audit goes on, says that it isn't kept, and leaves no part."""
    monkeypatch.setenv("CNNZOO_CACHE", str(small_disk / "cache"))
    cache_dir("audits")
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(1_000_000))
    assert audit_manifest(manifest, progress=False) == audit
    assert "No space left on device; it is not kept for the next time" in capsys.readouterr().err
    assert not list((small_disk / "cache" / "audits").iterdir())


def test_a_full_disk_is_named_and_the_older_file_stays(small_disk):
    """A file that is written onto a full disk stays as it was, and the error names it."""
    target = small_disk / "kept.txt"
    write_whole(target, "older")
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(target, "x" * 500_000)
    assert caught.value.filename == str(target)
    assert [(path.name, path.read_text()) for path in small_disk.iterdir()] == [("kept.txt", "older")]


def no_folder(tmp_path):
    (tmp_path / "file").touch()
    return tmp_path / "file" / "cache"


def below_a_device(tmp_path):
    return Path("/dev/null/cache")


def read_only_system(tmp_path):
    return Path("/proc/cache")


def endless_link(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path / "loop"


def too_long(tmp_path):
    return tmp_path / ("n" * 300)


@pytest.mark.parametrize("place", [no_folder, below_a_device, read_only_system, endless_link, too_long])
def test_without_a_cache_it_goes_on(tmp_path, monkeypatch, capsys, manifest, audit, place):
    """Where the cache can't be written, everything goes on with a temporary one, with one word."""
    monkeypatch.setenv("CNNZOO_CACHE", str(place(tmp_path)))
    assert audit_manifest(manifest, progress=False) == audit
    assert audit_manifest(manifest, progress=False) == audit
    said = capsys.readouterr().err
    assert said.startswith("warning: the cache can't be used (") and said.count("\n") == 1
    shutil.rmtree(os.environ["CNNZOO_CACHE"])


NO_HOME = """
import os, sys
from cnnzoo.files import cache_dir
os.setgroups([]); os.setgid(54321); os.setuid(54321)
os.environ.pop("HOME", None); os.environ.pop("CNNZOO_CACHE", None); os.environ.pop("XDG_CACHE_HOME", None)
os.chdir("/")
print(cache_dir("audits").is_dir())
print(os.environ["CNNZOO_CACHE"])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without a home")
def test_a_user_without_a_home_has_a_cache():
    """A user without a home folder gets a temporary cache, which is gone afterwards."""
    done = subprocess.run([sys.executable, "-c", NO_HOME], capture_output=True, text=True)
    made, place = done.stdout.split()
    assert made == "True" and not Path(place).exists()
    assert done.stderr.startswith("warning: the cache can't be used (")


V2 = {
    "memory.max": "max\n", "memory.high": "max\n", "memory.current": "300000000\n",
    "memory.stat": "anon 1\ninactive_file 100000000\n", "cpu.max": "max 100000\n",
}  # fmt: skip
V1_MEMORY = {
    "memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "300000000\n",
    "memory.stat": "cache 7\ntotal_inactive_file 100000000\n",
}  # fmt: skip
LIMIT_V1 = {"memory.limit_in_bytes": "700000000"}
V1_CPU = {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}
MB = 1_000_000


@pytest.mark.parametrize(
    ("own", "tree", "free", "cores"),
    [
        ("0::/a/b\n", {"a/b": V2 | {"memory.max": "900000000"}}, 700 * MB, None),
        ("0::/a/b\n", {"a/b": V2, "a": V2 | {"memory.max": "550000000"}}, 350 * MB, None),
        ("0::/a/b\n", {"a/b": V2 | {"memory.high": "400000000"}}, 200 * MB, None),
        ("0::/a\n", {"a": V2 | {"memory.max": "100000000"}}, 0, None),
        ("0::/a\n", {"a": V2 | {"cpu.max": "100000 100000"}}, None, 1),
        ("0::/a\n", {"a": V2 | {"cpu.max": "50000 100000"}}, None, 1),
        # In a container the mount is its own cgroup, whatever path of the host the process has.
        ("0::/../../other\n", {".": V2 | {"memory.max": "900000000"}}, 700 * MB, None),
        ("4:memory:/docker/12\n", {"memory": V1_MEMORY | LIMIT_V1}, 500 * MB, None),
        ("4:memory:/a\n", {"memory/a": V1_MEMORY | LIMIT_V1}, 500 * MB, None),
        ("3:cpu,cpuacct:/a\n", {"cpu/a": V1_CPU | {"cpu.cfs_quota_us": "100000"}}, None, 1),
        ("3:cpu,cpuacct:/a\n4:memory:/\n", {"cpu/a": V1_CPU, "memory": V1_MEMORY}, None, None),
        # Both versions, the second at its side.
        (
            "4:memory:/\n0::/a\n",
            {"memory": V1_MEMORY, "unified/a": V2 | {"memory.max": "900000000"}},
            700 * MB,
            None,
        ),
        ("0::/a\n", {"a": V2 | {"memory.max": "odd", "memory.stat": "odd", "cpu.max": "0 0"}}, None, None),
        ("nonsense\n\n::\n", {}, None, None),
        ("", {}, None, None),
    ],
)
def test_limits_of_containers_are_seen(tmp_path, monkeypatch, own, tree, free, cores):
    """Limits of memory and processors that a container has, in cgroups of either version, are seen."""
    monkeypatch.setattr(limits, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "_OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(own)
    (tmp_path / "cgroup").mkdir()
    machine, all_cores = limits.free_memory(), limits.usable_cores()
    for place, contents in tree.items():
        (tmp_path / "cgroup" / place).mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (tmp_path / "cgroup" / place / name).write_text(text)
    if free is not None:
        assert limits.free_memory() == free
    else:
        assert limits.free_memory() > 0.5 * machine
    assert limits.usable_cores() == (cores or all_cores)


LIMITED = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
(folder / "cgroup.procs").write_text(str(__import__("os").getpid()))
from cnnzoo.data import pipeline
from cnnzoo.data.manifest import build_manifest
from cnnzoo.limits import free_memory, total_memory
manifest = build_manifest(sys.argv[2], progress=False)
print(free_memory(), total_memory())
images = pipeline.load_image_set(manifest, image_size=int(sys.argv[3])).images
print(type(images).__name__, int(images.sum()))
"""


@pytest.fixture
def memory_cgroup():
    """A cgroup of 300 MB, version 1 or 2."""
    mount = Path("/sys/fs/cgroup/memory")
    unified = not mount.is_dir()
    group = (mount.parent if unified else mount) / f"cnnzoo-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.max" if unified else "memory.limit_in_bytes")).write_text("300000000")
    except OSError:
        pytest.skip("no cgroup can be made here")
    yield group
    group.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 640, 1280])
def test_a_container_of_little_memory_is_enough(memory_cgroup, cache, image_folder, size, record_property):
    """In a container of 300 MB, images of any total size are read; what doesn't fit comes from a file."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(memory_cgroup), str(image_folder), str(size)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-1000:]
    free, total, kind, _ = run.stdout.split()
    assert int(free) < int(total) <= 300_000_000
    assert kind == ("ndarray" if size == 64 else "memmap")
    record_property("measured", f"{80 * size * size * 3 / 1e6:,.0f} MB of images")


def test_an_address_space_limit_is_seen():
    """A limit of memory that the shell sets (ulimit -v) is seen."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9)); "
        "from cnnzoo.limits import free_memory; print(free_memory())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(run.stdout) < 10**9


def test_nothing_unfinished_stays_after_an_error(tmp_path):
    """What fails while it is written leaves the older file as it was, and no part beside it."""
    (tmp_path / "a.json").write_text("older")
    with pytest.raises(RuntimeError), replaced_whole(tmp_path / "a.json") as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "older")]


def test_another_version_is_another_file(cache, manifest, monkeypatch):
    """Resized images that another version of the program kept are not used."""
    from_a_file(manifest)
    monkeypatch.setattr(resized, "VERSION", resized.VERSION + 1)
    from_a_file(manifest)
    assert len(list((cache / "resized").iterdir())) == 2

"""On a node of the cluster: one run or trial in a folder of its own, as `child.ask` makes it anywhere."""

import json
import os
import queue
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import ray

from cnnzoo.data.manifest import Manifest
from cnnzoo.files import cache_dir, write_whole
from experiments.cluster.parcel import Lacking, Left, Movable, Order
from experiments.runs import left
from experiments.runs.child import Answer, Event, ask

PREFIX = "cnnzoo-node-"  # of the folder, which has the number of its process next

Sent = Event | Left | Lacking | Answer


def work(order: Order) -> Iterator[Sent]:
    """Does what is asked and yields events as they come, then files, then the answer."""
    os.environ.update(order.environment)
    with _own_folder() as here:
        files = {
            path: _written(here / f"{n}-{Path(path).name}", ray.get(ref))
            for n, (path, ref) in enumerate(order.files.items())
        }
        if lacking := [
            file for file in order.spec.manifests if not _found(files[file], order.images.get(file))
        ]:
            yield Lacking(lacking)
            return
        out = here / "out"
        for name in left.FOLDERS:
            (out / name).mkdir(parents=True)
        spec = order.spec.moved({path: str(file) for path, file in files.items()}, out)
        if order.state is not None:
            _written(spec.checkpoint, order.state)
        yield from _results(order, spec, out)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A temporary folder; those of processes that were killed are removed."""
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{PREFIX}*"):
        number = old.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _results(order: Order, spec: Movable, out: Path) -> Iterator[Sent]:
    sent = queue.SimpleQueue[Event | Left | None]()
    saved = _Saved(spec.checkpoint)

    def look() -> None:
        if (state := saved.new()) is not None:
            sent.put(Left(str(spec.checkpoint.relative_to(out)), state))

    with ThreadPoolExecutor(1) as pool:
        file = out / "logs" / f"{order.name}.json"
        asked = pool.submit(
            ask, order.module, spec, file, heard=sent.put, waiting=look, seconds=order.seconds
        )
        asked.add_done_callback(lambda _: sent.put(None))
        while (one := sent.get()) is not None:
            yield one
        answer = asked.result()
    spec.checkpoint.unlink(missing_ok=True)  # the driver has it
    for path in sorted(out.rglob("*")):
        if path.is_file():
            yield Left(path.relative_to(out).as_posix(), path.read_bytes())
    # Whoever reads a message looks for the files where they are by then.
    record = answer.record.replace(_escaped(str(out)), _escaped(order.out))
    yield replace(answer, record=record, ended=answer.ended.replace(str(out), order.out))


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


class _Saved:
    """Notices when the state of a training has been saved anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen = self._changed()

    def _changed(self) -> int:
        return self.path.stat().st_mtime_ns if self.path.exists() else 0

    def new(self) -> bytes | None:
        if (changed := self._changed()) == self.seen:
            return None
        self.seen = changed
        return self.path.read_bytes()  # replaced whole, so never a part


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _found(file: Path, parts: list[ray.ObjectRef] | None) -> bool:
    """Says whether the images of a manifest are here, and has `file` name the folder that they are in.

    They lie where they lie on the driver, or in the cache, to which `parts`, where given, are written. What
    is in them is checked when they are read.
    """
    manifest = Manifest.load(file)
    if _all_in(manifest):
        return True
    copied = replace(manifest, root=cache_dir("cluster", manifest.fingerprint[:16]))
    if not _all_in(copied):
        if parts is None:
            return False
        _copy(copied, parts)
    copied.save(file)
    return True


def _all_in(manifest: Manifest) -> bool:
    return all((manifest.root / image.path).is_file() for image in manifest.images)


def _copy(manifest: Manifest, parts: list[ray.ObjectRef]) -> None:
    for part in parts:
        for path, content in ray.get(part).items():
            file = manifest.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)

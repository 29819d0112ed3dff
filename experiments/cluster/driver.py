"""The driver's side of a Ray cluster: sends runs and trials to its nodes and keeps what comes back."""

import importlib.util
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.files import write_whole
from experiments.cluster.parcel import Lacking, Left, Movable, Order, versions
from experiments.runs.child import POLL_SECONDS, Answer, Tell, note
from experiments.runs.spec import check_unchanged

if TYPE_CHECKING:
    import ray

    from cnnzoo.data.manifest import Manifest

ATTEMPTS = 4  # of a run whose machine is lost each time: it may be what brings them down
VARIABLES = ("KERAS_BACKEND",)  # of the environment that decide what is computed
CONNECT_SECONDS = 10.0
PROBE_SECONDS = 120.0  # a node that starts its first process reads hundreds of files
PART_BYTES = 32_000_000  # of images in one object


@contextmanager
def cluster_at(address: str) -> Iterator["Cluster"]:
    """Connects to a cluster; in the end all that runs there for this process is ended.

    Args:
        address: HOST:PORT of the head, of which this machine is a node too.

    Raises:
        InputError: Ray is not installed, there is no such cluster, or its nodes have other versions.
    """
    if not _installed():
        raise InputError("--ray: Ray is not installed here; pip install 'cnnzoo[cluster]'")
    _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    handler = signal.getsignal(signal.SIGTERM)  # Ray puts its own there
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--ray {address}: {one_line(error)}; is this machine a node? ray start --address={address}"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, handler)
    try:
        cluster = Cluster(address)
        try:
            yield cluster
        finally:
            cluster.closing.set()
    finally:
        ray.shutdown()


def _installed() -> bool:
    return importlib.util.find_spec("ray") is not None


def _check_address(address: str) -> None:
    """Says at once what Ray would find out after a minute."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()) or "/" in host:
        raise InputError(
            f"--ray {address}: give HOST:PORT of the cluster's head, as ray start --head prints it"
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--ray {address}: nobody answers there ({one_line(error)}); ray start --head starts one"
        ) from None


class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        at_once: how many runs it has room for.
        closing: set once nobody waits for what its runs bring.
    """

    def __init__(self, address: str) -> None:
        asked = [(node, _asked_versions(node)) for node in _nodes()]
        nodes = [node for node, theirs in asked if _has_our_versions(node, theirs, address)]
        if not nodes:
            raise InputError(f"--ray {address}: no node has a core; ray start --address={address} adds one")
        self.needs = _needs(nodes)
        self.at_once = sum(_room(node, self.needs) for node in nodes)
        self._work = _task(self.needs)
        self._sent: dict[str, ray.ObjectRef] = {}
        self._images: dict[str, list[ray.ObjectRef]] = {}
        self._lock, self.closing = Lock(), Event()

    def __str__(self) -> str:
        cores = self.needs["num_cpus"]
        each = "a GPU" if "num_gpus" in self.needs else f"{cores:g} core{'s' if cores > 1 else ''}"
        return f"{self.at_once} at a time, on {each} each"

    def ask(
        self,
        module: str,
        spec: Movable,
        file: Path,
        *,
        heard: Tell = lambda event: None,
        waiting: Callable[[], None] = lambda: None,
        seconds: float | None = None,
    ) -> Answer:
        """Does as `child.ask`, on a node; where that is lost, on another, from the last saved state."""
        from ray import exceptions as errors

        # Each ends with a node, or with the process there; all else is the run's own.
        lost = (
            errors.NodeDiedError,
            errors.WorkerCrashedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
        )
        for _ in range(ATTEMPTS):
            try:
                check_unchanged(spec.inputs)
                return self._asked(module, spec, file, heard, waiting, seconds)
            except errors.RayError as error:
                if self.closing.is_set():  # no fault of the run, and no reason to record one
                    raise
                if not isinstance(error, lost):
                    return Answer("", one_line(getattr(error, "cause", None) or error))
                heard(note(f"its node was lost ({type(error).__name__}); it runs again"))
            except InputError as error:
                return Answer("", one_line(error))
        return Answer("", f"lost with its node {ATTEMPTS} times, perhaps for want of memory")

    def _asked(
        self,
        module: str,
        spec: Movable,
        file: Path,
        heard: Tell,
        waiting: Callable[[], None],
        seconds: float | None,
    ) -> Answer:
        out = file.parent.parent
        images: dict[str, list[ray.ObjectRef]] = {}
        while True:
            order = Order(
                module=module,
                spec=spec,
                out=str(out),
                name=file.stem,
                seconds=seconds,
                files={path: self._content(path) for path in spec.reads},
                state=spec.checkpoint.read_bytes() if spec.checkpoint.exists() else None,
                images=images,
                environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
            )
            for sent in _stream(self._work.remote(order), waiting):
                if isinstance(sent, Answer):
                    return sent
                if isinstance(sent, Left):
                    _keep(out, sent)
                elif isinstance(sent, Lacking):
                    heard(note("its node lacks images, which are sent"))
                    images |= {manifest: self._parts(manifest) for manifest in sent.manifests}
                else:
                    heard(sent)

    def _content(self, path: str) -> "ray.ObjectRef":
        """A file in the object store, put there once."""
        import ray

        with self._lock:
            if path not in self._sent:
                self._sent[path] = ray.put(Path(path).read_bytes())
            return self._sent[path]

    def _parts(self, file: str) -> "list[ray.ObjectRef]":
        """The images of a manifest in the object store, put there once."""
        import ray

        from cnnzoo.data.manifest import Manifest

        with self._lock:
            if file not in self._images:
                self._images[file] = [ray.put(part) for part in _read(Manifest.load(file))]
            return self._images[file]


def _stream(task: "ray.ObjectRefGenerator", waiting: Callable[[], None]) -> Iterator[Any]:
    """Yields what a task yields, and calls `waiting` every second while there is nothing."""
    import ray

    try:
        while True:
            ready, _ = ray.wait([task], timeout=POLL_SECONDS)
            if not ready:
                waiting()
            elif (sent := next(task, None)) is None:
                return
            else:
                yield ray.get(sent)
    finally:
        ray.cancel(task, force=True)  # nothing where it has ended


def _keep(out: Path, left: Left) -> None:
    path = out / left.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, left.content)


def _read(manifest: "Manifest") -> Iterator[dict[str, bytes]]:
    """Yields the images by path, some at a time.

    Raises:
        InputError: one has changed since it was listed, or lies outside the folder, where only a node that
            has the same file could find it.
    """
    part: dict[str, bytes] = {}
    bytes_ = 0
    for image in manifest.images:
        name = Path(image.path)
        if name.is_absolute() or ".." in name.parts:
            raise InputError(
                f"{printable(image.path)}: its node lacks it, and only images below the folder of --data are "
                "sent; put it there under the same path"
            )
        content = (manifest.root / name).read_bytes()
        if sha256(content).hexdigest() != image.sha256:
            raise InputError(f"{printable(image.path)}: changed since the command began; give it again")
        part[image.path] = content
        bytes_ += len(content)
        if bytes_ > PART_BYTES:
            yield part
            part, bytes_ = {}, 0
    yield part


def _nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def _needs(nodes: list[dict[str, Any]]) -> dict[str, float]:
    """What a run takes: a GPU where there are some, else all cores of the smallest node."""
    with_gpu = [node["Resources"] for node in nodes if node["Resources"].get("GPU", 0) >= 1]
    if with_gpu:
        return {"num_gpus": 1, "num_cpus": min(max(1, each["CPU"] // each["GPU"]) for each in with_gpu)}
    return {"num_cpus": min(node["Resources"]["CPU"] for node in nodes)}


def _room(node: dict[str, Any], needs: dict[str, float]) -> int:
    has = node["Resources"]
    return int(min(has["CPU"] // needs["num_cpus"], has.get("GPU", 0) if "num_gpus" in needs else has["CPU"]))


def _task(needs: dict[str, float]) -> Any:
    import ray

    from experiments.cluster.node import work

    # Not Ray's retries: whoever waits is told of each.
    return ray.remote(work).options(max_retries=0, **needs)


def _asked_versions(node: dict[str, Any]) -> "ray.ObjectRef":
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(versions).options(num_cpus=0, scheduling_strategy=there).remote()


def _has_our_versions(node: dict[str, Any], asked: "ray.ObjectRef", address: str) -> bool:
    """Says whether a node is still there, and checks that it computes with what is installed here.

    Raises:
        InputError: it does not.
    """
    import ray

    name = f"--ray {address}: node {node['NodeManagerAddress']}"
    try:
        theirs = ray.get(asked, timeout=PROBE_SECONDS)
    except (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError):
        return False  # it has just died
    except ray.exceptions.RayError as error:
        reason = one_line(getattr(error, "cause", None) or error)
        raise InputError(f"{name} can't run cnnzoo ({reason}); pip install 'cnnzoo[cluster]' there") from None
    ours = versions()
    if other := [f"{package} {theirs[package]}" for package in ours if theirs[package] != ours[package]]:
        here = ", ".join(f"{package} {version}" for package, version in ours.items())
        raise InputError(f"{name} has {', '.join(other)}; install there what is here: {here}")
    return True

"""What the machine, its container and the shell leave to this process: memory and cores."""

import math
import os
import re
import resource
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition
from typing import TypeVar

import psutil

Item = TypeVar("Item")
Result = TypeVar("Result")

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")

# What versions 2 and 1 of cgroups call a limit, what is used of it, and the cache in that which gives way.
_MEMORY = (
    (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
)

_AHEAD = 500  # items that threads may be ahead of whoever takes the results
_sharing = 1  # processes like this one at a time


def share_memory(processes: int) -> None:
    """Leaves this process one part of the memory in as many as there are processes like it at a time."""
    global _sharing
    _sharing = processes


def memory_is_shared() -> bool:
    """Whether other processes do the same as this one at the same time."""
    return _sharing > 1


def free_memory() -> int:
    """Returns the bytes that this process may still take: of the machine, its cgroups and `ulimit -v`."""
    free = [psutil.virtual_memory().available]
    free += [limit - used for limit, used in _memory_limits()]
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        free.append(most - psutil.Process().memory_info().vms)
    return max(0, min(free)) // _sharing


def total_memory() -> int:
    """Returns the bytes of memory that the machine has, or the cgroups of this process allow."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _memory_limits())])


def peak_memory() -> int:
    """Returns the most bytes that this process has had in memory.

    Not what `getrusage` says of it, which on Linux counts what its parent held when it started this one.
    """
    found = re.search(r"^VmHWM:\s*(\d+) kB", _text(Path("/proc/self/status")), re.MULTILINE)
    return 1024 * (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def usable_cores() -> int:
    """Returns the cores that this process may keep busy: by its affinity and the quota of its cgroups."""
    quotas = [quota for folder in _own_folders("cpu") if (quota := _core_quota(folder))]
    return min([len(os.sched_getaffinity(0)), *(math.ceil(quota) for quota in quotas)])


def core_shares(parts: int) -> list[set[int]]:
    """Returns equal shares of the usable cores, none of them empty, as `os.sched_setaffinity` takes them."""
    cores = sorted(os.sched_getaffinity(0))[: usable_cores()]
    each = max(1, len(cores) // parts)
    return [{cores[core % len(cores)] for core in range(i * each, (i + 1) * each)} for i in range(parts)]


def in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int = _AHEAD,
    threads: int | None = None,
) -> Generator[Result]:
    """Yields what a function makes of each item, in order, by default with as many threads as cores.

    Threads are at most `ahead` items ahead of whoever takes the results, which wait in memory. Who may not
    take all of them closes it, or the threads stay until it is collected.
    Of the pool's own `map`, a million items would each hold a kilobyte from the beginning to the end.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _memory_limits() -> Iterator[tuple[int, int]]:
    """Limit and use of each cgroup that holds this process and has a limit."""
    for folder in _own_folders("memory"):
        for limits, current, cache in _MEMORY:
            most = [limit for name in limits if (limit := _number(folder / name)) is not None]
            used = _number(folder / current)
            if most and used is not None:
                yield min(most), max(0, used - _counts(folder / "memory.stat").get(cache, 0))


def _own_folders(controller: str) -> Iterator[Path]:
    """The folders of the cgroups that this process is in, each with those above it.

    In a container the path may be the host's, which isn't seen there: then the mount itself is the cgroup.
    """
    for line in _text(_OWN_CGROUPS).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        unified = _CGROUPS / "unified"
        mount = _CGROUPS / controller if controllers else unified if unified.is_dir() else _CGROUPS
        folder = mount.joinpath(*(name for name in path.split("/") if name not in ("", "..")))
        while folder.is_relative_to(mount):
            yield folder
            folder = folder.parent


def _core_quota(folder: Path) -> float | None:
    quota, period = [*_text(folder / "cpu.max").split(), "", ""][:2]  # version 2
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    with suppress(ValueError, ZeroDivisionError):  # "max" is no number
        share = float(quota) / float(period)
        return share if share > 0 else None
    return None


def _counts(file: Path) -> dict[str, int]:
    """What a file of lines such as `inactive_file 4096` says."""
    words = _text(file).split()
    return {name: int(n) for name, n in zip(words[::2], words[1::2], strict=False) if n.isdecimal()}


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


class Budget:
    """At most so much at a time in all threads together: whoever needs more than is left waits."""

    def __init__(self, total: int) -> None:
        self._total = self._left = total
        self._changed = Condition()

    @contextmanager
    def of(self, amount: int) -> Iterator[None]:
        """Takes `amount` for as long as the context lasts; more than there is takes all."""
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()

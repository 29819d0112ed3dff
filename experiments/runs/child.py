"""One protocol between a parent and the child that it starts, for runs and trials alike.

A specification goes in as a JSON file, events come out on the child's stdout, JSON, a line for each, and the
record lies beside the specification in the end. A child dies with its parent, and the parent says how a child
ended that left no record.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec
import psutil

from cnnzoo.files import write_whole
from cnnzoo.processes import how_it_ended, own_environment, own_module
from cnnzoo.training.progress import Progress
from experiments.cli.stopping import end_with

# "event" is "stage", "note", "data" or "progress"; the others are what there is to know.
Event = dict[str, Any]
Tell = Callable[[Event], None]
Spec = TypeVar("Spec")

PARENT = "CNNZOO_PARENT"  # the variable with the number of the parent's process, which may have ended already
POLL_SECONDS = 1.0  # between two looks at the clock while a child is silent
SILENT_SECONDS = 300.0  # after which that is said, and said again after twice as long

WAITING: Event = {"event": "waiting"}  # there is nothing to say, but whoever hears it may end the run


def stage(text: str) -> Event:
    """What the child does now, as `testing`."""
    return {"event": "stage", "text": text}


def note(text: str) -> Event:
    """What people should know of the child."""
    return {"event": "note", "text": text}


def data(images: int, storage: str, decode_seconds: float) -> Event:
    """The images are read."""
    return {"event": "data", "images": images, "storage": storage, "decode_seconds": decode_seconds}


def data_line(event: Event) -> str:
    """What `data` says, for people."""
    seconds = f"decoded in {event['decode_seconds']:.1f} s"
    return f"{event['images']:,} training images, {event['storage']}, {seconds}"


def progress(now: Progress) -> Event:
    """How far the training has come."""
    return {"event": "progress", **asdict(now)}


def read_progress(event: Event) -> Progress:
    """Reads what `progress` made."""
    return msgspec.convert(event, Progress)


# The parent's side.


@dataclass(frozen=True)
class Answer:
    """What a child left: its record as JSON, empty where it left none, how it ended, and whether too late."""

    record: str
    ended: str
    too_long: bool = False


class Ask(Protocol):
    """Has a module of ours work on a specification, as `ask` does."""

    def __call__(
        self,
        module: str,
        spec: Any,
        file: Path,
        *,
        heard: Tell = ...,
        waiting: Callable[[], None] = ...,
        seconds: float | None = None,
    ) -> Answer: ...


def ask(
    module: str,
    spec: Any,
    file: Path,
    *,
    heard: Tell = lambda event: None,
    waiting: Callable[[], None] = lambda: None,
    seconds: float | None = None,
) -> Answer:
    """Has a module of ours work on a specification in a process of its own, which gives its memory back.

    Args:
        module: whose `main` calls `serve`.
        spec: a dataclass.
        file: where the specification goes; what the child prints besides events goes to FILE.log, which is
            there afterwards only if there was anything.
        heard: gets each event.
        waiting: called every second or so while the child works.
        seconds: after which it is ended; None for no limit.
    """
    record, log = file.with_suffix(".record.json"), file.with_suffix(".log")
    record.unlink(missing_ok=True)
    write_whole(file, json.dumps(asdict(spec)))
    try:
        code = follow(own_module(module, file), heard, log, waiting=waiting, seconds=seconds)
        left = record.read_text(encoding="utf-8") if record.exists() else ""
    finally:
        file.unlink(missing_ok=True)
        record.unlink(missing_ok=True)
    ended = "took too long" if code is None else how_it_ended(code)
    said = f"; its output is in {log}" if log.exists() else ""
    return Answer(left, ended + said, too_long=code is None)


def follow(
    command: Sequence[str],
    heard: Tell,
    log: Path,
    *,
    waiting: Callable[[], None] = lambda: None,
    seconds: float | None = None,
) -> int | None:
    """Runs a command and passes its events on as they come; the other arguments are those of `ask`.

    Returns:
        The exit code; None if it took too long.
    """
    try:
        with log.open("wb") as rest:
            return _follow(command, heard, waiting, seconds, rest)
    finally:
        if not log.stat().st_size:
            log.unlink()


def _follow(
    command: Sequence[str], heard: Tell, waiting: Callable[[], None], seconds: float | None, rest: BinaryIO
) -> int | None:
    clock, lines = time.monotonic(), queue.Queue[bytes | None]()
    environment = {**own_environment(), PARENT: str(os.getpid())}
    # Not of the terminal's group: Ctrl-C is for the parent, which ends its child.
    process = subprocess.Popen(  # noqa: S603 - a module of ours, without a shell
        command, stdout=subprocess.PIPE, stderr=rest, env=environment, process_group=0
    )
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    silence = _Silence(process.pid)
    try:
        looked = clock
        while True:
            try:
                line = lines.get(timeout=POLL_SECONDS)
                silence.broken()
            except queue.Empty:
                line = b""
                for text in silence.said():
                    heard(note(text))
            if line is None:
                return process.wait()
            if time.monotonic() - looked >= POLL_SECONDS:
                looked = time.monotonic()
                waiting()
            if seconds is not None and time.monotonic() - clock > seconds:
                return None
            if line:
                _pass_on(line, heard, rest)
    finally:
        if process.poll() is None:  # too long, Ctrl-C, or nobody reads what we print
            process.kill()
            process.wait()
        reader.join()


class _Silence:
    """Notices that a child was stopped, or has said nothing for long, and says each once."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.stopped = False
        self.broken()

    def broken(self) -> None:
        """The child has said something."""
        self.since, self.patience = time.monotonic(), SILENT_SECONDS

    def said(self) -> Iterator[str]:
        """Yields what there is to say now."""
        try:
            stopped = self.process.status() == psutil.STATUS_STOPPED
            seconds = sum(self.process.cpu_times()[:2])
        except psutil.Error:
            return
        if stopped and not self.stopped:
            yield f"its process was stopped by a signal; kill -CONT {self.process.pid} lets it go on"
        self.stopped = stopped
        silent = time.monotonic() - self.since
        if silent >= self.patience:
            self.patience *= 2
            yield f"silent for {silent / 60:.0f} min; processor time of its process so far: {seconds:.0f} s"


def _read(stream: Any, lines: "queue.Queue[bytes | None]") -> None:
    for line in stream:
        lines.put(line)
    stream.close()
    lines.put(None)


def _pass_on(line: bytes, heard: Tell, rest: BinaryIO) -> None:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and "event" in event:
        heard(event)
    else:
        rest.write(line)
        rest.flush()


# The child's side.


def serve(load: Callable[[Path], Spec], work: Callable[[Spec, Tell], str]) -> int:
    """Works on the specification named on the command line; the record lies beside it afterwards.

    Args:
        load: reads the specification.
        work: gets it and what takes events; returns the record as JSON.

    Returns:
        The exit code.
    """
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python -m MODULE SPEC.json, a file that the parent process wrote", file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    end_with(int(os.environ.get(PARENT, os.getppid())))
    tell, path = claim_stdout(), Path(sys.argv[1])
    write_whole(path.with_suffix(".record.json"), work(load(path), tell))
    return 0


def note_error(file: Path) -> None:
    """Writes the traceback of the error that is being handled, for whoever wants to know more."""
    with suppress(OSError):  # a full disk, of which the error itself tells
        file.write_text(traceback.format_exc(), encoding="utf-8")


def claim_stdout() -> Tell:
    """Keeps stdout for events: what else is printed there, by native code too, goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: Event) -> None:
        try:
            channel.write(json.dumps(event) + "\n")
            channel.flush()
        except BrokenPipeError:
            os._exit(1)  # the parent was killed, and its child ends with it

    return tell

"""What a run tells the comparison while it goes: JSON, a line for each event, on its stdout."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from cnnzoo.training.config import Epoch
from cnnzoo.training.progress import Progress
from experiments.commands import own_environment

Event = dict[str, Any]  # "event" is "stage", "data" or "progress"; the others are what there is to know
Tell = Callable[[Event], None]


def claim_stdout() -> Tell:
    """Keeps stdout for events: what else is printed there, by native code too, goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: Event) -> None:
        try:
            channel.write(json.dumps(event) + "\n")
            channel.flush()
        except BrokenPipeError:
            os._exit(1)  # the comparison was killed, and its run ends with it

    return tell


def stage(text: str) -> Event:
    """What the run does now, as `testing`."""
    return {"event": "stage", "text": text}


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
    values = {name: value for name, value in event.items() if name != "event"}
    result = values.pop("result")
    return Progress(**values, result=Epoch(**result) if result else None)


def show(event: Event) -> None:
    """Shows people an event: the images on stdout, stages and epochs on stderr."""
    if event["event"] == "data":
        print(data_line(event), flush=True)
    elif event["event"] == "stage":
        print(event["text"], file=sys.stderr)
    elif event["result"]:
        print(read_progress(event).line(), file=sys.stderr)


def listen(command: Sequence[str], heard: Tell, log: Path) -> int:
    """Runs `command`, passes its events on as they come and returns its exit code.

    What else it prints goes to `log`, which is there afterwards only if there was anything.
    """
    try:
        with log.open("wb") as rest:
            return _listen(command, heard, rest)
    finally:
        if not log.stat().st_size:
            log.unlink()


def _listen(command: Sequence[str], heard: Tell, rest: BinaryIO) -> int:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=rest, env=own_environment()) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                event = _event(line)
                if event is None:
                    rest.write(line)
                    rest.flush()
                else:
                    heard(event)
            return process.wait()
        finally:
            if process.poll() is None:  # Ctrl-C, or nobody reads what we print
                process.kill()


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None

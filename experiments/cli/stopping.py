"""How a command ends before its time, by Ctrl-C, SIGTERM or a closed terminal: soon, with all it started."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

PATIENCE = 3.0  # seconds for what must be put away; native code, or a library, may take long to hear of it
REMIND_SECONDS = 0.5
WATCH_SECONDS = 1.0  # between two looks at whether the parent lives
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "a closed terminal"}
_PR_SET_PDEATHSIG = 1
_SHOW_CURSOR = "\x1b[?25h"

_reminding = threading.Event()
_kept = ""  # what is left when the command is stopped, and how to go on
_stopped_by: int | None = None


class Stopped(KeyboardInterrupt):
    """A signal that asks to end."""


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Has the signals that ask to end raise `Stopped`; the process ends then, if need be by force.

    What the caller had ignored, as `nohup` does, stays ignored.
    """
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heeded}
    try:
        yield
    finally:
        end_if_stopped()
        for number, handler in before.items():
            signal.signal(number, handler)


def tell_if_stopped(kept: str) -> None:
    """Sets what the last line says after `stopped by Ctrl-C; `."""
    global _kept
    _kept = kept


def end_if_stopped() -> None:
    """Ends the process where a signal has asked to, once all is put away."""
    if _stopped_by is not None:
        _end_now(_stopped_by)


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped_by
    if _stopped_by is None:
        _stopped_by = number
        sys.unraisablehook = lambda unraisable: None
        threading.Thread(target=_insist, args=(number,), daemon=True).start()
    elif not _reminding.is_set():  # a second time: somebody is in a hurry
        _end_now(number)
    _reminding.clear()
    if not isinstance(sys.exception(), Stopped):  # nothing is being put away yet
        raise Stopped


def _insist(number: int) -> None:
    """Reminds, and ends the process at last: what is raised in a finaliser, say, is dropped by Python."""
    for _ in range(round(PATIENCE / REMIND_SECONDS)):
        time.sleep(REMIND_SECONDS)
        _reminding.set()
        os.kill(os.getpid(), number)
    _end_now(number)


def _end_now(number: int) -> None:
    import psutil  # behind the answer to --help

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    if files := sys.modules.get("cnnzoo.files"):
        files.remove_temporary_folders()
    show_cursor()
    # The terminal may be gone.
    with suppress(OSError, ValueError, AttributeError):
        print(stopped_line(number), file=sys.stderr, flush=True)
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(128 + number)


def stopped_line(number: int = signal.SIGINT) -> str:
    """Returns the line for people."""
    return f"stopped by {SIGNALS[signal.Signals(number)]}{'; ' if _kept else ''}{_kept}"


def show_cursor() -> None:
    """Shows the cursor of the terminal again, which a bar of a process that was killed had hidden."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            print(_SHOW_CURSOR, end="", file=sys.stderr, flush=True)


def end_with(parent: int) -> None:
    """Ends this process when its parent has ended, however that was killed.

    Args:
        parent: number of its process.
    """
    if sys.platform == "linux":
        import ctypes

        # At once, and whatever native code is doing here.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)

"""Commands as a user starts them, in processes that a test can stop, kill and look at."""

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def started(*arguments, folder, terminal=None):
    """Starts `cnnzoo` in a folder, heeding signals as in a terminal, whatever the tests were started with."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    outputs = (
        {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        if terminal is not None
        else {"stdout": (folder / "stdout.txt").open("a"), "stderr": (folder / "stderr.txt").open("a")}
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *map(str, arguments)],
        cwd=folder,
        env=environment,
        start_new_session=True,
        preexec_fn=_as_in_a_terminal if terminal is None else _with_a_terminal,
        **outputs,
    )
    if terminal is None:
        outputs["stdout"].close()
        outputs["stderr"].close()
    return process


def _as_in_a_terminal():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _with_a_terminal():
    _as_in_a_terminal()
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def new_terminal():
    """Returns the two ends of a terminal: the window's and the command's."""
    return pty.openpty()


def family(process):
    """The process and all that it has started."""
    try:
        first = psutil.Process(process.pid)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def left_of(processes, seconds=2.0):
    """Returns which of these processes still live after a while; zombies are dead."""
    end = time.monotonic() + seconds
    while True:
        living = [one for one in processes if _lives(one)]
        if not living or time.monotonic() > end:
            return living
        time.sleep(0.05)


def _lives(process):
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False

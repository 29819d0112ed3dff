"""Two commands that write to one folder."""

import json
import signal
import subprocess
import sys
import time

import pytest

from cnnzoo.errors import InputError
from experiments.cli.alone import LOCK_FILE, alone_in
from experiments.cli.process import ROOT

HOLD = """
import sys, time
from pathlib import Path
from experiments.cli.alone import alone_in
with alone_in(Path(sys.argv[1]), "compare"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that keeps the folder to itself."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_command_leaves_with_who_is_there(holder, tmp_path):
    """A second command for a folder leaves at once and names process, host and start of the first."""
    held = json.loads((tmp_path / LOCK_FILE).read_text())
    assert held["pid"] == holder.pid
    with pytest.raises(InputError) as refused, alone_in(tmp_path, "tune"):
        pass
    for part in (tmp_path, holder.pid, held["host"], held["since"], "choose another folder"):
        assert str(part) in str(refused.value)
    assert json.loads((tmp_path / LOCK_FILE).read_text()) == held


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_folder_of_a_command_that_died_is_free(holder, tmp_path, number, record_property):
    """The folder of a command that was killed is free at once."""
    holder.send_signal(number)
    holder.wait()
    started = time.monotonic()
    with alone_in(tmp_path, "compare"):
        pass
    record_property("measured", f"{1000 * (time.monotonic() - started):.0f} ms")


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"5", b"{", b"\xff", b"[" * 100_000, b'{"pid": 1}', b"x" * 9999]
)
def test_a_lock_file_with_anything_in_it_is_no_lock(tmp_path, text):
    """Whatever a lock file says, only a process that lives keeps a folder."""
    (tmp_path / LOCK_FILE).write_bytes(text)
    with alone_in(tmp_path, "compare"):
        (tmp_path / LOCK_FILE).write_bytes(text)
        with pytest.raises(InputError, match="another command writes to it"), alone_in(tmp_path, "tune"):
            pass
    assert (tmp_path / LOCK_FILE).read_bytes() == b""

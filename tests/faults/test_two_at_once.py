"""Two commands that write to one folder."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import started

from cnnzoo.errors import InputError
from cnnzoo.processes import ROOT
from experiments.cli.alone import LOCK_FILE, alone_in
from experiments.runs.left import not_as_recorded
from experiments.runs.records import from_json

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
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
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


COMPARE = ("compare", "--recipes", "three_conv", "--limit", 60, "--epochs", 3, "--out", "../out")


@pytest.mark.slow
@pytest.mark.parametrize("apart", [0, 1.5, 4, 7])
def test_two_comparisons_at_once(tmp_path, apart, monkeypatch):
    """Of two comparisons in one folder one leaves with a line, and the other's files are its own."""
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path / "cache"))
    both = []
    for number, seed in enumerate((0, 1)):
        folder = tmp_path / str(seed)
        folder.mkdir()
        both.append(started(*COMPARE, "--seeds", seed, folder=folder))
        time.sleep(apart * (number == 0))
    codes = [process.wait(180) for process in both]
    said = [(tmp_path / str(seed) / "stderr.txt").read_text() for seed in (0, 1)]
    assert sorted(codes) == [0, 2], said
    assert "writes to it" in said[codes.index(2)]
    assert not any("Traceback" in text for text in said)
    (record,) = map(json.loads, (tmp_path / "out" / "runs.jsonl").read_text().splitlines())
    assert record["seed"] == codes.index(0)
    assert not_as_recorded(tmp_path / "out", from_json(json.dumps(record)).files) == {}


@pytest.mark.slow
def test_a_report_beside_a_comparison(tmp_path, monkeypatch):
    """A report that is made while a comparison runs reads whole records, and disturbs nothing."""
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    compare = started(*COMPARE, "--seeds", "0,1,2", folder=tmp_path / "a")
    codes = []
    while compare.poll() is None:
        time.sleep(1)
        if (tmp_path / "out" / "runs.jsonl").exists():
            (tmp_path / "b").mkdir(exist_ok=True)
            codes.append(started("report", "../out", folder=tmp_path / "b").wait(60))
    assert compare.returncode == 0 and codes and set(codes) == {0}
    assert "Traceback" not in (tmp_path / "b" / "stderr.txt").read_text()
    assert len((tmp_path / "out" / "runs.jsonl").read_text().splitlines()) == 3

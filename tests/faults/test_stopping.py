"""Commands that are stopped: by Ctrl-C, by the system, by a closed terminal, by kill -9."""

import multiprocessing.spawn
import os
import random
import signal
import time

import psutil
import pytest
from commands import family, left_of, new_terminal, started

from cnnzoo.data.sources.synthetic import synthetic_concrete
from cnnzoo.errors import InputError
from experiments.cli.apart import apart

COMMANDS = {
    "compare": (
        *("compare", "--recipes", "three_conv,crack_net", "--limit", 150, "--seeds", "0,1,2,3,4,5,6,7"),
        *("--out", "out"),
    ),
    "compare --jobs": (
        *("compare", "--recipes", "three_conv,crack_net", "--limit", 150, "--seeds", "0,1,2,3,4,5,6,7"),
        *("--jobs", 2, "--out", "out"),
    ),
    "tune": ("tune", "--model", "crack_net", "--limit", 150, "--trials", 30, "--out", "out"),
    "audit": ("audit", "images"),
}
SECONDS = {"compare": 16, "compare --jobs": 16, "tune": 16, "audit": 4}  # that each surely takes
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder whose audit takes a while."""
    return synthetic_concrete(600, seed=0, progress=False)


@pytest.fixture
def folder(tmp_path, images, monkeypatch):
    (tmp_path / "images").symlink_to(images)
    monkeypatch.setenv("CNNZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_ends_soon_and_says_what_is_kept(command, number, folder, record_property):
    """Ctrl-C, SIGTERM and SIGHUP end a command within 5 s, with a line that says what is kept."""
    moments, took = random.Random(f"{command}{number}"), []
    for _ in range(4):
        process = started(*COMMANDS[command], folder=folder)
        time.sleep(moments.uniform(0.6, SECONDS[command]))
        if process.poll() is not None:
            continue
        all_of_it, clock = family(process), time.monotonic()
        process.send_signal(number)
        assert process.wait(30) == CODES[number], (folder / "stderr.txt").read_text()
        took.append(time.monotonic() - clock)
        assert took[-1] < 5
        assert left_of(all_of_it) == []
        said = (folder / "stderr.txt").read_text()
        assert said.splitlines()[-1].startswith("stopped by ") and "Traceback" not in said
    assert took
    record_property("tried", len(took))
    record_property("measured", f"{command}, {number.name}: at most {max(took):.1f} s")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, 12])
def test_a_closed_terminal_ends_a_comparison(folder, seconds):
    """A terminal that is closed ends a comparison and all that it had started."""
    window, terminal = new_terminal()
    process = started(*COMMANDS["compare"], folder=folder, terminal=terminal)
    os.close(terminal)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.read(window, 10_000)
    all_of_it = family(process)
    os.close(window)
    assert process.wait(10) == CODES[signal.SIGHUP]
    assert left_of(all_of_it) == []


@pytest.mark.slow
def test_the_cursor_is_shown_again(folder):
    """Ctrl-C in a terminal shows the cursor again."""
    window, terminal = new_terminal()
    process = started(*COMMANDS["compare"], folder=folder, terminal=terminal)
    os.close(terminal)
    shown, end = b"", time.monotonic() + 14
    while time.monotonic() < end:
        shown += os.read(window, 10_000)
    os.write(window, b"\x03")
    try:
        while more := os.read(window, 10_000):
            shown += more
    except OSError:  # the other end is closed
        pass
    assert process.wait(10) == CODES[signal.SIGINT]
    assert b"\x1b[?25l" in shown
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")
    assert b"stopped by Ctrl-C" in shown


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("share", [0.15, 0.5, 0.9])
def test_nothing_outlives_a_killed_command(command, share, folder):
    """What a command had started ends with it, even if it was killed outright."""
    process = started(*COMMANDS[command], folder=folder)
    time.sleep(share * SECONDS[command])
    all_of_it = family(process)
    process.kill()
    process.wait()
    assert left_of(all_of_it, seconds=5) == []  # one may just have been started


@pytest.mark.slow
def test_a_run_whose_process_is_halted_is_noticed(folder):
    """A run whose process was halted is noticed and said, and goes on when that does."""
    process = started(*COMMANDS["compare"], folder=folder)
    end = time.monotonic() + 60
    while "epoch 1" not in (folder / "stderr.txt").read_text() and time.monotonic() < end:
        time.sleep(0.2)
    child = next(one for one in family(process) if "experiments.runs.train" in " ".join(one.cmdline()))
    child.suspend()
    end = time.monotonic() + 20
    while "kill -CONT" not in (folder / "stdout.txt").read_text() and time.monotonic() < end:
        time.sleep(0.2)
    assert f"kill -CONT {child.pid}" in (folder / "stdout.txt").read_text()
    child.resume()
    time.sleep(1)
    assert child.status() != psutil.STATUS_STOPPED
    process.terminate()
    assert process.wait(10) == CODES[signal.SIGTERM]


def end_itself(number):
    os.kill(os.getpid(), number)


def answer(number):
    if number < 0:
        raise InputError("{limit} must be at least 1", limit="limit")
    return number + 1


def test_a_process_that_was_killed_is_a_line(monkeypatch):
    """A part of a command that the system killed, for want of memory say, is a line and no trace."""
    with pytest.raises(InputError, match=r"killed by signal 9, perhaps out of memory.*limit"):
        apart(end_itself, signal.SIGKILL)
    assert apart(answer, 1) == 2
    with pytest.raises(InputError) as caught:
        apart(answer, -1)
    assert caught.value.told({"limit": "--limit"}) == "--limit must be at least 1"
    # Much to work on, for a process that ends before it reads any of it.
    monkeypatch.setattr(multiprocessing.spawn, "get_executable", lambda: b"/bin/false")
    with pytest.raises(InputError, match="exit code 1"):
        apart(answer, bytes(10_000_000))

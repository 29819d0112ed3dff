"""Runs side by side: how many go at once, who hears of them, how they end together."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest

from cnnzoo.processes import ROOT
from experiments.runs.child import WAITING, stage
from experiments.runs.dispatch import Cancelled, run_missing
from experiments.runs.records import read_records
from tests.live.test_live import jobs_for, spec
from tests.runs.test_records import RECORD

PATIENCE = 20  # seconds, after which a test fails rather than waits


class Watcher:
    """Notes what it hears and in which thread."""

    def __init__(self, on_event=lambda job: None):
        self.said, self.threads, self.on_event = [], set(), on_event

    def _note(self, what, job):
        self.said.append((what, job.name))
        self.threads.add(threading.current_thread())

    def already_done(self, job, record):
        self._note("already done", job)

    def started(self, job):
        self._note("started", job)

    def heard(self, job, event):
        self._note("heard", job)
        self.on_event(job)

    def ended(self, job, record):
        self._note(record.status, job)


@pytest.fixture
def jobs(tmp_path):
    return jobs_for(*[spec(f"recipe{i}", out=tmp_path) for i in range(6)])


def outcome_of(asked, status="ok"):
    result = RECORD.result if status == "ok" else None
    return replace(RECORD, identity=asked.identity, recipe=asked.recipe.name, status=status, result=result)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_so_many_go_at_once_and_one_thread_hears_of_all(jobs, tmp_path, at_once):
    together, going, most = threading.Barrier(at_once), [], []

    def make(asked, heard):
        going.append(asked)
        most.append(len(going))
        heard(stage("training"))
        together.wait(PATIENCE)  # breaks if fewer go at once
        going.remove(asked)
        return outcome_of(asked)

    watcher = Watcher()
    run_missing(jobs, [], tmp_path, watcher, at_once=at_once, make=make)
    assert max(most) == at_once
    assert watcher.threads == {threading.current_thread()}
    assert sorted(record.recipe for record in read_records(tmp_path)) == [f"recipe{i}" for i in range(6)]
    for job in jobs:
        own = [what for what, name in watcher.said if name == job.name]
        assert own == ["started", "heard", "ok"]
    assert [name for what, name in watcher.said if what == "started"] == [job.name for job in jobs]


def test_a_failure_leaves_the_others_going_and_finished_ones_are_not_made_again(jobs, tmp_path):
    def make(asked, heard):
        return outcome_of(asked, "failed: no" if asked.recipe.name == "recipe1" else "ok")

    watcher = Watcher()
    run_missing(jobs, [outcome_of(jobs[0].spec)], tmp_path, watcher, at_once=2, make=make)
    assert ("already done", jobs[0].name) in watcher.said
    assert ("failed: no", jobs[1].name) in watcher.said
    made = {record.recipe: record.status for record in read_records(tmp_path)}
    assert made == {"recipe1": "failed: no", **{f"recipe{i}": "ok" for i in range(2, 6)}}


def test_an_interruption_ends_all_of_them(jobs, tmp_path):
    """Ctrl-C raises in the thread that hears."""
    ended = []

    def make(asked, heard):
        end = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < end:
                heard(WAITING)
                time.sleep(0.01)
        except Cancelled:
            ended.append(asked.recipe.name)
            raise
        raise AssertionError("nobody ended it")

    def interrupt(job):
        if job is jobs[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_missing(jobs, [], tmp_path, Watcher(interrupt), at_once=2, make=make)
    assert sorted(ended) == ["recipe0", "recipe1"]
    assert not (tmp_path / "runs.jsonl").exists()


def test_what_is_no_failure_of_a_run_ends_the_comparison(jobs, tmp_path):
    def make(asked, heard):
        if asked.recipe.name == "recipe0":
            raise OSError("disk full")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            heard(WAITING)
        return outcome_of(asked)

    with pytest.raises(OSError, match="disk full"):
        run_missing(jobs, [], tmp_path, Watcher(), at_once=3, make=make)


SIDE_BY_SIDE = """
import os, sys
from pathlib import Path
from experiments.cli.process import exit_code
from experiments.live.view import View
from experiments.runs.child import WAITING, follow
from experiments.runs.dispatch import run_missing
from tests.live.test_live import jobs_for, spec

out = Path(sys.argv[1])
cores = "import os, time; print(sorted(os.sched_getaffinity(0)), flush=True); time.sleep(600)"

def make(asked, heard):
    log = out / f"{asked.recipe.name}.log"
    follow([sys.executable, "-c", cores], heard, log, waiting=lambda: heard(WAITING))

jobs = jobs_for(spec("a"), spec("b"), spec("c"))
sys.exit(exit_code(lambda: run_missing(jobs, [], out, View(), at_once=2, make=make)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes_have_a_share_of_the_cores_and_end_with_the_command(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", SIDE_BY_SIDE, tmp_path],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end, shares = time.monotonic() + PATIENCE, []
    while len(shares) < 2 and time.monotonic() < end:
        time.sleep(0.1)
        shares = [text for log in tmp_path.glob("*.log") if (text := log.read_text())]
    both, began = psutil.Process(process.pid).children(), time.monotonic()
    assert len(both) == len(shares) == 2
    if len(os.sched_getaffinity(0)) > 1:
        assert shares[0] != shares[1]
    process.send_signal(number)
    said = process.communicate(timeout=PATIENCE)[1].decode()
    assert time.monotonic() - began < 5
    assert (process.returncode, said.startswith("stopped by")) == (128 + number, True)
    assert not any(child.is_running() for child in both)

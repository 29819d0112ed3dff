"""The protocol between a parent and the child that it starts, with children that the test makes up."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.runs.child import ask

ROOT = Path(__file__).parents[2]


@dataclass
class Sum:
    numbers: tuple[int, ...]


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Makes a module that serves with the body of a function of `spec` and `tell`; returns its name."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(body):
        (tmp_path / "made_up_child.py").write_text(
            "import json, os, time\nfrom experiments.runs import child\n\n"
            f"def work(spec, tell):\n    {body}\n\n"
            "child.serve(lambda path: json.loads(path.read_text()), work)\n"
        )
        return "made_up_child"

    return make


def test_a_specification_goes_in_events_come_out_and_a_record_back(child, tmp_path):
    module = child("tell(child.stage('adding')); return json.dumps(sum(spec['numbers']))")
    heard = []
    answer = ask(module, Sum((1, 2, 3)), tmp_path / "sum.json", heard=heard.append)
    assert (answer.record, heard) == ("6", [{"event": "stage", "text": "adding"}])
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.is_file()) == [".py"]


def test_a_child_that_takes_too_long_is_ended(child, tmp_path):
    waited = []
    started = time.monotonic()
    answer = ask(
        child("time.sleep(60)"), Sum(()), tmp_path / "sum.json", waiting=lambda: waited.append(1), seconds=2
    )
    assert (answer.record, answer.too_long) == ("", True)
    assert time.monotonic() - started < 20
    assert waited


def test_a_child_that_leaves_nothing_says_how_it_ended(child, tmp_path):
    answer = ask(child("os._exit(3)"), Sum(()), tmp_path / "sum.json")
    assert (answer.record, answer.ended, answer.too_long) == ("", "exit code 3", False)


def test_a_child_dies_with_its_parent(child, tmp_path):
    module = child(f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    code = (
        "from pathlib import Path; from tests.runs.test_child import Sum;"
        "from experiments.runs.child import ask;"
        f"ask({module!r}, Sum(()), Path({str(tmp_path / 'sum.json')!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline, json.dumps({"child": pid})
        time.sleep(0.05)

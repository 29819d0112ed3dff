"""Commands that are killed outright at random moments, again and again, until the same command has ended."""

import json
import random
import shutil
import time

import pytest
from commands import family, left_of, started

from cnnzoo.data.sources.synthetic import synthetic_concrete

pytestmark = pytest.mark.slow

KILLS = 17  # of each command: 51 in all
EXACT = ("best_epoch", "val_loss_before", "test_accuracy", "test_loss", "confusion", "temperature", "auroc")
SAVED = ("**/*.state.npz", "**/runs.jsonl", "**/trials.jsonl", "cache/audits/*.json")


@pytest.fixture(scope="module")
def images():
    return synthetic_concrete(200, seed=0, progress=False)


def outcome_of_compare(folder):
    """All that a comparison computes, but for times."""
    lines = (folder / "out" / "runs.jsonl").read_text().splitlines()
    found = {}
    for record in map(json.loads, lines):
        if record["status"] == "ok":
            result = record["result"]
            epochs = [
                {name: value for name, value in epoch.items() if "seconds" not in name}
                for epoch in result["history"]
            ]
            found[record["name"]] = {name: result[name] for name in EXACT} | {"history": epochs}
    files = sorted((folder / "out" / "predictions").iterdir())
    return found, {path.name: path.read_bytes() for path in files}


def outcome_of_tune(folder):
    found = {}
    for record in map(json.loads, (folder / "out" / "trials.jsonl").read_text().splitlines()):
        found[record["number"]] = record["values"], record["result"] and record["result"]["val_loss"]
    return found


def outcome_of_audit(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "audit").glob("*.csv"))}


COMMANDS = {
    "compare": (
        (
            "compare",
            "--data",
            "images",
            "--recipes",
            "three_conv,crack_net",
            "--seeds",
            "0,1",
            "--epochs",
            "12",
        ),
        outcome_of_compare,
        20,
    ),
    "tune": (
        ("tune", "--data", "images", "--model", "three_conv", "--tuner", "random", "--trials", "4"),
        outcome_of_tune,
        20,
    ),
    "audit": (("audit", "images"), outcome_of_audit, 4),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_kills_at_random_moments(command, images, tmp_path, record_property, monkeypatch):
    """A command that is killed again and again at any moment ends in the very same results."""
    arguments, outcome_of, longest = COMMANDS[command]
    arguments = (*arguments, *(() if command == "audit" else ("--out", "out")))
    expected = outcome_of(undisturbed(arguments, images, tmp_path / "whole", monkeypatch))
    moments, lost, rounds = random.Random(command), [], 0
    while len(lost) < KILLS:
        rounds += 1
        folder = new_folder(tmp_path / f"killed-{rounds}", images, monkeypatch)
        lost += kills(arguments, folder, moments, longest)
        assert outcome_of(folder) == expected
        assert not list(folder.glob("**/*.part*")) and not list(folder.glob("**/*.state.npz"))
        shutil.rmtree(folder)
    record_property("tried", len(lost))
    mean = sum(lost) / len(lost)
    record_property("measured", f"{command}: {mean:.1f} s of work lost a kill, at most {max(lost):.1f} s")


def new_folder(folder, images, monkeypatch):
    folder.mkdir()
    (folder / "images").symlink_to(images)
    monkeypatch.setenv("CNNZOO_CACHE", str(folder / "cache"))
    return folder


def undisturbed(arguments, images, folder, monkeypatch):
    new_folder(folder, images, monkeypatch)
    process = started(*arguments, folder=folder)
    assert process.wait(600) == 0, (folder / "stderr.txt").read_text()
    return folder


def kills(arguments, folder, moments, longest):
    """Kills a command until it ends by itself; returns the seconds of work that each kill cost."""
    lost = []
    while True:
        process, began = started(*arguments, folder=folder), time.time()
        end = began + moments.uniform(0.5, longest)
        while process.poll() is None and time.time() < end:
            time.sleep(0.02)
        if process.poll() is not None:
            assert process.wait() == 0, (folder / "stderr.txt").read_text()
            assert "Traceback" not in (folder / "stderr.txt").read_text()
            return lost
        all_of_it = family(process)
        process.kill()
        process.wait()
        saved = [path.stat().st_mtime for pattern in SAVED for path in folder.glob(pattern)]
        lost.append(time.time() - max([began, *saved]))
        assert left_of(all_of_it, seconds=5) == []  # one may just have been started

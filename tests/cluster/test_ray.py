"""Runs and trials on a real Ray cluster of two nodes on this machine."""

import json
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import keras
import numpy as np
import psutil
import pytest

from cnnzoo.data.manifest import ImageRecord, Manifest, build_manifest
from cnnzoo.errors import InputError
from cnnzoo.files import sha256_of
from experiments import compare, tune
from experiments.cli.process import exit_code
from experiments.cluster import driver, parcel
from experiments.search.records import read_trials
from tests.cluster.conftest import CACHE
from tests.cluster.stand_in import Spec
from tests.faults.commands import started

# Ray's own.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the processes apart"),
]


@pytest.fixture
def spec(image_folder, tmp_path, monkeypatch):
    """A run on images that this process alone finds, for its working directory is not that of the nodes."""
    monkeypatch.chdir(image_folder)
    (tmp_path / "out" / "logs").mkdir(parents=True)
    listed, file = build_manifest(image_folder, limit=5, progress=False), tmp_path / "out" / "logs" / "m.json"
    listed.save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"root": "/proc/self/cwd"}))
    return Spec(str(file), str(tmp_path / "out"), str(tmp_path / "gate"), {str(file): sha256_of(file)})


def asked(address, spec, heard=lambda event: None, module="tests.cluster.stand_in"):
    with driver.cluster_at(address) as cluster:
        assert cluster.at_once == 2
        file = Path(spec.out, "logs", "stand-in.json")
        return cluster.ask(module, spec, file, heard=heard, seconds=100)


@pytest.mark.slow
def test_images_that_a_node_lacks_are_sent_and_what_is_left_comes_back(cluster, spec, image_folder):
    events = []
    answer = asked(cluster.address, spec, events.append)
    listed = build_manifest(image_folder, limit=5, progress=False)
    expected = []
    for i in range(len(listed.images)):
        with listed.reading(i) as pixels:
            expected.append(int(pixels.sum()))
    assert json.loads(answer.record) == {"sums": expected, "out": spec.out}
    assert Path(spec.out, "models", "stand-in.keras").read_bytes() == b"weights"
    assert [event["event"] for event in events] == ["note", "stage"]
    assert "lacks images" in events[0]["text"] and CACHE in events[1]["text"]
    # A second one finds them in the cache of the node.
    asked(cluster.address, spec, events.append)
    assert [event["event"] for event in events] == ["note", "stage", "stage"]


@pytest.mark.slow
def test_a_run_whose_node_dies_goes_on_elsewhere_from_its_last_saved_state(cluster, spec):
    Path(spec.gate).touch()
    told = []

    def kill_once_saved(raylet):
        wait_for(spec.checkpoint.exists)
        (node,) = (one for one in cluster.worker_nodes if _raylet(one) == raylet)
        cluster.remove_node(node, allow_graceful=False)

    def heard(event):
        told.append(event["text"])
        if "its node was lost" in event["text"]:
            Path(spec.gate).unlink()
        if "from state 0" in event["text"]:
            Thread(target=kill_once_saved, args=(int(event["text"].split()[1]),)).start()

    answer = asked(cluster.address, spec, heard)
    assert json.loads(answer.record)["out"] == spec.out
    first, lost, second = told[-3:]
    assert "from state 0" in first and "its node was lost" in lost and "from state 1" in second
    assert first.split()[1] != second.split()[1], "another node"


@pytest.mark.slow
def test_what_fails_on_a_node_is_a_reason_and_no_traceback(cluster, spec, image_folder):
    answer = asked(cluster.address, spec, module="tests.cluster.nowhere")
    assert (answer.record, answer.ended.split(";")[0]) == ("", "exit code 1")
    assert spec.out in answer.ended, "the log is where the driver has it"
    assert "nowhere" in Path(spec.out, "logs", "stand-in.log").read_text()
    Path(spec.manifest).write_text("{}")
    assert "m.json: changed or gone" in asked(cluster.address, spec).ended


def test_images_outside_the_folder_must_be_on_the_nodes(tmp_path):
    folder = tmp_path / "data"
    # A CSV file may name images anywhere.
    listed = Manifest(folder, ("a",), (ImageRecord("/elsewhere/1.png", 0, 8, 8, "L", "0"),))
    with pytest.raises(InputError, match=r"/elsewhere/1\.png: its node lacks it.*under the same path"):
        list(driver._read(listed))


@pytest.mark.parametrize(
    "command", [compare.main, lambda options: tune.main(["--model", "three_conv", *options])]
)
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("somewhere", "--ray somewhere: give HOST:PORT"),
        ("ray://127.0.0.1:10001", "--ray ray://127.0.0.1:10001: give HOST:PORT"),
        ("127.0.0.1:1", "--ray 127.0.0.1:1: nobody answers there"),
    ],
)
def test_a_wrong_address_is_a_line_and_exit_code_2(tmp_path, monkeypatch, capsys, command, address, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driver, "_installed", lambda: True)
    assert exit_code(lambda: command(["--ray", address])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_without_ray_a_line_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driver, "_installed", lambda: False)
    assert exit_code(lambda: compare.main(["--ray", "127.0.0.1:6379"])) == 2
    assert "pip install 'cnnzoo[cluster]'" in capsys.readouterr().err


@pytest.mark.slow
def test_nodes_with_other_versions_are_refused(cluster, monkeypatch):
    theirs = parcel.version("keras")
    known = parcel.version
    # Here alone: the nodes have processes of their own.
    monkeypatch.setattr(parcel, "version", lambda package: "2.0" if package == "keras" else known(package))
    with (
        pytest.raises(InputError, match=f"has keras {theirs}; install there what is here: .*keras 2.0"),
        driver.cluster_at(cluster.address),
    ):
        pass


def node(cores, gpus=0):
    return {"Resources": {"CPU": float(cores)} | ({"GPU": float(gpus)} if gpus else {})}


@pytest.mark.parametrize(
    ("nodes", "needs", "room"),
    [
        ([node(8), node(4)], {"num_cpus": 4}, 3),
        ([node(16, 4), node(8, 1), node(64)], {"num_cpus": 4, "num_gpus": 1}, 5),
        ([node(2, 4)], {"num_cpus": 1, "num_gpus": 1}, 2),
    ],
)
def test_a_run_takes_a_gpu_where_there_are_some_else_the_smallest_nodes_cores(nodes, needs, room):
    assert driver._needs(nodes) == needs
    assert sum(driver._room(each, needs) for each in nodes) == room


def _raylet(node):
    return node.all_processes["raylet"][0].process.pid


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


TIMES = ("seconds", "per_second", "ms_per_image", "memory", "started", "cores")


def without_times(value):
    """A record without what no two runs have in common."""
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if not any(t in name for t in TIMES)}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def records(out):
    lines = (out / "runs.jsonl").read_text().splitlines()
    found = {}
    for line in map(json.loads, lines):
        # The archive of a model has the time in it; its weights are compared.
        files = {name: facts for name, facts in line.pop("files").items() if not name.endswith(".keras")}
        line.pop("command")
        found[line["identity"]] = without_times(line) | {"files": files}
    return found


def command(*arguments, folder):
    return started("compare", "--recipes", "three_conv,crack_net", "--epochs", 2, *arguments, folder=folder)


@pytest.mark.slow
def test_compare_gives_the_same_table_though_a_node_is_killed_in_the_middle(cluster, image_folder, tmp_path):
    options = ["--data", image_folder]
    process = command(*options, "--out", "far", "--ray", cluster.address, folder=tmp_path)
    wait_for(lambda: process.poll() or "epoch 1" in (tmp_path / "stderr.txt").read_text(), 500)
    cluster.remove_node(min(cluster.worker_nodes, key=_raylet), allow_graceful=False)
    assert process.wait(600) == 0
    assert "its node was lost" in (tmp_path / "stdout.txt").read_text()
    assert command(*options, "--out", "near", folder=tmp_path).wait(600) == 0
    near, far = tmp_path / "near", tmp_path / "far"
    assert records(near) == records(far)
    models = sorted(path.name for path in (near / "models").iterdir())
    assert models == sorted(path.name for path in (far / "models").iterdir()) and len(models) == 2
    for name in models:
        weights = [keras.saving.load_model(out / "models" / name).get_weights() for out in (near, far)]
        for ours, theirs in zip(*weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert left_by_nodes() == []


@pytest.mark.slow
def test_ctrl_c_ends_what_runs_on_the_nodes_and_the_same_command_goes_on(cluster, image_folder, tmp_path):
    options = ["--data", image_folder, "--out", "far", "--ray", cluster.address]
    process = command(*options, folder=tmp_path)
    wait_for(lambda: process.poll() or "epoch 1" in (tmp_path / "stderr.txt").read_text(), 500)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    wait_for(lambda: not trainings(), 20)
    assert command(*options, folder=tmp_path).wait(600) == 0
    assert len(records(tmp_path / "far")) == 2


@pytest.mark.slow
def test_tune_runs_several_trials_at_a_time(cluster, image_folder, tmp_path):
    options = ["--model", "three_conv", "--data", image_folder, "--trials", 4, "--epochs", 1]
    process = started("tune", *options, "--tuner", "random", "--ray", cluster.address, folder=tmp_path)
    most = 0
    while process.poll() is None:
        most = max(most, len(trainings("experiments.search.trial")))
        time.sleep(0.2)
    assert process.returncode == 0, (tmp_path / "stderr.txt").read_text()
    assert most == 2
    found = read_trials(tmp_path / "tuned")
    assert [(one.number, one.status) for one in found] == [(n, "ok") for n in (1, 2, 3, 4)]
    assert {one.worker for one in found} == {"tuner0", "tuner1"}


def trainings(module="experiments.runs.train"):
    """The processes that train, on whichever node: those of other commands have another cache."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if module in process.cmdline() and CACHE in process.environ().get("CNNZOO_CACHE", ""):
                found.append(process)
    return found


def left_by_nodes():
    return [path for path in Path(tempfile.gettempdir()).glob("cnnzoo-node-*") if not _lives(path)]


def _lives(path):
    return psutil.pid_exists(int(path.name.split("-")[2]))

"""The search as a user types it, and its parts with trials that take no time."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

import cnnzoo  # noqa: E402
from cnnzoo.training.search import HyperParameters, sample  # noqa: E402
from experiments import tune  # noqa: E402
from experiments.cli.process import exit_code  # noqa: E402
from experiments.recipes.lookup import find_recipes  # noqa: E402
from experiments.recipes.recipe import Recipe  # noqa: E402
from experiments.runs.child import Answer  # noqa: E402
from experiments.search import oracles, start  # noqa: E402
from experiments.search.figure import shares_explained  # noqa: E402
from experiments.search.records import TrialRecord, TrialResult, ranked, read_trials  # noqa: E402
from experiments.search.space import declared, recipe_from  # noqa: E402

ROOT = Path(__file__).parents[2]
# What keras-tuner and scikit-learn say of themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(currentThread|getName)\\(\\) is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


def started(*arguments, folder, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **variables}
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.tune", *map(str, arguments)],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def result(loss):
    return TrialResult(loss, 0.9, 1, 0, 1.0, 1000, 1000, 500.0)


def record(number, loss, **values):
    status = "ok" if loss else "failed: no memory"
    return TrialRecord(
        str(number), number, status, "tuner0", "", 1.0, values, {}, {}, result(loss) if loss else None
    )


@pytest.fixture
def stub(monkeypatch, tmp_path, image_folder):
    """`main` with trials that end at once: each gives the next of the losses, or raises it."""
    monkeypatch.chdir(tmp_path)
    seen = []

    def search(losses, *arguments):
        remaining = iter(losses)

        def answer(module, spec, file, **_):
            loss = next(remaining)
            seen.append((file.stem.removeprefix("trial-"), json.loads(json.dumps(asdict(spec.recipe)))))
            if isinstance(loss, BaseException):
                raise loss
            if loss is None:
                return Answer("", "exit code 3")
            outcome = {"status": "ok", "environment": {}, "result": vars(result(loss))}
            return Answer(json.dumps(outcome), "exit code 0")

        monkeypatch.setattr(start, "ask", answer)
        common = ["--data", str(image_folder), "--model", "three_conv"]
        return exit_code(lambda: tune.main([*common, *map(str, arguments)]))

    search.seen = seen
    return search


@pytest.fixture(scope="module")
def finished(image_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    arguments = ["--model", "three_conv", "--data", image_folder, "--trials", 2, "--epochs", 1]
    process = started(*arguments, "--tuner", "random", folder=folder)
    out, error = process.communicate()
    assert process.returncode == 0, error
    return folder / "tuned", out, error


def test_a_search_writes_its_table_figure_and_hparams(finished):
    out, said, error = finished
    assert "Traceback" not in error
    with (out / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert float(rows[0]["val_loss"]) <= float(rows[1]["val_loss"])
    assert {"learning_rate", "dropout", "val_accuracy"} <= set(rows[0])
    assert (out / "figures" / "importance.svg").stat().st_size > 1000
    assert len(list((out / "logs" / "hparams").rglob("events.*"))) == 2
    assert "[2/2] validation loss" in said
    assert re.search(r"python -m experiments.compare --recipes tuned/best.json --data \S+", said)


def test_the_best_recipe_is_one_for_compare(finished):
    out = finished[0]
    best = ranked(read_trials(out))[0]
    (recipe,) = find_recipes([str(out / "best.json")])
    assert recipe == Recipe.from_dict(best.recipe)
    assert (recipe.model, recipe.config.phases[0].epochs) == ("three_conv", 1)


def test_trials_are_told_of_no_test_image(finished):
    logs = finished[0] / "logs"
    (told,) = logs.glob("split-*-without-test.json")
    (whole,) = (path for path in logs.glob("split-*.json") if path != told)
    told, whole = json.loads(told.read_text()), json.loads(whole.read_text())
    assert whole["test"]
    assert told == {side: whole[side] for side in ("train", "validation")}


def test_the_same_command_again_trains_nothing(stub, tmp_path, capsys):
    assert stub([0.3, 0.1, 0.2], "--trials", 3) == 0
    assert stub([], "--trials", 3) == 0
    assert "3 of 3 trials are done already" in capsys.readouterr().out
    assert len(read_trials(tmp_path / "tuned")) == 3
    # A larger number goes on.
    assert stub([0.5], "--trials", 4) == 0
    assert len(stub.seen) == 4
    assert json.loads((tmp_path / "tuned" / "best.json").read_text())["name"] == "three_conv_tuned"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--epochs", 3], "epochs"),
        (["--seed", 1], "seed"),
        (["--tuner", "random"], "tuner"),
        (["--model", "crack_net"], "model, space"),
        (["--split", "random"], "split"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(stub, capsys, change, named):
    assert stub([0.3], "--trials", 1) == 0
    capsys.readouterr()
    assert stub([], "--trials", 1, *change) == 2
    error = capsys.readouterr().err
    assert f"other {named}" in error and error.splitlines()[-1].startswith("error: --out tuned")
    assert len(stub.seen) == 1


@pytest.mark.parametrize("tuner", oracles.TUNERS)
def test_a_failed_trial_is_a_row_and_the_search_goes_on(stub, tmp_path, capsys, tuner):
    assert stub([0.3, None, 0.2, None, 0.1], "--trials", 5, "--tuner", tuner) == 1
    records = read_trials(tmp_path / "tuned")
    assert [record.ok for record in records] == [True, False, True, False, True]
    assert records[1].status == "failed: exit code 3"
    assert "trial 2: failed: exit code 3" in capsys.readouterr().err
    with (tmp_path / "tuned" / "trials.csv").open(newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["5", "3", "1", "2", "4"]


def test_where_all_trials_fail_one_line_says_so(stub, tmp_path, capsys):
    assert stub([None] * 5, "--trials", 5) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1] == "error: all 5 trials failed: exit code 3"
    assert "Traceback" not in error
    assert not (tmp_path / "tuned" / "best.json").exists()


@pytest.mark.parametrize("tuner", oracles.TUNERS)
def test_a_stopped_search_takes_its_trial_up_again(stub, tmp_path, capsys, tuner):
    arguments = ["--trials", 4, "--tuner", tuner]
    assert stub([0.3, KeyboardInterrupt()], *arguments) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert stub([0.2, 0.4, 0.5], *arguments) == 0
    records = read_trials(tmp_path / "tuned")
    assert [record.number for record in records] == [1, 2, 3, 4]
    # What was stopped is what ran next, not another draw.
    assert stub.seen[1] == stub.seen[2]


def test_hyperband_trains_for_the_epochs_that_it_gives_and_ends_after_n_trials(stub, tmp_path):
    assert stub([0.5 - 0.01 * i for i in range(8)], "--trials", 8, "--tuner", "hyperband", "--epochs", 3) == 0
    epochs = [record.recipe["config"]["phases"][0]["epochs"] for record in read_trials(tmp_path / "tuned")]
    assert len(epochs) == 8
    assert set(epochs) == {1, 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "three_con"], "three_conv"),
        (["--trials", "0"], "--trials 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--tuner", "grid"], "grid"),
        (["--data", "nowhere"], "nowhere"),
        (["--out", "/proc/nowhere"], "/proc/nowhere"),
        (["--weights", "three_conv=x.h5"], "--weights three_conv=x.h5"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(stub, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        sys.exit(stub([], *arguments))
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.parametrize("pretrained", [False, True])
@pytest.mark.parametrize("name", cnnzoo.list_models())
def test_every_model_has_a_space_whose_points_are_recipes(name, pretrained):
    space = declared(name, pretrained=pretrained)
    assert "learning_rate" in space.values
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("val_loss", "min"), hyperparameters=space, seed=1
    )
    for _ in range(20):
        hp = space.copy()
        hp.values = oracle._random_values()
        recipe = recipe_from(hp, name, epochs=6, pretrained=pretrained)
        assert Recipe.from_dict(json.loads(json.dumps(vars(recipe), default=vars))) == recipe
        phases = recipe.config.phases
        assert sum(phase.epochs for phase in phases) == 6
        if pretrained:
            assert phases[0].trainable == "head"
            assert len(phases) == (1 if hp.values["trainable"] == "head" else 2)


@pytest.mark.parametrize("name", ["three_conv", "crack_net"])
def test_the_defaults_of_a_space_are_those_of_the_model(name):
    size = cnnzoo.model_info(name).image_size
    hp = keras_tuner.HyperParameters()
    arguments = sample(hp, name, epochs=1).arguments
    assert hp.values["image_size"] == size
    built = cnnzoo.create_model(name, input_shape=(size, size, 3), **arguments)
    if name == "three_conv":
        assert built.count_params() == cnnzoo.create_model(name).count_params()


def test_a_search_space_serves_plain_keras_tuner(tmp_path):
    space = cnnzoo.search_space("three_conv", input_shape=(32, 32, 3))
    tuner = keras_tuner.RandomSearch(
        space, objective="val_loss", max_trials=1, directory=str(tmp_path), project_name="plain"
    )
    images = np.zeros((8, 32, 32, 3), np.uint8)
    labels = np.array([0, 1] * 4)
    tuner.search(images, labels, validation_data=(images, labels), epochs=1, verbose=0)
    (best,) = tuner.get_best_hyperparameters()
    assert {"learning_rate", "dropout", "first_filters"} <= set(best.values)
    assert space.build(best).optimizer is not None


class Ledger:
    """Notes the trials that ended, in a list and in a file, as the journal does."""

    def __init__(self, file):
        self.file, self.ended = file, []

    def __call__(self, number, trial, outcome):
        self.ended.append((number, outcome))
        with self.file.open("a") as file:
            file.write(f"{trial.trial_id}\n")

    def recorded(self):
        return set(self.file.read_text().split()) if self.file.exists() else set()


def oracle_for(tmp_path, trials=3):
    ledger = Ledger(tmp_path / "ended.txt")
    ended = ledger.ended
    space = declared("three_conv", pretrained=False)
    oracle = oracles.make_oracle("random", space, ledger, trials=trials, epochs=1, seed=0)
    oracle._set_project_dir(str(tmp_path), "search")
    return oracle, ended


def end(oracle, trial, worker):
    trial.hyperparameters.values[oracles.OUTCOME] = json.dumps({"worker": worker})
    oracle.update_trial(trial.trial_id, {"val_loss": 0.5})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def test_a_kill_between_two_files_loses_no_trial(tmp_path):
    oracle, _ = oracle_for(tmp_path)
    end(oracle, oracle.create_trial("tuner0"), "tuner0")
    running = oracle.create_trial("tuner0")
    before = (tmp_path / "search" / "oracle.json").read_text()
    end(oracle, running, "tuner0")
    oracle.create_trial("tuner0")
    (tmp_path / "search" / "oracle.json").write_text(before)  # the trials' own files are ahead of it
    again, ended = oracle_for(tmp_path)
    again.reload()
    repeated = again.create_trial("tuner0")
    assert repeated.trial_id == running.trial_id
    assert repeated.status == "RUNNING"
    end(again, repeated, "tuner0")
    assert [number for number, _ in ended] == [2]
    assert again.create_trial("tuner0").trial_id not in (running.trial_id,)


def test_a_value_with_its_best_in_the_middle_is_seen_and_chance_is_not():
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-5, -1, 60)
    records = [
        record(i, 0.1 + abs(np.log10(rate) + 3) + rng.uniform(0, 0.1), learning_rate=rate,
               dropout=float(rng.choice([0.0, 0.1, 0.2])), gray=bool(rng.integers(2)))
        for i, rate in enumerate(rates, 1)
    ]  # fmt: skip
    found = shares_explained(records)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"][0] > 0.5 and found["learning_rate"][1]
    assert found["dropout"][0] < 0.15 and found["gray"][0] < 0.15


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_killed_search_goes_on_and_leaves_no_process(image_folder, tmp_path):
    arguments = ["--model", "three_conv", "--data", image_folder, "--trials", 3, "--epochs", 1]
    process = started(*arguments, folder=tmp_path)
    out = tmp_path / "tuned"
    wait_for(lambda: len(read_trials(out)) == 1 and (out / "logs" / "trial-1.json").exists(), 200)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not subprocess.run(["pgrep", "-f", "trial-1.json"], capture_output=True).stdout, 20)
    process = started(*arguments, folder=tmp_path)
    said, error = process.communicate()
    assert process.returncode == 0, error
    assert "1 of 3 trials are done already" in said
    assert [one.number for one in read_trials(out)] == [1, 2, 3]
    assert len((out / "trials.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_keras_tuners_chief_and_workers_search_as_it_documents_them(image_folder, tmp_path):
    arguments = ["--model", "three_conv", "--data", image_folder, "--trials", 3, "--epochs", 1]
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": free_port()}
    folders = {name: tmp_path / name for name in ("chief", "worker1", "worker2")}
    processes = {}
    for name, folder in folders.items():
        folder.mkdir()
        processes[name] = started(*arguments, folder=folder, KERASTUNER_TUNER_ID=name, **address)
    for name, process in processes.items():
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, f"{name}: {error}"
    records = read_trials(folders["chief"] / "tuned")
    assert [one.status for one in records] == ["ok"] * 3
    assert {one.worker for one in records} <= {"worker1", "worker2"}
    assert not read_trials(folders["worker1"] / "tuned"), "the chief alone writes records"
    find_recipes([str(folders["chief"] / "tuned" / "best.json")])


def test_a_chief_needs_all_three_variables(stub, monkeypatch, capsys):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    assert stub([], "--trials", 1) == 2
    assert "KERASTUNER_ORACLE_PORT, KERASTUNER_TUNER_ID: not set" in capsys.readouterr().err


def test_crack_nets_space_keeps_to_its_budget_of_parameters():
    space = declared("crack_net", pretrained=False)
    sizes = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        hp = HyperParameters()
        hp.values = {each.name: rng.choice(list(each.values)).item() for each in space.space}
        recipe = recipe_from(hp, "crack_net", epochs=1, pretrained=False)
        shape = (recipe.image_size, recipe.image_size, 3)
        sizes.append(cnnzoo.create_model("crack_net", input_shape=shape, **recipe.arguments).count_params())
    assert max(sizes) <= 130_000
    assert np.median(sizes) > 110_000

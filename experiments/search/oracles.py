"""keras-tuner's oracles, made to survive kills and to write a line per trial."""

import json
import warnings
from pathlib import Path
from typing import Any, Protocol

import keras_tuner
from keras_tuner.engine.trial import Trial

from cnnzoo.files import write_whole
from cnnzoo.training.search import HyperParameters
from experiments.cli.say import say

OUTCOME = "search/outcome"  # how a trial's outcome travels from worker to chief: among its values
OBJECTIVE = "val_loss"
TUNERS = ("bayesian", "hyperband", "random")


class Ledger(Protocol):
    """Called with the number of each trial that ended and what its process left; knows what it recorded."""

    def __call__(self, number: int, trial: Trial, outcome: dict[str, Any]) -> None: ...
    def recorded(self) -> set[str]: ...


class _Keeper(keras_tuner.Oracle):
    """What is added to each of keras-tuner's oracles: a record for each trial, and files that are whole."""

    journal: Ledger  # set by `make_oracle`

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        outcome = json.loads(trial.hyperparameters.values.pop(OUTCOME, "{}"))
        # The record first: killed in between, the trial is run again and its record replaced.
        self.journal(self.start_order.index(trial.trial_id) + 1, trial, outcome)
        super().end_trial(trial)

    @keras_tuner.synchronized
    def save(self) -> None:
        write_whole(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial: Trial) -> None:
        # keras-tuner writes in place: a kill in the middle would leave a file that can't be read again.
        write_whole(Path(self._get_trial_dir(trial.trial_id), "trial.json"), json.dumps(trial.get_state()))

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what is on disk, wherever a kill left it: what has no record runs again.

        keras-tuner itself runs again what was under way as it saved last: also what had ended, and not what
        has lost its record. It has no call for that; what stands in its own file is the least that says it.
        """
        started, recorded = state["start_order"], self.journal.recorded()
        if missing := [name for name in started if name not in self.trials]:
            raise ValueError(f"trial {missing[0]} is gone")
        ended = [name for name in state["end_order"] if name in recorded]
        for name in set(self.trials) - set(started):
            del self.trials[name]  # written, but killed before the oracle was
        lost = [name for name in state["end_order"] if name not in recorded]
        for name in lost:
            self.trials[name] = Trial(self.trials[name].hyperparameters, trial_id=name)
        if lost:
            say(f"{len(lost)} trials run again: their records are gone or damaged", warning=True)
        # It is taken from the end.
        again = [name for name in reversed(started) if name not in ended]
        super().set_state(state | {"end_order": ended, "ongoing_trials": {}, "retry_queue": again})


class RandomOracle(_Keeper, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(_Keeper, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over what was found, after a third of the trials at random."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # The process of few trials is as flat or as rough as its bounds allow; nobody can help it.
            warnings.filterwarnings("ignore", module="sklearn.gaussian_process")
            return super().populate_space(trial_id)


class HyperbandOracle(_Keeper, keras_tuner.oracles.HyperbandOracle):
    """Many trials of few epochs, the best of them anew with more."""


def make_oracle(
    tuner: str,
    space: HyperParameters,
    journal: Ledger,
    *,
    trials: int,
    epochs: int,
    seed: int,
) -> keras_tuner.Oracle:
    """Returns one of `TUNERS`, which ends after `trials` trials whatever its own plan."""
    shared = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min"),
        "hyperparameters": space,
        "seed": seed + 1,  # keras-tuner takes 0 for none
        "max_consecutive_failed_trials": 10**9,  # it ends with a traceback otherwise
    }
    if tuner == "hyperband":
        # As many rounds as it takes: the number of trials is what ends it.
        oracle = HyperbandOracle(max_epochs=epochs, hyperband_iterations=trials, **shared)
        oracle.max_trials = trials
    elif tuner == "bayesian":
        first = max(3, trials // 3)
        oracle = BayesianOracle(max_trials=trials, num_initial_points=first, **shared)
    else:
        oracle = RandomOracle(max_trials=trials, **shared)
    oracle.journal = journal
    oracle.verbose = 0
    return oracle

"""keras-tuner's oracles, made to survive kills, to write a line per trial and to take trials back."""

import json
import sys
import warnings
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import keras_tuner
from keras_tuner.engine.trial import Trial

from cnnzoo.files import write_whole
from cnnzoo.training.search import HyperParameters
from experiments.cli.say import say

LEASE_SECONDS = 60.0  # a worker is heard of every few seconds; one that is silent for so long is gone
OUTCOME = "search/outcome"  # how a trial's outcome travels from worker to chief: among its values
OBJECTIVE = "val_loss"
TUNERS = ("bayesian", "hyperband", "random")


class Ledger(Protocol):
    """Called with the number of each trial that ended and what its process left; knows what it recorded."""

    def __call__(self, number: int, trial: Trial, outcome: dict[str, Any]) -> None: ...
    def recorded(self) -> set[str]: ...


class _Keeper(keras_tuner.Oracle):
    """What is added to each of keras-tuner's oracles.

    keras-tuner's chief waits for ever for a worker that died. Here a worker asks after its own trial every
    few seconds while it runs, and a trial whose worker fell silent goes to the next one that asks.
    """

    journal: Ledger  # set by `make_oracle`
    lease = LEASE_SECONDS

    def _heard(self) -> dict[str, float]:
        return self.__dict__.setdefault("_last_heard", {})

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        self._heard()[tuner_id] = monotonic()
        self.take_back()
        trial = super().create_trial(tuner_id)
        if trial.status == "STOPPED" and self.ongoing_trials:
            # A trial that is out may come back yet, and somebody must be there to take it.
            trial.status = "IDLE"
            self.tuner_ids.add(tuner_id)
        return trial

    @keras_tuner.synchronized
    def get_trial(self, trial_id: str) -> Trial:
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self._heard()[tuner_id] = monotonic()
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        outcome = json.loads(trial.hyperparameters.values.pop(OUTCOME, "{}"))
        if trial.trial_id in self.end_order:
            return  # it was taken back, and the other worker was quicker
        if trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        # The record first: killed in between, the trial is run again and its record replaced.
        self.journal(self.start_order.index(trial.trial_id) + 1, trial, outcome)
        super().end_trial(trial)

    @keras_tuner.synchronized
    def take_back(self) -> None:
        """Puts the trials of workers that fell silent where the next worker finds them."""
        for tuner_id in list(self.tuner_ids):
            if monotonic() - self._heard().get(tuner_id, 0) < self.lease:
                continue
            self.tuner_ids.discard(tuner_id)
            trial = self.ongoing_trials.pop(tuner_id, None)
            if trial is not None:
                self._retry_queue.append(trial.trial_id)
                number = self.start_order.index(trial.trial_id) + 1
                print(
                    f"trial {number}: nothing heard of {tuner_id} for {self.lease:.0f} s; taken back",
                    file=sys.stderr,
                    flush=True,
                )
                self.save()

    @keras_tuner.synchronized
    def everyone_left(self) -> bool:
        """Whether no worker runs a trial or may still ask for one."""
        return not self.ongoing_trials and not self.tuner_ids

    def silence(self) -> float:
        """Seconds since a worker was heard of; 0 where none ever was."""
        return monotonic() - max(self._heard().values()) if self._heard() else 0.0

    def save(self) -> None:
        write_whole(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial: Trial) -> None:
        # keras-tuner writes in place: a kill in the middle would leave a file that can't be read again.
        write_whole(Path(self._get_trial_dir(trial.trial_id), "trial.json"), json.dumps(trial.get_state()))

    def reload(self) -> None:
        """Goes on from what is on disk, wherever a kill left it: what has no record runs again."""
        super().reload()
        recorded = self.journal.recorded()
        ended: list[str] = self.end_order
        lost = [name for name in ended if name not in recorded]
        ended[:] = [name for name in ended if name in recorded]
        started = self.start_order
        if missing := [name for name in started if name not in self.trials]:
            raise ValueError(f"trial {missing[0]} is gone")
        for name in lost:
            trial = self.trials[name]
            self.trials[name] = Trial(trial.hyperparameters, trial_id=name)
        if lost:
            say(f"{len(lost)} trials run again: their records are gone or damaged", warning=True)
        for name in set(self.trials) - set(started):
            del self.trials[name]  # written, but killed before the oracle was
        # It is taken from the end.
        self._retry_queue = [name for name in reversed(started) if name not in ended]


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

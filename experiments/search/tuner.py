"""keras-tuner's tuner with each trial in a process of its own: here, on other machines, or for a chief."""

import copy
import json
import os
import queue
import shutil
import threading
import time
from contextlib import redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from cnnzoo.errors import InputError, one_line, printable
from experiments.cli.say import say
from experiments.runs.child import Ask, Event
from experiments.runs.spec import check_unchanged
from experiments.search.oracles import OBJECTIVE, OUTCOME
from experiments.search.space import recipe_from
from experiments.search.spec import Search, TrialSpec

PROJECT = "search"
# What keras-tuner's documentation has its chief and workers set.
ADDRESS = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")


class TrialTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """A tuner of keras-tuner that runs each trial in a process of its own, which `ask` starts."""

    def __init__(self, oracle: keras_tuner.Oracle, search: Search, ask: Ask) -> None:
        self.plan, self.ask = search, ask
        self.waiting = False
        _keep_state(search.out / PROJECT)
        try:
            with redirect_stdout(StringIO()):  # it tells of reloading, by file
                super().__init__(oracle, directory=str(search.out), project_name=PROJECT)
        except Exception as error:
            raise InputError(
                f"--out {printable(search.out / PROJECT)}: the state of the search is damaged "
                f"({one_line(error)}); choose another folder"
            ) from error
        if not self._is_worker():
            self.save()  # killed within the first trial, it goes on too

    def pre_create_trial(self) -> None:
        # An oracle that has nothing to give now is asked again, but not as fast as the network allows.
        if self.waiting:
            time.sleep(1)
        self.waiting = True

    def on_trial_begin(self, trial: Trial) -> None:
        self.waiting = False

    def _try_run_and_update_trial(self, trial: Trial) -> None:
        """Without the traceback that keras-tuner prints; what is no trial's fault ends the search."""
        try:
            self._run_and_update_trial(trial)
            trial.status = TrialStatus.COMPLETED
        except keras_tuner.errors.FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)

    def run_trial(self, trial: Trial) -> dict[str, float]:
        """Runs one trial, leaves its outcome for the oracle and returns the metrics that it is ranked by."""
        started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        # Such a change is no trial's fault: the search ends, and this trial runs when it goes on.
        check_unchanged(self.plan.inputs)
        outcome = self._outcome(trial)
        check_unchanged(self.plan.inputs)
        outcome |= {"started": started, "seconds": time.monotonic() - clock, "worker": self.tuner_id}
        if self._is_worker():
            say(f"trial {trial.trial_id}: {printable(outcome['status'])}, {outcome['seconds']:.0f} s")
        trial.hyperparameters.values[OUTCOME] = json.dumps(outcome)
        if outcome["result"] is None:
            raise keras_tuner.errors.FailedTrialError(outcome["status"])
        return {name: outcome["result"][name] for name in (OBJECTIVE, "val_accuracy")}

    def _outcome(self, trial: Trial) -> dict[str, Any]:
        plan = self.plan
        recipe = recipe_from(
            trial.hyperparameters, plan.model, epochs=plan.epochs, pretrained=plan.pretrained
        )
        name = f"trial-{trial.trial_id}"
        spec = TrialSpec(
            recipe=recipe,
            seed=plan.seed,
            weights_file=plan.weights.get(recipe.image_size, ""),
            manifest=str(plan.manifest),
            sides=str(plan.sides),
            log_dir=str(plan.out / "logs" / name),
            inputs=dict(plan.inputs),
        )
        if not spec.checkpoint.exists():
            shutil.rmtree(spec.log_dir, ignore_errors=True)  # half a curve of a trial that was stopped

        def heard(event: Event) -> None:
            if event["event"] == "note":
                say(f"trial {int(trial.trial_id) + 1}: {printable(event['text'])}", warning=True)

        file = plan.out / "logs" / f"{name}.json"
        answer = self.ask("experiments.search.trial", spec, file, heard=heard, seconds=60 * plan.minutes)
        spec.checkpoint.unlink(missing_ok=True)
        if answer.record:
            return {**json.loads(answer.record), "recipe": asdict(recipe)}
        reason = f"took longer than --trial-minutes {plan.minutes:g}" if answer.too_long else answer.ended
        return {"status": f"failed: {reason}", "environment": {}, "result": None, "recipe": asdict(recipe)}


def _keep_state(folder: Path) -> None:
    """Where its own file is gone, in which nothing stands, keras-tuner would begin the search anew."""
    own = folder / "tuner0.json"
    if (folder / "oracle.json").exists() and not own.exists():
        own.write_text("{}")


def search_at_once(tuner: TrialTuner, count: int) -> None:
    """Runs so many trials at a time, for each of which the oracle sees a tuner with an id of its own."""
    ended = queue.SimpleQueue[Exception | None]()

    def search(one: TrialTuner) -> None:
        try:
            one.search()
            ended.put(None)
        except Exception as error:
            ended.put(error)

    for number in range(count):
        one = copy.copy(tuner)
        one.tuner_id = f"tuner{number}"
        # Not waited for where another one fails: keras-tuner's lock stays with whoever fails within it.
        threading.Thread(target=search, args=(one,), daemon=True).start()
    for _ in range(count):
        if (error := ended.get()) is not None:
            raise error


def role() -> str:
    """Returns "alone", or "chief" or "worker" where keras-tuner's three variables are set.

    Raises:
        InputError: some of the three are set and some are not.
    """
    missing = [name for name in ADDRESS if not os.environ.get(name)]
    if len(missing) == len(ADDRESS) or missing == list(ADDRESS[:2]):
        return "alone"
    if missing:
        raise InputError(f"{', '.join(missing)}: not set; a chief and its workers need {', '.join(ADDRESS)}")
    return "chief" if "chief" in os.environ[ADDRESS[2]] else "worker"


def work_for_chief(tuner: TrialTuner, identity: str) -> None:
    """Runs trials until the chief has no more.

    Raises:
        InputError: the chief doesn't answer, or searches with other settings.
    """
    import grpc

    address = f"{os.environ[ADDRESS[0]]}:{os.environ[ADDRESS[1]]}"
    try:
        space = tuner.oracle.get_space()
        if identity not in [hp.value for hp in space.space if hp.name == "search/identity"]:
            raise InputError(
                f"the chief at {address} searches with other options, images or versions; give it and its "
                "workers the same command and data"
            )
        tuner.search()
    except grpc.RpcError as error:
        raise InputError(
            f"the chief at {address} does not answer ({error.code().name}); start it again with the same "
            "command, then this worker"
        ) from None

"""A search's progress: a record and a line as each trial ends."""

from pathlib import Path
from time import monotonic
from typing import Any

from keras_tuner.engine.trial import Trial

from cnnzoo.errors import printable
from experiments.cli.say import say
from experiments.search.records import TrialRecord, TrialResult, append_trial, ranked, read_trials
from experiments.search.space import searched
from experiments.style.text import human_time


class Journal:
    """Called with each trial that ends: appends its record and says how far the search has come."""

    def __init__(self, out: Path, *, trials: int) -> None:
        self.out, self.trials = out, trials
        self.start = monotonic()
        self.ended_here = 0

    def greet(self) -> None:
        """Says what is there already."""
        done = len(read_trials(self.out))
        if done:
            print(f"{done} of {self.trials} trials are done already", flush=True)

    def recorded(self) -> set[str]:
        """Returns the trials that have a record."""
        return {record.trial for record in read_trials(self.out)}

    def __call__(self, number: int, trial: Trial, outcome: dict[str, Any]) -> None:
        """Records trial `number`, with what `tuner.TrialTuner` left of it."""
        result = TrialResult(**outcome.pop("result")) if outcome.get("result") else None
        outcome.setdefault("status", "failed: its process left nothing")
        missing = {
            "worker": "",
            "started": "",
            "seconds": 0.0,
            "recipe": {},
            "environment": {},
            "result": None,
        }
        record = TrialRecord(
            trial=trial.trial_id,
            number=number,
            values=searched(trial.hyperparameters.values),
            **{**missing, **outcome, "result": result},
        )
        append_trial(self.out, record)
        self.ended_here += 1
        self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        records = read_trials(self.out)
        title = f"[{record.number}/{self.trials}]"
        if record.result is None:
            say(f"{title} {printable(record.status)}", warning=True)
            return
        best = ranked(records)[0]
        so_far = f"best so far {best.loss:.4f} (trial {best.number})"
        if best.trial == record.trial:
            so_far = "the best so far"
        # By the wall clock, so that several at a time count as what they are.
        left = max(0, self.trials - len(records)) * (monotonic() - self.start) / self.ended_here
        print(
            f"{title} validation loss {record.loss:.4f}, accuracy {record.result.val_accuracy:.4f}, "
            f"{human_time(record.seconds)}; {so_far}" + (f"; about {human_time(left)} left" if left else ""),
            flush=True,
        )

"""One trial in one process: `python -m experiments.trial SPEC.json` trains and scores on validation images.

`experiments.tune` writes the specification, starts this and reads the outcome that it leaves; a process per
trial gives all memory back. The specification names no test images, so that none can be looked at.
"""

import json
import math
import os
import resource
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.commands import exit_code, reason_of
from experiments.recipe import Recipe
from experiments.records import write_whole
from experiments.run import start_backend
from experiments.trials import TrialResult


@dataclass(frozen=True)
class TrialSpec:
    """What a trial needs to know; a JSON file between `tune` and `trial`.

    `weights_file` is empty for random weights, `log_dir` is for TensorBoard. `sides` is a file with the
    indices of training and validation images in the manifest.
    """

    recipe: Recipe
    seed: int
    weights_file: str
    manifest: str
    sides: str
    log_dir: str

    @staticmethod
    def load(path: Path) -> "TrialSpec":
        """Reads what `tune` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return TrialSpec(**{**values, "recipe": Recipe.from_dict(values["recipe"])})


def run_trial(spec: TrialSpec) -> TrialResult:
    """Trains the recipe and scores the weights of its lowest validation loss.

    Raises:
        InputError: the recipe can't be built or trained.
        FloatingPointError: the loss is no number.
    """
    import keras

    import cnnzoo
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.data.pipeline import load_datasets
    from cnnzoo.data.splits import Split

    recipe = spec.recipe
    sides = json.loads(Path(spec.sides).read_text(encoding="utf-8"))
    data = load_datasets(
        Manifest.load(Path(spec.manifest)),
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        split=Split(train=tuple(sides["train"]), validation=tuple(sides["validation"]), test=()),
        progress=False,
    )
    keras.utils.set_random_seed(spec.seed)
    model = recipe.build_model(num_classes=len(data.class_names), weights_file=spec.weights_file)
    config = replace(recipe.config, seed=spec.seed)
    fitted = cnnzoo.fit(model, data, config, log_dir=spec.log_dir, progress=False)
    scores = cnnzoo.evaluate(model, data.validation)
    if not math.isfinite(scores.loss):
        raise FloatingPointError(f"the validation loss is {scores.loss}: training diverged")
    return TrialResult(
        val_loss=scores.loss,
        val_accuracy=scores.accuracy,
        epochs=len(fitted.history),
        best_epoch=fitted.best_epoch,
        train_seconds=fitted.seconds,
        total_params=model.count_params(),
        trainable_params=fitted.trainable_params,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def attempt(spec: TrialSpec, error_file: Path) -> dict[str, Any]:
    """Runs a trial; a failure comes back with its reason, and its traceback goes to a file."""
    environment: dict[str, Any] = {}
    try:
        environment = start_backend()
        return {"status": "ok", "environment": environment, "result": asdict(run_trial(spec))}
    except Exception as error:
        error_file.write_text(traceback.format_exc(), encoding="utf-8")
        return {"status": f"failed: {reason_of(error)}", "environment": environment, "result": None}


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone: a search that was killed leaves nothing behind."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> int:
    """Runs the specification named on the command line; the outcome lies beside it afterwards."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python -m experiments.trial SPEC.json (written by experiments.tune)", file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    path = Path(sys.argv[1])
    outcome = attempt(TrialSpec.load(path), path.with_suffix(".error.txt"))
    write_whole(path.with_suffix(".outcome.json"), json.dumps(outcome))
    return 0 if outcome["result"] else 1


if __name__ == "__main__":
    sys.exit(exit_code(main))

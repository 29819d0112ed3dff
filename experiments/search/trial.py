"""One trial in one process: `python -m experiments.search.trial SPEC.json` trains and scores on validation.

`search.tuner` starts this and reads the outcome that it leaves; a process per trial gives all memory back.
The specification names no test images, so that none can be looked at.
"""

import json
import resource
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cnnzoo.errors import one_line
from cnnzoo.gpu import has_tensorflow
from experiments.cli.process import exit_code
from experiments.runs import child
from experiments.runs.environment import start_backend
from experiments.search.records import TrialResult
from experiments.search.spec import TrialSpec


def attempt(spec: TrialSpec, tell: child.Tell) -> dict[str, Any]:
    """Runs a trial; a failure comes back with its reason, and its traceback goes to a file."""
    environment: dict[str, Any] = {}
    try:
        environment = start_backend()
        return {"status": "ok", "environment": environment, "result": asdict(run_trial(spec, tell))}
    except Exception as error:
        child.note_error(Path(f"{spec.log_dir}.error.txt"))
        return {"status": f"failed: {one_line(error)}", "environment": environment, "result": None}


def run_trial(spec: TrialSpec, tell: child.Tell = lambda event: None) -> TrialResult:
    """Trains the recipe and scores the weights that it ends with.

    Raises:
        InputError: the recipe can't be built or trained.
        Diverged: the loss is no number.
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
    fitted = cnnzoo.fit(
        model,
        data,
        config,
        log_dir=spec.log_dir if has_tensorflow() else None,
        checkpoint=spec.checkpoint,
        progress=lambda now: tell(child.progress(now)),
    )
    scores = cnnzoo.evaluate(model, data.validation)
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


def main() -> int:
    """Serves `search.tuner`. Returns the exit code."""
    return child.serve(TrialSpec.load, lambda spec, tell: json.dumps(attempt(spec, tell)))


if __name__ == "__main__":
    sys.exit(exit_code(main))

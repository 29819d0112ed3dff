"""One (recipe, seed) in one process: `python -m experiments.runs.train SPEC.json` trains and tests once.

`runs.dispatch` starts this; a process per run gives all memory back, on a GPU too.
"""

import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from cnnzoo.errors import Diverged, one_line
from cnnzoo.gpu import has_tensorflow
from cnnzoo.limits import peak_memory, share_memory
from experiments.cli.process import exit_code
from experiments.runs import child
from experiments.runs.environment import start_backend
from experiments.runs.evidence import save_evidence
from experiments.runs.left import facts_of, model_file, predictions_file, validation_file
from experiments.runs.predictions import write_predictions
from experiments.runs.records import RunRecord, RunResult, ended_early, record_for, to_json
from experiments.runs.spec import RunSpec, check_unchanged

if TYPE_CHECKING:
    import keras

    from cnnzoo.data.pipeline import Datasets
    from cnnzoo.evaluation.calibration import Decision
    from cnnzoo.evaluation.likeness import Likeness
    from cnnzoo.evaluation.scores import Scores
    from cnnzoo.training.fit import FitResult

FEW_IMAGES_EPOCH = 1000  # images that pass in an epoch where there are fewer

FEW_REPEATS = 5  # of the timing of a trained model in a demonstration: it takes as long as an epoch else


def run(spec: RunSpec, tell: child.Tell) -> RunRecord:
    """Trains and tests one recipe and tells how far it is; a failure comes back as a record that says why."""
    import cv2  # noqa: F401 - by one thread, before two of them want it

    started = datetime.now(UTC).isoformat(timespec="seconds")
    environment: dict[str, Any] = {}
    try:
        clock = time.perf_counter()
        _share_machine(spec.at_once)
        check_unchanged(spec.inputs)
        tell(child.stage("reading images"))
        with ThreadPoolExecutor(1) as beside:
            reading = beside.submit(_load_data, spec)
            environment = start_backend()
            start_seconds = time.perf_counter() - clock
            data, groups = reading.result()
        tell(child.data(len(data.train), data.storage, data.decode_seconds))
        trained = _train(spec, data, groups, tell)
        if spec.round and not spec.round.last:
            history = trained.fitted.history
            return record_for(
                spec,
                status=ended_early(history, spec.resolved_recipe().as_dict()),
                started=started,
                environment=environment,
                history=history,
            )
        result = _test(spec, trained, start_seconds=start_seconds, tell=tell)
        files = facts_of(Path(spec.out), spec.files)
        return record_for(
            spec, status="ok", started=started, environment=environment, result=result, files=files
        )
    except Exception as error:
        child.note_error(Path(spec.out, "logs", f"{spec.stem}.error.txt"))
        if isinstance(error, Diverged):
            spec.checkpoint.unlink(missing_ok=True)  # from there it would diverge again
        return record_for(
            spec,
            status=f"failed: {one_line(error)}",
            started=started,
            environment=environment,
            history=getattr(error, "history", ()),
        )


def _load_data(spec: RunSpec) -> tuple["Datasets", dict[str, int]]:
    """Returns the images of the split and the group of each by path.

    In a thread, while Python imports TensorFlow, which one core does: decoding needs neither.
    """
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.data.pipeline import load_datasets
    from cnnzoo.data.splits import Split

    manifest = Manifest.load(Path(spec.manifest))
    sides = json.loads(Path(spec.split).read_text(encoding="utf-8"))
    groups = {image.path: group for image, group in zip(manifest.images, sides.pop("groups"), strict=True)}
    split = Split(**{side: tuple(indices) for side, indices in sides.items()})
    recipe = spec.resolved_recipe()
    data = load_datasets(
        manifest,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        split=split,
        progress=False,
    )
    if recipe.drawn:
        from cnnzoo.data.sources.drawn.added import with_drawn

        data = with_drawn(data, recipe.drawn, spec.data.positive)
    return data, groups


def _share_machine(runs: int) -> None:
    """Leaves room for the other runs, and has TensorFlow add up as it does without them.

    It cuts sums into as many parts as it has threads, which decides their last digits: so it gets as many as
    there are cores for all runs together, on those that this one may use.
    """
    share_memory(runs)
    if runs > 1:
        cores = len(os.sched_getaffinity(os.getppid()))
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(cores))


@dataclass(frozen=True, eq=False)
class _Trained:
    """A model with its images, the group of each by path, and what its training gave.

    `before_fit` is the seconds from the start of the process to that of the training.
    """

    model: "keras.Model"
    data: "Datasets"
    groups: dict[str, int]
    fitted: "FitResult"
    before_fit: float


def _train(spec: RunSpec, data: "Datasets", groups: dict[str, int], tell: child.Tell) -> _Trained:
    import keras

    import cnnzoo
    from cnnzoo.training.checkpoint import Checkpoint, key_of

    recipe = spec.resolved_recipe()
    data = _long_epochs(data, spec)
    tell(child.stage("building the model"))
    keras.utils.set_random_seed(spec.seed)
    model = recipe.build_model(
        num_classes=len(data.class_names), weights_file=spec.weights_file, positive=_positive(spec, data)
    )
    config = replace(recipe.config, seed=spec.seed)
    if position := Checkpoint(spec.checkpoint, key_of(model, data, config)).position():
        tell(child.note(f"goes on {position}"))
    tell(child.stage("training"))
    before_fit = _seconds_since_start()
    fitted = cnnzoo.fit(
        model,
        data,
        config,
        log_dir=Path(spec.out, "logs", spec.stem) if has_tensorflow() else None,
        checkpoint=spec.checkpoint,
        progress=lambda now: tell(child.progress(now)),
    )
    if recipe.several_views:
        from cnnzoo.evaluation.several_views import several_views

        model = several_views(model)
    return _Trained(model, data, groups, fitted, before_fit)


def _positive(spec: RunSpec, data: "Datasets") -> int | None:
    """The id of the positive class; None where none is named."""
    return data.class_names.index(spec.data.positive) if spec.data.positive else None


def _test(spec: RunSpec, trained: _Trained, *, start_seconds: float, tell: child.Tell) -> RunResult:
    import cnnzoo

    model, data, out = trained.model, trained.data, Path(spec.out)
    tell(child.stage("testing"))
    # Here, not above: scikit-learn and SciPy, which score, take seconds to import.
    from cnnzoo.deploy.origin import Origin
    from cnnzoo.evaluation.likeness import likeness_of
    from cnnzoo.evaluation.scores import evaluate
    from experiments.runs import measure

    validation, test = evaluate(model, data.validation), evaluate(model, data.test)
    of_path, wanted = trained.groups, measure.Wanted(spec.recall, spec.precision)
    photographs = [of_path[path] for path in data.validation.paths]
    decision, chosen = measure.fit_decision(
        validation, data.class_names, spec.data.positive, photographs, wanted
    )
    # Drawn tiles, if there are some, come after the training images, and show what no user photographs.
    likeness = likeness_of(data.train.images[: len(data.split.train)], data.validation.images)
    saved = out / model_file(spec.run_name, spec.identity)
    cnnzoo.save_model(
        model,
        saved,
        class_names=data.class_names,
        decision=decision,
        image_pixels=data.manifest.usual_size,
        likeness=likeness,
        origin=Origin(spec.recipe.name, spec.data.fingerprint),
    )
    far = measure.distances_of(likeness, data.test)
    for file, images, scores, distances in (
        (predictions_file(spec.run_name, spec.identity), data.test, test, far),
        (
            validation_file(spec.run_name, spec.identity), data.validation, validation,
            measure.distances_of(likeness, data.validation),
        ),
    ):  # fmt: skip
        groups = [of_path[path] for path in images.paths]
        write_predictions(out / "predictions" / file, images, scores, data.class_names, groups, distances)
    result = RunResult(
        **_training_part(trained, validation),
        **_test_part(model, data, test, decision, likeness, spec),
        unlike=measure.share_unlike(far),
        operating_point=measure.operating_point(
            {"validation": validation, "test": test}, data.class_names, decision, chosen, wanted
        ),
        start_seconds=start_seconds,
        model_bytes=saved.stat().st_size,
        **_usage(),
    )
    save_evidence(spec, model, data, test, decision)
    return result


def _long_epochs(data: "Datasets", spec: RunSpec) -> "Datasets":
    """Few training images, where the recipe or `--train-sizes` is for few, come several times in an epoch.

    Else 50 images would train for one step an epoch, and the schedule rather than the labels would fail.
    """
    split, wanted = spec.data.split, spec.recipe.epoch_images
    if split.train_size:
        wanted = min(FEW_IMAGES_EPOCH, split.train_images)
    times = -(-wanted // len(data.train))
    return replace(data, train=data.train.repeated(times)) if times > 1 else data


def _training_part(trained: _Trained, validation: "Scores") -> dict[str, Any]:
    fitted, data = trained.fitted, trained.data
    epochs, starts = fitted.history, fitted.phase_start_seconds
    return {
        "total_params": trained.model.count_params(),
        "trainable_params": fitted.trainable_params,
        "val_accuracy_before": fitted.val_accuracy_before,
        "val_loss_before": fitted.val_loss_before,
        "val_accuracy": validation.accuracy,
        "history": list(epochs),
        "best_epoch": fitted.best_epoch,
        "train_seconds": fitted.seconds,
        "tracing_seconds": fitted.tracing_seconds,
        "frozen_seconds": fitted.frozen_seconds,
        "second_batch_seconds": trained.before_fit + starts[0] if starts else None,
        "phase_start_seconds": list(starts),
        "first_epoch_seconds": epochs[0].seconds,
        "seconds_per_epoch": len(data.train) / fitted.images_per_second,
        "images_per_second": fitted.images_per_second,
        "decode_seconds": data.decode_seconds,
        "validation_seconds": sum(epoch.validation_seconds for epoch in epochs),
    }


def _test_part(
    model: "keras.Model",
    data: "Datasets",
    test: "Scores",
    decision: "Decision",
    likeness: "Likeness | None",
    spec: RunSpec,
) -> dict[str, Any]:
    from cnnzoo.evaluation.speed import REPEATS, milliseconds_per_image
    from experiments.runs import measure

    names = data.class_names
    others, repeats = {}, FEW_REPEATS if spec.demonstration else REPEATS
    for other in spec.others:
        others[other.name], scores, images = measure.score_other(model, other, data, decision)
        distances = measure.distances_of(likeness, images)
        others[other.name]["unlike"] = measure.share_unlike(distances)
        file = Path(spec.out, "predictions", predictions_file(spec.run_name, spec.identity, other.name))
        write_predictions(file, images, scores, names, other.groups, distances)
    return {
        "test_accuracy": test.accuracy,
        "test_accuracy_low": test.low,
        "test_accuracy_high": test.high,
        "test_loss": test.loss,
        "test_images": len(data.test),
        "test_seconds": test.seconds,
        "per_class": {
            name: {
                "precision": float(test.precision[i]),
                "recall": float(test.recall[i]),
                "f1": float(test.f1[i]),
                "support": int(test.confusion[i].sum()),
            }
            for i, name in enumerate(names)
        },
        "confusion": test.confusion.tolist(),
        **measure.probability_scores(test, decision, _positive(spec, data)),
        "others": others,
        "robustness": measure.robustness(model, data) if spec.robustness else {},
        "ms_per_image_1": milliseconds_per_image(model, batch_size=1, repeats=repeats),
        "ms_per_image_32": milliseconds_per_image(model, batch_size=32, repeats=repeats),
    }


def _seconds_since_start() -> float:
    """Since this process was started, with the imports that came before this line."""
    return max(0.0, time.time() - psutil.Process().create_time())


def _usage() -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_memory_mb": peak_memory() / 2**20}


def main() -> int:
    """Serves `runs.dispatch`. Returns the exit code."""
    return child.serve(
        RunSpec.load, lambda spec, tell: to_json(replace(run(spec, tell), seconds=_seconds_since_start()))
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""One (recipe, seed) in one process: `python -m experiments.run SPEC.json` trains and tests once.

`experiments.compare` writes the specification, starts this and appends the record that it leaves; a process
per run gives all memory back, on a GPU too.
"""

import json
import resource
import sys
import time
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import events
from experiments.commands import Parser, exit_code, quiet_stderr, reason_of
from experiments.recipe import Recipe
from experiments.records import RunRecord, RunResult, mistakes_file, predictions_file, to_json, write_whole

if TYPE_CHECKING:
    import keras

    from cnnzoo.data.pipeline import Datasets
    from cnnzoo.evaluation.calibration import Decision
    from cnnzoo.evaluation.scores import Scores
    from cnnzoo.training.fit import FitResult

PREVIEW_IMAGES = 12
FEW_IMAGES_EPOCH = 1000  # images that pass in an epoch where there are fewer


@dataclass(frozen=True)
class RunSpec:
    """What one run needs to know; a JSON file between `compare` and `run`.

    `weights_file` is empty for random weights, `weights` is how the record names them. `data` is the part of
    the record that describes the data. `split` is a file with the indices of each side and the group of every
    image of the manifest, `others` has an `Other` each as a dict.
    """

    identity: str
    run_name: str
    recipe: Recipe
    seed: int
    epochs: int | None
    weights: str
    weights_file: str
    manifest: str
    split: str
    others: tuple[dict[str, Any], ...]
    recall: float | None
    robustness: bool
    out: str
    command: str
    demonstration: bool
    data: dict[str, Any]

    def resolved_recipe(self) -> Recipe:
        """The recipe as this run trains it: epochs capped, with a schedule for random weights."""
        recipe = self.recipe.capped(self.epochs)
        return recipe if self.weights_file or not recipe.pretrained else recipe.from_random_weights()

    @staticmethod
    def load(path: Path) -> "RunSpec":
        values = json.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe.from_dict(values["recipe"])
        return RunSpec(**{**values, "recipe": recipe, "others": tuple(values["others"])})


def record_for(
    spec: RunSpec,
    *,
    status: str,
    started: str,
    environment: dict[str, Any] | None = None,
    result: RunResult | None = None,
) -> RunRecord:
    """Puts a run's outcome beside what was asked for."""
    recipe = spec.resolved_recipe()
    return RunRecord(
        identity=spec.identity,
        recipe=recipe.name,
        model=recipe.model,
        seed=spec.seed,
        status=status,
        weights=spec.weights,
        started=started,
        command=spec.command,
        demonstration=spec.demonstration,
        config=recipe.as_dict(),
        data=spec.data,
        name=spec.run_name,
        environment=environment or {},
        result=result,
    )


def run(spec: RunSpec, tell: events.Tell = events.show) -> RunRecord:
    """Trains and tests one recipe and tells how far it is; a failure comes back as a record that says why."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    environment: dict[str, Any] = {}
    try:
        clock = time.perf_counter()
        environment = start_backend()
        result = _train_and_test(spec, start_seconds=time.perf_counter() - clock, tell=tell)
        return record_for(spec, status="ok", started=started, environment=environment, result=result)
    except Exception as error:
        (Path(spec.out) / "logs" / f"{spec.run_name}.error.txt").write_text(traceback.format_exc())
        return record_for(
            spec, status=f"failed: {reason_of(error)}", started=started, environment=environment
        )


def start_backend() -> dict[str, Any]:
    """Imports what the run computes with, and returns the environment."""
    with quiet_stderr():
        import keras
        import tensorflow as tf

        from experiments.environment import describe_environment

        tf.get_logger().setLevel("ERROR")  # it warns of every new batch shape
        if keras.backend.backend() != "tensorflow":
            # tf.data needs no GPU, and TensorFlow would take its memory from the backend that does.
            tf.config.set_visible_devices([], "GPU")
        return describe_environment()


def _load_data(spec: RunSpec, recipe: Recipe, tell: events.Tell) -> tuple["Datasets", dict[str, int]]:
    """Returns the images of the split and the group of each by path."""
    from cnnzoo.data.manifest import Manifest
    from cnnzoo.data.pipeline import load_datasets
    from cnnzoo.data.splits import Split

    manifest = Manifest.load(Path(spec.manifest))
    sides = json.loads(Path(spec.split).read_text(encoding="utf-8"))
    groups = {image.path: group for image, group in zip(manifest.images, sides.pop("groups"), strict=True)}
    split = Split(**{side: tuple(indices) for side, indices in sides.items()})
    data = load_datasets(
        manifest,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        split=split,
        progress=False,
    )
    tell(events.data(len(data.train), data.storage, data.decode_seconds))
    return data, groups


def _train_and_test(spec: RunSpec, *, start_seconds: float, tell: events.Tell) -> RunResult:
    import keras

    import cnnzoo
    from cnnzoo.evaluation.scores import evaluate
    from experiments import measure

    recipe, out = spec.resolved_recipe(), Path(spec.out)
    tell(events.stage("reading images"))
    data, groups = _load_data(spec, recipe, tell)
    data = _long_epochs(data, spec)
    tell(events.stage("building the model"))
    keras.utils.set_random_seed(spec.seed)
    model = recipe.build_model(num_classes=len(data.class_names), weights_file=spec.weights_file)
    tell(events.stage("training"))
    fitted = cnnzoo.fit(
        model,
        data,
        replace(recipe.config, seed=spec.seed),
        log_dir=out / "logs" / spec.run_name,
        progress=lambda now: tell(events.progress(now)),
    )
    tell(events.stage("testing"))
    validation, test = evaluate(model, data.validation), evaluate(model, data.test)
    decision = measure.fit_decision(validation, data.class_names, spec.data["positive"], spec.recall)
    model_file = out / "models" / f"{spec.run_name}.keras"
    cnnzoo.save_model(model, model_file, class_names=data.class_names, decision=decision)
    measure.write_predictions(
        out / "predictions" / predictions_file(spec.run_name, spec.identity),
        data.test, test, data.class_names, [groups[path] for path in data.test.paths],
    )  # fmt: skip
    trained = _training_part(model, fitted, data, validation)
    result = RunResult(
        **trained,
        **_test_part(model, data, {"validation": validation, "test": test}, decision, spec),
        start_seconds=start_seconds,
        model_bytes=model_file.stat().st_size,
        **_usage(),
    )
    _draw_pictures(spec, model, data, test, decision)
    return result


def _long_epochs(data: "Datasets", spec: RunSpec) -> "Datasets":
    """Few training images, where `--train-sizes` asked for few, come several times in an epoch.

    Else 50 images would train for one step an epoch, and the schedule rather than the labels would fail.
    """
    if not spec.data["split"].get("train_size"):
        return data
    times = -(-min(FEW_IMAGES_EPOCH, spec.data["split"]["train_images"]) // len(data.train))
    return replace(data, train=data.train.repeated(times)) if times > 1 else data


def _training_part(
    model: "keras.Model", fitted: "FitResult", data: "Datasets", validation: "Scores"
) -> dict[str, Any]:
    epochs = fitted.history
    return {
        "total_params": model.count_params(),
        "trainable_params": fitted.trainable_params,
        "val_accuracy_before": fitted.val_accuracy_before,
        "val_accuracy": validation.accuracy,
        "history": list(epochs),
        "best_epoch": fitted.best_epoch,
        "train_seconds": fitted.seconds,
        "tracing_seconds": fitted.tracing_seconds,
        "first_epoch_seconds": epochs[0].seconds,
        "seconds_per_epoch": len(data.train) / fitted.images_per_second,
        "images_per_second": fitted.images_per_second,
        "decode_seconds": data.decode_seconds,
        "validation_seconds": sum(epoch.validation_seconds for epoch in epochs),
    }


def _test_part(
    model: "keras.Model",
    data: "Datasets",
    sides: dict[str, "Scores"],
    decision: "Decision",
    spec: RunSpec,
) -> dict[str, Any]:
    from cnnzoo.evaluation.speed import milliseconds_per_image
    from experiments import measure

    names, test = data.class_names, sides["test"]
    positive = names.index(spec.data["positive"])
    others = {}
    for values in spec.others:
        other = measure.Other(**values)
        others[other.name], scores, images = measure.score_other(model, other, data, positive)
        file = predictions_file(spec.run_name, spec.identity, other.name)
        measure.write_predictions(Path(spec.out) / "predictions" / file, images, scores, names, other.groups)
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
        **measure.probability_scores(test, decision, positive),
        "operating_point": measure.operating_point(sides, names, decision, spec.recall),
        "others": others,
        "robustness": measure.robustness(model, data) if spec.robustness else {},
        "ms_per_image_1": milliseconds_per_image(model, batch_size=1),
        "ms_per_image_32": milliseconds_per_image(model, batch_size=32),
    }


def _usage() -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_memory_mb": usage.ru_maxrss / 1024}


def _draw_pictures(
    spec: RunSpec, model: "keras.Model", data: "Datasets", test: "Scores", decision: "Decision"
) -> None:
    """Leaves the pictures of the report; that one can't be drawn is no reason to lose the run."""
    from experiments.mistakes import save_pictures

    out = Path(spec.out)
    try:
        _draw_augmented(spec, data, spec.resolved_recipe())
        mistakes = out / mistakes_file(spec.run_name, spec.identity)
        save_pictures(mistakes, model, data.test, test, data.class_names, decision)
    except Exception as error:
        (out / "logs" / f"{spec.run_name}.error.txt").write_text(traceback.format_exc())
        print(f"{spec.run_name}: no pictures for the report: {reason_of(error)}", file=sys.stderr)


def _draw_augmented(spec: RunSpec, data: "Datasets", recipe: Recipe) -> None:
    """A figure of what training images look like; once for all seeds."""
    from experiments import pictures

    path = Path(spec.out) / "figures" / f"augmented-{recipe.name}.jpg"
    if not recipe.config.augmentation.active or path.exists():
        return
    first = data.train.training_dataset(epochs=1, seed=spec.seed, augmentation=recipe.config.augmentation)
    images, labels = next(first.take(1).as_numpy_iterator())
    titles = [data.class_names[label] for label in labels]
    pictures.draw(path, images[:PREVIEW_IMAGES], titles)


def main() -> int:
    """Runs the specification named on the command line; the record lies beside it afterwards."""
    options = _parser().parse_args()
    record = run(RunSpec.load(options.spec), events.claim_stdout() if options.events else events.show)
    write_whole(options.spec.with_suffix(".record.json"), to_json(record))
    return 0 if record.ok else 1


def _parser() -> Parser:
    parser = Parser(
        prog="python -m experiments.run",
        description="Train and test one recipe with one seed, as experiments.compare does for each run.",
    )
    parser.add_argument("spec", type=Path, metavar="SPEC.json", help="written by experiments.compare")
    parser.add_argument(
        "--events", action="store_true", help="stdout carries JSON lines that say how far the run is"
    )
    return parser


if __name__ == "__main__":
    sys.exit(exit_code(main))

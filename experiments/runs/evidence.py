"""Pictures that a run leaves for the report: its worst mistakes, augmented samples."""

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import encode_jpeg
from cnnzoo.errors import InputError, one_line
from cnnzoo.evaluation.calibration import Decision, decide, with_temperature
from cnnzoo.files import write_whole
from experiments.recipes.recipe import Recipe
from experiments.runs.child import note_error
from experiments.runs.records import mistakes_file
from experiments.runs.spec import RunSpec
from experiments.style.contact_sheet import draw_sheet, some_of_each_kind

if TYPE_CHECKING:
    import keras

    from cnnzoo.data.pipeline import Datasets, ImageSet
    from cnnzoo.evaluation.scores import Scores

SIDE = 128  # pixels of a picture
QUALITY = 80  # of its JPEG
PREVIEW_IMAGES = 12


def save_pictures(
    path: Path,
    model: "keras.Model",
    images: "ImageSet",
    scores: "Scores",
    class_names: Sequence[str],
    decision: Decision,
) -> None:
    """Writes the worst mistakes of a run with their Grad-CAM: {path of the image: [JPEG, JPEG]}."""
    calibrated = with_temperature(scores.probabilities, decision.temperature)
    verdicts = decide(calibrated, class_names, decision)
    wrong = np.flatnonzero(verdicts != scores.labels)
    wrong = wrong[np.argsort(-calibrated[wrong, verdicts[wrong]], kind="stable")]
    kinds = [(scores.labels[i], verdicts[i]) for i in wrong]
    worst = np.array(some_of_each_kind(wrong.tolist(), kinds), np.int64)
    found: dict[str, list[str]] = {}
    if len(worst):
        shown = images.images[worst]
        for i, image, map_ in zip(worst, shown, _maps(model, shown, verdicts[worst]), strict=True):
            found[images.paths[i]] = [_jpeg(image), map_]
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(found))


def _maps(model: "keras.Model", images: npt.NDArray[np.uint8], class_ids: npt.NDArray[np.int64]) -> list[str]:
    """Grad-CAM over each image; empty where the model's features have a single place, and no map."""
    from cnnzoo.evaluation.explain import grad_cam, overlay

    try:
        maps = grad_cam(model, images, class_ids)
    except InputError:
        return [""] * len(images)
    # Where a threshold made the verdict, the network may see nothing that speaks for it: no map then.
    return [
        _jpeg(overlay(image, map_)) if map_.any() else "" for image, map_ in zip(images, maps, strict=True)
    ]


def _jpeg(image: npt.NDArray[np.uint8]) -> str:
    import cv2

    if image.shape[0] > SIDE:
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(encode_jpeg(image, QUALITY)).decode()


def save_evidence(
    spec: RunSpec, model: "keras.Model", data: "Datasets", test: "Scores", decision: Decision
) -> None:
    """Leaves the pictures of the report; that one can't be drawn is no reason to lose the run."""
    out = Path(spec.out)
    try:
        _draw_augmented(spec, data, spec.resolved_recipe())
        mistakes = out / mistakes_file(spec.run_name, spec.identity)
        save_pictures(mistakes, model, data.test, test, data.class_names, decision)
    except Exception as error:
        note_error(out / "logs" / f"{spec.run_name}.error.txt")
        print(f"{spec.run_name}: no pictures for the report: {one_line(error)}", file=sys.stderr)


def _draw_augmented(spec: RunSpec, data: "Datasets", recipe: Recipe) -> None:
    """A figure of what training images look like; once for all seeds."""
    path = Path(spec.out) / "figures" / f"augmented-{recipe.name}.jpg"
    if not recipe.config.augmentation.active or path.exists():
        return
    first = data.train.training_dataset(epochs=1, seed=spec.seed, augmentation=recipe.config.augmentation)
    images, labels = next(first.take(1).as_numpy_iterator())
    titles = [data.class_names[label] for label in labels]
    draw_sheet(path, images[:PREVIEW_IMAGES], titles)

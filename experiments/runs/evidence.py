"""Pictures that a run leaves for the report: samples, augmented ones, a test batch, its worst mistakes."""

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
from experiments.runs.left import augmented_file, batch_file, mistakes_file, samples_file
from experiments.runs.predictions import batch_places
from experiments.runs.spec import RunSpec
from experiments.style.chart import VERMILION
from experiments.style.contact_sheet import PLAIN, draw_sheet, some_of_each_kind
from experiments.style.text import shorten

if TYPE_CHECKING:
    import keras

    from cnnzoo.data.pipeline import Datasets, ImageSet
    from cnnzoo.evaluation.scores import Scores

SIDE = 128  # pixels of a picture
QUALITY = 80  # of its JPEG
PREVIEW_IMAGES = 12
SAMPLES = 9
ONE_LINE = 2.0  # inches: of a tile whose title is one line
BATCH_NAME = 14  # characters of a class in the test batch


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
        _draw_samples(out / samples_file(spec.data.fingerprint), data)
        _draw_augmented(spec, data, spec.resolved_recipe())
        batch = out / batch_file(spec.run_name, spec.identity)
        draw_test_batch(batch, data.test, test, data.class_names, decision)
        mistakes = out / mistakes_file(spec.run_name, spec.identity)
        save_pictures(mistakes, model, data.test, test, data.class_names, decision)
    except Exception as error:
        note_error(out / "logs" / f"{spec.stem}.error.txt")
        print(f"{spec.run_name}: no pictures for the report: {one_line(error)}", file=sys.stderr)


def _draw_samples(path: Path, data: "Datasets") -> None:
    """A figure of some training images with their classes, as many of each as can be; once for all runs."""
    if path.exists():
        return
    # The first are those of the data set; behind them come drawn ones where a recipe trains on such too.
    chosen = some_by_turns(data.train.labels[: len(data.split.train)], SAMPLES)
    titles = [shorten(data.class_names[data.train.labels[i]]) for i in chosen]
    draw_sheet(path, data.train.images[chosen], titles, columns=3, height=ONE_LINE)


def some_by_turns(labels: npt.NDArray[np.int32], count: int) -> list[int]:
    """Draws images by chance: one of each class, then a second one of each, and so on."""
    order = np.random.default_rng(0).permutation(len(labels))
    turns = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        turns[of_class] = np.arange(len(of_class))
    return sorted(order.tolist(), key=lambda i: (turns[i], labels[i]))[:count]


def _draw_augmented(spec: RunSpec, data: "Datasets", recipe: Recipe) -> None:
    """A figure of training images as the network sees them."""
    path = Path(spec.out) / augmented_file(spec.run_name, spec.identity)
    first = data.train.training_dataset(epochs=1, seed=spec.seed, augmentation=recipe.config.augmentation)
    images, labels = map(np.asarray, next(iter(first)))
    titles = [shorten(data.class_names[label]) for label in labels]
    draw_sheet(path, images[:PREVIEW_IMAGES], titles, height=ONE_LINE)


def draw_test_batch(
    path: Path, images: "ImageSet", scores: "Scores", class_names: Sequence[str], decision: Decision
) -> None:
    """A figure of some test images, actual and predicted class above each, the wrong ones marked."""
    chosen = batch_places(len(images))
    calibrated = with_temperature(scores.probabilities, decision.temperature)
    verdicts = decide(calibrated, class_names, decision)
    names = [shorten(name, BATCH_NAME) for name in class_names]
    wrong = [verdicts[i] != scores.labels[i] for i in chosen]
    titles = [
        f"{names[scores.labels[i]]} → {names[verdicts[i]]}\n{'WRONG' if bad else 'right'}"
        for i, bad in zip(chosen, wrong, strict=True)
    ]
    colours = [VERMILION if bad else PLAIN for bad in wrong]
    draw_sheet(path, images.images[chosen], titles, colours=colours)

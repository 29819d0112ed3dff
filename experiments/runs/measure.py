"""What a run measures of its trained model: test images, other surfaces, corrupted images, calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnzoo.data.corruptions import CANVAS, CORRUPTIONS, corrupt
from cnnzoo.data.images import load_images, resize_image
from cnnzoo.data.manifest import Manifest
from cnnzoo.data.pipeline import Datasets, ImageSet, load_image_set
from cnnzoo.evaluation.adapting import adapted, sound_level
from cnnzoo.evaluation.calibration import (
    Decision,
    calibration_error,
    decide,
    fit_temperature,
    with_temperature,
)
from cnnzoo.evaluation.likeness import Likeness
from cnnzoo.evaluation.promise import Operating, threshold_for_precision, threshold_for_promise
from cnnzoo.evaluation.scores import Scores, auroc, average_precision, evaluate
from experiments.runs.spec import Other

RECALLS = (0.8, 0.9, 0.95, 0.98, 0.99)  # whose thresholds a model file knows
ROBUSTNESS_IMAGES = 300  # of the test images: 30 corruptions of each


@dataclass(frozen=True)
class Wanted:
    """What a threshold is to give: a recall, or a precision, of the positive class; at most one of them."""

    recall: float | None = None
    precision: float | None = None


def fit_decision(
    validation: Scores, class_names: Sequence[str], positive: str, groups: Sequence[int], wanted: Wanted
) -> tuple[Decision, Operating | None]:
    """Chooses temperature and threshold on the validation images, which `groups` has the photographs of.

    For a recall the threshold is never higher than without one: nobody who asks for it wants to find less.
    """
    temperature = fit_temperature(validation.labels, validation.probabilities)
    if not positive:
        return Decision(temperature), None
    label = list(class_names).index(positive)
    calibrated = with_temperature(validation.probabilities, temperature)
    actual, scores = validation.labels == label, calibrated[:, label]

    def found(recall: float) -> Operating:
        chosen = threshold_for_promise(actual, scores, groups, recall)
        # An image whose most probable class it is has a probability of at least this.
        return replace(chosen, threshold=min(chosen.threshold, 1 / len(class_names)))

    known = RECALLS if actual.any() else ()
    decision = Decision(
        temperature,
        positive,
        sound=sound_level(validation.labels, calibrated, label),
        recalls=tuple((recall, found(recall).threshold) for recall in known),
    )
    if wanted.recall is not None:
        chosen = found(wanted.recall)
    elif wanted.precision is not None:
        chosen = threshold_for_precision(actual, scores, groups, wanted.precision)
    else:
        return decision, None
    return replace(decision, threshold=chosen.threshold), chosen


def operating_point(
    sides: dict[str, Scores],
    class_names: Sequence[str],
    decision: Decision,
    chosen: Operating | None,
    wanted: Wanted,
) -> dict[str, float] | None:
    """What the threshold gives on each side, and what the most probable class does ("plain").

    Recall and precision of the positive class, and accuracy.
    """
    if decision.threshold is None or chosen is None:
        return None
    label = list(class_names).index(decision.positive)
    point = {
        f"wanted_{name}": share
        for name, share in (("recall", wanted.recall), ("precision", wanted.precision))
        if share is not None
    }
    point |= {
        "threshold": decision.threshold,
        "promised": float(chosen.promised),
        "independent": chosen.independent,
    }
    for side, scores in sides.items():
        calibrated = with_temperature(scores.probabilities, decision.temperature)
        for kind, how in (("", decision), ("plain_", replace(decision, threshold=None))):
            verdicts = decide(calibrated, class_names, how)
            actual, found = scores.labels == label, verdicts == label
            point[f"{side}_{kind}recall"] = float(found[actual].mean())
            point[f"{side}_{kind}precision"] = float(actual[found].mean()) if found.any() else 0.0
            point[f"{side}_{kind}accuracy"] = float((verdicts == scores.labels).mean())
    return point


def probability_scores(test: Scores, decision: Decision, positive: int | None) -> dict[str, Any]:
    """The numbers of `RunResult` that rest on the test images' probabilities; `positive` is a class id."""
    calibrated = with_temperature(test.probabilities, decision.temperature)
    return {
        "auroc": _finite(auroc(test.labels, test.probabilities)),
        "average_precision": _average_precision(test, positive),
        "temperature": decision.temperature,
        "sound": decision.sound,
        "calibration_error": calibration_error(test.labels, calibrated),
        "calibration_error_raw": calibration_error(test.labels, test.probabilities),
    }


def _average_precision(scores: Scores, positive: int | None) -> float | None:
    """That of the positive class; None where none is named, or no image shows it."""
    if positive is None:
        return None
    return _finite(average_precision(scores.labels, scores.probabilities, positive))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def score_other(
    model: Any, other: Other, data: Datasets, decision: Decision
) -> tuple[dict[str, Any], Scores, ImageSet]:
    """Evaluates `model` on a data set that it never trained on, as it is and adapted to its images."""
    positive = data.class_names.index(decision.positive) if decision.positive else None
    manifest = Manifest.load(other.manifest)
    images = load_image_set(manifest, image_size=data.test.images.shape[1], batch_size=data.test.batch_size)
    scores = evaluate(model, images)
    return (
        {
            "images": len(images),
            "accuracy": scores.accuracy,
            "auroc": _finite(auroc(scores.labels, scores.probabilities)),
            "average_precision": _average_precision(scores, positive),
            "recall": dict(zip(manifest.class_names, scores.recall.tolist(), strict=True)),
            "confusion": scores.confusion.tolist(),
            **_adapted_scores(scores, manifest.class_names, decision),
        },
        scores,
        images,
    )


def distances_of(likeness: Likeness | None, images: ImageSet) -> npt.NDArray[np.float64] | None:
    """Returns how far images are from the training images; None where these are not known."""
    return None if likeness is None else likeness.distances(images.images)


def share_unlike(distances: npt.NDArray[np.float64] | None) -> float | None:
    """Returns the share of images that are unlike the training images; None where these are not known."""
    return None if distances is None else float((distances > 1).mean())


def _adapted_scores(scores: Scores, class_names: Sequence[str], decision: Decision) -> dict[str, Any]:
    """Accuracy and recalls with a threshold that fits the images; nothing where the model can't be adapted.

    From the highest probability, as the scores without are, whatever recall the model's own threshold is for.
    """
    if decision.sound is None:
        return {}
    calibrated = with_temperature(scores.probabilities, decision.temperature)
    fitted = adapted(replace(decision, threshold=None), calibrated, class_names)
    if fitted.threshold is None:
        return {}
    right = decide(calibrated, class_names, fitted) == scores.labels
    of_class = {name: right[scores.labels == label] for label, name in enumerate(class_names)}
    return {
        "adapted": {
            "accuracy": float(right.mean()),
            "recall": {name: float(found.mean()) for name, found in of_class.items() if len(found)},
            "threshold": fitted.threshold,
        }
    }


def robustness(model: Any, data: Datasets) -> dict[str, list[float]]:
    """Test accuracy under each corruption at five strengths, on at most 300 test images."""
    count = len(data.test)
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:ROBUSTNESS_IMAGES])
    paths = [data.manifest.root / data.test.paths[i] for i in chosen]
    digests = [data.manifest.images[data.split.test[i]].sha256 for i in chosen]
    originals, labels = load_images(paths, CANVAS, digests=digests), data.test.labels[chosen]
    found = {"none": [_accuracy(model, data.test, originals, labels)]}
    for kind, corruption in CORRUPTIONS.items():
        found[kind] = [
            _accuracy(model, data.test, _corrupted(originals, kind, strength), labels)
            for strength in range(1, len(corruption.strengths) + 1)
        ]
    return found


def _corrupted(images: npt.NDArray[np.uint8], kind: str, strength: int) -> npt.NDArray[np.uint8]:
    return np.stack([corrupt(image, kind, strength, seed=i) for i, image in enumerate(images)])


def _accuracy(
    model: Any, like: ImageSet, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32]
) -> float:
    resized = np.stack([resize_image(image, like.images.shape[1]) for image in images])
    paths = tuple(str(i) for i in range(len(labels)))
    return evaluate(model, ImageSet(resized, labels, paths, like.batch_size)).accuracy

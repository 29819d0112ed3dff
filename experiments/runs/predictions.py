"""The verdicts of a run on each image, written by the run and read by the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnnzoo.data.table import read_own, write_table
from cnnzoo.evaluation.calibration import Decision, decide, with_temperature
from experiments.runs.left import validation_file
from experiments.runs.records import RunRecord

if TYPE_CHECKING:
    from cnnzoo.data.pipeline import ImageSet
    from cnnzoo.evaluation.scores import Scores

BATCH = 16  # test images that are shown with their verdicts


@dataclass(frozen=True, eq=False)
class Predictions:
    """n images: path, group, true class id, (n, classes) probabilities, what a run makes of these.

    `calibrated` are the probabilities with the run's temperature, `decided` the class ids by its threshold.
    `folds` has the number of the fold of each, where several runs tested a fold each; `distances` how far
    each is from the training images, above 1 of what is unlike them, where the run measured it.
    """

    paths: tuple[str, ...]
    groups: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    calibrated: npt.NDArray[np.float64]
    decided: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64] | None = None
    distances: npt.NDArray[np.float64] | None = None

    @property
    def right(self) -> npt.NDArray[np.float64]:
        """(n,) 1 where the most probable class is the true one, else 0."""
        return (self.probabilities.argmax(axis=1) == self.labels).astype(float)


def read_predictions(folder: Path, record: RunRecord, other: str = "") -> Predictions | None:
    """Returns a run's test images, or those of another data set; None where the file is missing."""
    path = folder / "predictions" / record.predictions_file(other)
    try:
        found = read_verdicts(path, record.data.class_names, _decision(record))
    except (OSError, KeyError, ValueError):
        return None
    if record.result is None:
        return None
    images = record.result.others.get(other, {}).get("images") if other else record.result.test_images
    return found if len(found.paths) == images else None


def read_validation(folder: Path, record: RunRecord) -> Predictions | None:
    """Returns the images that a run chose its epoch and its threshold by; None where the file is missing."""
    path = folder / "predictions" / validation_file(record.run_name, record.identity)
    try:
        return read_verdicts(path, record.data.class_names, _decision(record))
    except (OSError, KeyError, ValueError):
        return None


def _decision(record: RunRecord) -> Decision:
    result = record.result
    point = (result and result.operating_point) or {}
    return Decision(result.temperature if result else 1.0, record.data.positive, point.get("threshold"))


def read_verdicts(path: Path, class_names: Sequence[str], decision: Decision | None = None) -> Predictions:
    """Reads what `write_predictions` wrote, and decides as the run did.

    Raises:
        OSError: it can't be read.
        KeyError, ValueError: it is no such file.
    """
    lines = read_own(path)
    labels = {name: label for label, name in enumerate(class_names)}
    how = decision or Decision()
    probabilities = np.array([[float(line[f"p_{name}"]) for name in class_names] for line in lines])
    calibrated = with_temperature(probabilities, how.temperature) if decision else probabilities
    return Predictions(
        paths=tuple(line["path"] for line in lines),
        groups=tuple(line["group"] for line in lines),
        labels=np.array([labels[line["actual"]] for line in lines]),
        probabilities=probabilities,
        calibrated=calibrated,
        decided=decide(calibrated, class_names, how),
        distances=np.array([float(line["distance"]) for line in lines]) if "distance" in lines[0] else None,
    )


def batch_places(count: int) -> list[int]:
    """Draws the images of the test batch from `count`: the same for every run on the same test images."""
    return np.random.default_rng(0).permutation(count)[:BATCH].tolist()


def write_predictions(
    path: Path,
    images: "ImageSet",
    scores: "Scores",
    class_names: Sequence[str],
    groups: Sequence[int],
    distances: npt.NDArray[np.float64] | None = None,
) -> None:
    """Writes a row per image: path, group, actual and predicted class, raw probabilities.

    With `distances` its own too, above 1 of what is unlike the training images.
    """
    lines = [
        [image, group, class_names[label], class_names[best], *(f"{p:.6f}" for p in row)]
        for image, group, label, best, row in zip(
            images.paths, groups, scores.labels, scores.predicted, scores.probabilities, strict=True
        )
    ]
    path.parent.mkdir(exist_ok=True)
    titles = ["path", "group", "actual", "predicted", *(f"p_{name}" for name in class_names)]
    if distances is not None:
        titles.append("distance")
        for line, distance in zip(lines, distances, strict=True):
            line.append(f"{distance:.4f}")
    write_table(path, titles, lines)

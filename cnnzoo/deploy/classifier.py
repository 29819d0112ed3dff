"""Saving a trained model with its class names, loading it, and asking it about image files."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import read_image, resize_image
from cnnzoo.errors import InputError, one_line
from cnnzoo.evaluation.calibration import Decision, decide, with_temperature
from cnnzoo.evaluation.scores import class_probabilities
from cnnzoo.files import replaced_whole

_MEMBER = "cnnzoo.json"


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained model and all that it takes to ask it."""

    model: keras.Model
    class_names: tuple[str, ...]
    decision: Decision = Decision()


@dataclass(frozen=True, eq=False)
class Prediction:
    """The verdict on one file; `error` says why there is none."""

    path: Path
    class_name: str = ""
    probability: float = 0.0
    probabilities: npt.NDArray[np.float64] | None = None
    error: str = ""


def save_model(
    model: keras.Model,
    path: str | Path,
    *,
    class_names: Sequence[str],
    decision: Decision = Decision(),
) -> None:
    """Writes one .keras file that holds the model, the names of its classes and how it decides.

    They go into the .keras archive as a member of their own, which `keras.saving.load_model` ignores.
    """
    # The optimiser's state would triple the file, and nothing here resumes from it.
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        with replaced_whole(Path(path)) as unfinished:
            model.save(unfinished)
            with zipfile.ZipFile(unfinished, "a") as archive:
                content = {"class_names": list(class_names), "decision": asdict(decision)}
                archive.writestr(_MEMBER, json.dumps(content))
    finally:
        model.optimizer = optimizer


def load_model(path: str | Path) -> Classifier:
    """Returns the model in a .keras file with its class names and decision; nothing in it is executed.

    A file that `save_model` did not write gets the names "class 0", "class 1", ….

    Raises:
        InputError: no such file, or no .keras model, or one with code in it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; a comparison writes its models to OUT/models/*.keras")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a .keras model file")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise InputError(f"{path}: can't be loaded as a Keras model: {one_line(error)}") from error
    try:
        content = _member(path)
        decision = Decision(**content.get("decision", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {_MEMBER} in it is damaged: {one_line(error)}") from error
    names = content.get("class_names") or [f"class {i}" for i in range(max(2, model.output_shape[-1]))]
    return Classifier(model, tuple(names), decision)


def _member(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(_MEMBER)) if _MEMBER in archive.namelist() else {}


def predict(
    classifier: Classifier, paths: Sequence[str | Path], *, batch_size: int = 32
) -> Iterator[Prediction]:
    """Yields the verdict on each file, in order, a batch at a time.

    Any size and mode of image is taken; it is resized to the model's input, not cropped. Probabilities are
    calibrated by the classifier's temperature. A file that is no image gives a `Prediction` with an error,
    and the rest go on.
    """
    size = classifier.model.input_shape[1]
    for first in range(0, len(paths), batch_size):
        batch = [_read(Path(path), size) for path in paths[first : first + batch_size]]
        images = [image for _, image, _ in batch if image is not None]
        if images:
            rows = iter(_probabilities(classifier, np.stack(images)))
        for path, image, error in batch:
            yield Prediction(path, error=error) if image is None else _verdict(path, next(rows), classifier)


def _read(path: Path, size: int) -> tuple[Path, npt.NDArray[np.uint8] | None, str]:
    try:
        return path, resize_image(read_image(path), size), ""
    except InputError as error:
        return path, None, str(error)


def _probabilities(classifier: Classifier, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    raw = class_probabilities(np.asarray(classifier.model.predict_on_batch(images)))
    return with_temperature(raw, classifier.decision.temperature)


def _verdict(path: Path, probabilities: npt.NDArray[np.float64], classifier: Classifier) -> Prediction:
    best = decide(probabilities[None], classifier.class_names, classifier.decision)[0]
    return Prediction(path, classifier.class_names[best], float(probabilities[best]), probabilities)

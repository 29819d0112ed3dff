"""Saving a trained model with its class names, loading it, and asking it about image files."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from cnnzoo.data.images import read_image, resize_image
from cnnzoo.errors import InputError
from cnnzoo.evaluation import class_probabilities

_CLASSES = "cnnzoo.json"


@dataclass(frozen=True, eq=False)
class Prediction:
    """The verdict on one file; `error` says why there is none."""

    path: Path
    class_name: str = ""
    probability: float = 0.0
    probabilities: npt.NDArray[np.float32] | None = None
    error: str = ""


def save_model(model: keras.Model, path: str | Path, *, class_names: Sequence[str]) -> None:
    """Writes one .keras file that holds the model and the names of its classes.

    The names go into the .keras archive as a member of their own, which `keras.saving.load_model` ignores.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.stem}.part.keras")
    # The optimiser's state would triple the file, and nothing here resumes from it.
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        model.save(unfinished)
        with zipfile.ZipFile(unfinished, "a") as archive:
            archive.writestr(_CLASSES, json.dumps({"class_names": list(class_names)}))
        unfinished.replace(path)
    finally:
        model.optimizer = optimizer
        unfinished.unlink(missing_ok=True)


def load_model(path: str | Path) -> tuple[keras.Model, tuple[str, ...]]:
    """Returns the model in a .keras file and its class names; nothing in the file is executed.

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
        raise InputError(f"{path}: can't be loaded as a Keras model: {_first_line(error)}") from error
    names = _class_names(path) or tuple(f"class {i}" for i in range(max(2, model.output_shape[-1])))
    return model, names


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _class_names(path: Path) -> tuple[str, ...]:
    with zipfile.ZipFile(path) as archive:
        if _CLASSES not in archive.namelist():
            return ()
        return tuple(json.loads(archive.read(_CLASSES))["class_names"])


def predict(
    model: keras.Model, paths: Sequence[str | Path], *, class_names: Sequence[str], batch_size: int = 32
) -> Iterator[Prediction]:
    """Yields the verdict on each file, in order, a batch at a time.

    Any size and mode of image is taken; it is resized to the model's input, not cropped. A file that is no
    image gives a `Prediction` with an error, and the rest go on.
    """
    size = model.input_shape[1]
    for first in range(0, len(paths), batch_size):
        batch = [_read(Path(path), size) for path in paths[first : first + batch_size]]
        images = [image for _, image, _ in batch if image is not None]
        if images:
            rows = iter(class_probabilities(model.predict_on_batch(np.stack(images))))
        for path, image, error in batch:
            yield Prediction(path, error=error) if image is None else _verdict(path, next(rows), class_names)


def _read(path: Path, size: int) -> tuple[Path, npt.NDArray[np.uint8] | None, str]:
    try:
        return path, resize_image(read_image(path), size), ""
    except InputError as error:
        return path, None, str(error)


def _verdict(path: Path, probabilities: npt.NDArray[np.float32], class_names: Sequence[str]) -> Prediction:
    best = int(np.argmax(probabilities))
    return Prediction(path, class_names[best], float(probabilities[best]), probabilities)

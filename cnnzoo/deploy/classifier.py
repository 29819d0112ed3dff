"""Saving a trained model with its class names, loading it, and asking it about image files."""

import json
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.backend.common import global_state

from cnnzoo.backend import use_own_settings
from cnnzoo.data.images import resize_image
from cnnzoo.deploy.archive import read_archive, refused
from cnnzoo.deploy.building_blocks import check_config
from cnnzoo.deploy.origin import Origin
from cnnzoo.deploy.parts import (
    OURS,
    check_likeness,
    checked_parts,
    content_of,
    likeness_of,
    origin_of,
    parts_of,
)
from cnnzoo.deploy.requirements import check_answers, check_fit, check_size, check_weights
from cnnzoo.deploy.verdicts import Ask, Prediction, adapted_to, asked, verdicts, with_threshold_for
from cnnzoo.errors import InputError, kind_of, one_line, printable
from cnnzoo.evaluation.adapting import sound_reference
from cnnzoo.evaluation.calibration import Decision, with_temperature
from cnnzoo.evaluation.likeness import Likeness
from cnnzoo.evaluation.scores import class_probabilities
from cnnzoo.files import replaced_whole
from cnnzoo.models.folding import models_within
from cnnzoo.models.shipped import shipped_file, shipped_models


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained model and all that it takes to ask it.

    `image_pixels`: usual width and height of the images that it learnt from, before they were resized;
    `likeness`: what these look like. Both are None where the file doesn't say. `origin`: what it was trained
    by and from.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    decision: Decision = Decision()
    image_pixels: tuple[int, int] | None = None
    likeness: Likeness | None = None
    origin: Origin = Origin()


def save_model(
    model: keras.Model,
    path: str | Path,
    *,
    class_names: Sequence[str],
    decision: Decision = Decision(),
    image_pixels: tuple[int, int] | None = None,
    likeness: Likeness | None = None,
    origin: Origin = Origin(),
) -> None:
    """Writes one .keras file that holds the model, the names of its classes and how it decides.

    `image_pixels` is the usual width and height of the images before they were resized: `predict` warns of
    much larger ones. `likeness` says what the training images look like, to tell what is unlike them;
    `origin` which recipe, images and version of cnnzoo the model is from. All this goes into the .keras
    archive as a member of its own, which `keras.saving.load_model` ignores.

    Raises:
        InputError: the file has another suffix, the names are not one for each class of the model, or the
            decision can't be one.
    """
    try:
        checked_parts(class_names, decision, image_pixels, model.output_shape[-1])
        check_likeness(likeness)
    except ValueError as error:
        raise InputError(str(error)) from error
    if Path(path).suffix != ".keras":
        raise InputError(f"{path}: a model file ends in .keras")
    # The optimiser's state would triple the file, and nothing here resumes from it; without it, how the model
    # was compiled would make plain Keras warn of its absence at every load.
    parts = models_within(model)
    before = [(getattr(part, "optimizer", None), part.compiled) for part in parts]
    for part in parts:
        part.optimizer, part.compiled = None, False
    try:
        with replaced_whole(Path(path)) as unfinished:
            model.save(unfinished)
            with zipfile.ZipFile(unfinished, "a") as archive:
                content = content_of(class_names, decision, image_pixels, likeness, origin)
                archive.writestr(OURS, json.dumps(content))
    finally:
        for part, (optimizer, compiled) in zip(parts, before, strict=True):
            part.optimizer, part.compiled = optimizer, compiled


def load_model(path: str | Path) -> Classifier:
    """Returns the model in a .keras file with its class names and decision; nothing in it is executed.

    "crack_net" is the network that comes with cnnzoo, trained on photographs of concrete and drawn surfaces.

    The file is looked at before Keras reads it: its sizes, the building blocks that it names, what the model
    takes and gives. A file that `save_model` did not write gets the names "class 0", "class 1", ….

    Raises:
        InputError: no such file, or no .keras model of square RGB images that gives probabilities, or one
            that needs code of others.
    """
    if str(path) in shipped_models() and not Path(path).is_file():
        path = shipped_file(str(path))
    path = Path(path)
    if not path.is_file():
        what = "no regular file" if path.exists() else "no such file"
        raise InputError(f"{printable(path)}: {what}; a comparison writes its models to OUT/models/*.keras")
    use_own_settings()
    found = read_archive(path)
    with refused(path):
        check_config(found.config)
        parts = parts_of(found.ours, _outputs(found.config, found.weights_size))
        likeness, origin = likeness_of(found.ours), origin_of(found.ours)
        with warnings.catch_warnings():
            # Keras only warns where it finds no weights for a layer, and leaves it with random ones.
            warnings.filterwarnings("error", category=UserWarning, module=r"keras\.src\.saving")
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        check_weights(model)
        check_answers(model)
    return Classifier(model, *parts, likeness, origin)


def _outputs(config: dict[str, Any], weights_size: int) -> int:
    """Returns the outputs of the model that a config describes, which is built without its weights."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
            check_fit(model)
            check_size(model, weights_size)
            return int(model.outputs[0].shape[1])
    finally:
        # Keras would give them memory at the end of any other such scope.
        global_state.set_global_attribute("uninitialized_variables", [])


def predict(
    classifier: Classifier | str | Path, paths: str | Path | Sequence[str | Path], *, batch_size: int = 32
) -> Iterator[Prediction]:
    """Yields the verdict on each file, in order, a batch at a time.

    Any size and mode of image is taken; it is resized to the model's input, not cropped. Probabilities are
    calibrated by the classifier's temperature. A file that is no image gives a `Prediction` with an error,
    and the rest go on.

    Args:
        classifier: what `load_model` returns, or the .keras file to load.
        paths: image files, or one of them.
        batch_size: images at a time.

    Raises:
        InputError: the classifier or the paths are something else, or the file can't be loaded.
    """
    classifier = checked(classifier, batch_size)
    return verdicts(classifier, *asking(classifier), files_of(paths), batch_size)


def files_of(paths: str | Path | Sequence[str | Path], called: str = "predict") -> list[Path]:
    """Returns the paths as a list.

    Raises:
        InputError: they are something else.
    """
    files = [paths] if isinstance(paths, str) or not isinstance(paths, Iterable) else list(paths)
    if odd := [file for file in files if not isinstance(file, str | Path)]:
        raise InputError(
            f"{called} takes paths of image files, not {kind_of(odd[0])}; for arrays use the model"
        )
    return [Path(file) for file in files]


def checked(classifier: Classifier | str | Path, batch_size: int, called: str = "predict") -> Classifier:
    """Returns a classifier that can be asked, loaded where a file is named.

    Raises:
        InputError: it can't be asked, or the file can't be loaded, or the batch is empty.
    """
    if isinstance(classifier, str | Path):
        classifier = load_model(classifier)
    if not isinstance(classifier, Classifier):
        raise InputError(
            f"{called} takes a Classifier, as load_model returns it, or a .keras file; not "
            f"{kind_of(classifier)}"
        )
    try:
        check_fit(classifier.model)
        parts = classifier.class_names, classifier.decision, classifier.image_pixels
        checked_parts(*parts, classifier.model.output_shape[-1])
        check_likeness(classifier.likeness)
    except ValueError as error:
        raise InputError(f"the classifier can't be asked: {one_line(error)}") from error
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1")
    return classifier


def adapt(
    classifier: Classifier | str | Path,
    images: str | Path | Sequence[str | Path] | npt.NDArray[np.uint8],
    *,
    batch_size: int = 32,
) -> Classifier:
    """Returns the classifier with a threshold for the surface that the images show; no label is used.

    See `cnnzoo.evaluation.adapting`. Files that are no images are passed over.

    Args:
        classifier: what `load_model` returns, or the .keras file to load; of two classes, one positive.
        images: of one surface, with cracks or without, 32 or more: image files, or RGB in [0, 255],
            (n, height, width, 3) uint8.
        batch_size: images at a time.

    Raises:
        InputError: as `predict`, the array is another one, or the classifier doesn't say how sound images
            score.
    """
    classifier = checked(classifier, batch_size, "adapt")
    sound_reference(classifier.decision, classifier.class_names)  # before all images are read
    if not isinstance(images, np.ndarray):
        return adapted_to(classifier, list(predict(classifier, images, batch_size=batch_size)))
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"adapt takes (n, height, width, 3) uint8 or paths, not {images.shape} {images.dtype}"
        )
    size, ask = asking(classifier)
    rows = [
        asked(ask, np.stack([resize_image(image, size) for image in images[i : i + batch_size]]))
        for i in range(0, len(images), batch_size)
    ]
    return with_threshold_for(classifier, np.concatenate(rows) if rows else None)


def probabilities_of(classifier: Classifier, outputs: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns calibrated probabilities, (n, classes), of what the classifier's model gave."""
    return with_temperature(class_probabilities(np.asarray(outputs)), classifier.decision.temperature)


def asking(classifier: Classifier) -> tuple[int, Ask]:
    """Returns the side of its input, and what answers for it."""

    def ask(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return probabilities_of(classifier, classifier.model.predict_on_batch(images))

    return int(classifier.model.input_shape[1]), ask

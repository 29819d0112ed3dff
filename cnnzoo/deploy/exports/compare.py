"""What an exported file says beside the model that it was made of, in its own runtime."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnnzoo.deploy.classifier import Classifier, asking
from cnnzoo.deploy.exports.runtimes import run_in
from cnnzoo.deploy.verdicts import Ask
from cnnzoo.errors import InputError, one_line
from cnnzoo.evaluation.calibration import decide
from cnnzoo.evaluation.speed import median_milliseconds

BATCH = 32


@dataclass(frozen=True)
class Comparison:
    """An exported file beside its model.

    Attributes:
        images: how many both were asked about.
        largest_difference: of the probabilities.
        changed: images with another verdict.
        accuracy, accuracy_before: of the file and of the model, where the right classes are known.
        bytes, bytes_before: sizes of both.
        milliseconds_1, milliseconds_32: of the file, for one image and for 32 at a time; medians.
        milliseconds_1_before, milliseconds_32_before: of the model.
    """

    images: int
    largest_difference: float
    changed: int
    accuracy: float | None
    accuracy_before: float | None
    bytes: int
    bytes_before: int
    milliseconds_1: float
    milliseconds_1_before: float
    milliseconds_32: float
    milliseconds_32_before: float

    @property
    def changed_share(self) -> float:
        """Share of the images with another verdict."""
        return self.changed / self.images


def compare_export(
    classifier: Classifier,
    model_file: Path,
    exported: Path,
    form: str,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None = None,
) -> Comparison:
    """Asks both about (n, side, side, 3) images, whose classes `labels` are if known, and times them.

    Raises:
        InputError: the file does not run in its runtime, or answers no numbers.
    """
    _, before = asking(classifier)
    try:
        after = run_in(form, exported)
        old, new = (_all(ask, images) for ask in (before, after))
    except InputError:
        raise
    except Exception as error:  # of the runtime, which has its own
        raise InputError(f"the exported file does not run: {one_line(error)}") from error
    if not np.isfinite(new).all():
        raise InputError("the exported file gives answers that are no numbers")
    full = np.resize(images, (BATCH, *images.shape[1:]))
    verdicts = [decide(found, classifier.class_names, classifier.decision) for found in (old, new)]
    right = [None if labels is None else float((said == labels).mean()) for said in verdicts]
    return Comparison(
        images=len(images),
        largest_difference=float(np.abs(old - new).max()),
        changed=int((verdicts[0] != verdicts[1]).sum()),
        accuracy=right[1],
        accuracy_before=right[0],
        bytes=_bytes(exported, form),
        bytes_before=model_file.stat().st_size,
        milliseconds_1=median_milliseconds(lambda: after(images[:1])),
        milliseconds_1_before=median_milliseconds(lambda: before(images[:1])),
        milliseconds_32=median_milliseconds(lambda: after(full)),
        milliseconds_32_before=median_milliseconds(lambda: before(full)),
    )


def _all(ask: Ask, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return np.concatenate([ask(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def _bytes(path: Path, form: str) -> int:
    files = [path]
    if form == "openvino":
        files.append(path.with_suffix(".bin"))
    elif path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)

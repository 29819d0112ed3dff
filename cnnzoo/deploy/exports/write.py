"""A classifier as one file for another program: uint8 RGB in, calibrated probabilities out."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cnnzoo.deploy.classifier import Classifier, save_model
from cnnzoo.deploy.exports.runtimes import CONTENT, IMAGES, MODEL, PACKAGES, SUFFIXES, needed
from cnnzoo.deploy.parts import content_of
from cnnzoo.errors import InputError, printable
from cnnzoo.files import temporary_folder
from cnnzoo.processes import how_it_ended, own_environment, own_module


def write_export(
    classifier: Classifier, path: Path, form: str, representative: npt.NDArray[np.uint8] | None = None
) -> None:
    """Writes a classifier in one of the formats of `SUFFIXES`, with all that the model file says of it.

    The file takes (n, side, side, 3) RGB uint8 and gives (n, classes) calibrated probabilities: scaling and
    temperature are inside. Names of the classes, the threshold and the rest are in the metadata of ONNX and
    OpenVINO under "cnnzoo", in `cnnzoo.json` in the ZIP archive behind a .tflite file, and in
    `assets.extra/cnnzoo.json` of a SavedModel.

    Args:
        classifier: what `load_model` returns.
        path: to write to; a new folder for "saved_model".
        form: one of `SUFFIXES`.
        representative: (n, side, side, 3) images of the training side, which set the ranges of 8-bit numbers;
            for "litert-int8" alone.

    Raises:
        InputError: the converter is not installed, a folder is there, or it can't convert this model.
    """
    if path.is_dir():
        raise InputError(f"{printable(path)}: a folder is there already")
    for package, program in PACKAGES.get(form, ()):
        needed(package, program)
    if form != "litert-int8":
        representative = None
    elif representative is None:
        raise InputError("litert-int8 needs images of the training side, for the ranges of its numbers")
    scratch = temporary_folder("export")
    try:
        given, result = scratch / "given", scratch / "result"
        given.mkdir()
        result.mkdir()
        _hand_over(classifier, representative, given)
        _convert(given, result / f"model{SUFFIXES[form]}", form)
        for made in sorted(result.iterdir()):
            shutil.move(made, path.with_suffix(made.suffix) if form == "openvino" else path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _hand_over(classifier: Classifier, representative: npt.NDArray[np.uint8] | None, folder: Path) -> None:
    """Writes what `convert` takes: the model, what its file is to say of it, and images if there are some."""
    names, decision = classifier.class_names, classifier.decision
    save_model(classifier.model, folder / MODEL, class_names=names, decision=decision)
    outside, pixels = replace(decision, temperature=1.0), classifier.image_pixels  # which will be inside
    content = content_of(names, outside, pixels, classifier.likeness, classifier.origin)
    side = int(classifier.model.input_shape[1])
    content |= {"image_size": side, "temperature_inside": decision.temperature}
    (folder / CONTENT).write_text(json.dumps(content))
    if representative is not None:
        np.save(folder / IMAGES, representative)


def _convert(given: Path, path: Path, form: str) -> None:
    environment = own_environment() | {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TMPDIR": str(given),  # what a converter that is killed leaves goes too
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python" if form in PACKAGES else "upb",
    }
    done = subprocess.run(  # noqa: S603 - a command of ours, without a shell
        own_module("cnnzoo.deploy.exports.convert", given, path, form),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        ended = f"the converter was {how_it_ended(done.returncode)}"
        reason = said[-1] if done.returncode > 0 and said else ended
        raise InputError(f"the model can't be converted to {form}: {reason}")

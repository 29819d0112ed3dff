"""A classifier as one file for another program: uint8 RGB in, calibrated probabilities out."""

import json
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cnnzoo.deploy.classifier import Classifier
from cnnzoo.deploy.exports.runtimes import KEY, SUFFIXES, needed
from cnnzoo.deploy.parts import OURS, content_of
from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.evaluation.calibration import TINY

_OPSET = 18  # of ONNX, 2022: onnxruntime 1.14 and later


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
    content = _content(classifier)
    model = deployed(classifier)
    with TemporaryDirectory() as scratch:
        unfinished = Path(scratch) / f"model{SUFFIXES[form]}"
        try:
            _convert(model, unfinished, form, representative, content)
        except InputError:
            raise
        except Exception as error:  # of three converters, each with its own
            raise InputError(f"the model can't be converted to {form}: {one_line(error)}") from error
        for made in sorted(Path(scratch).iterdir()):
            shutil.move(made, path.with_suffix(made.suffix) if form == "openvino" else path)


def deployed(classifier: Classifier) -> keras.Model:
    """Returns the model with everything inside: images as they are read, and its temperature."""
    model = classifier.model
    images = keras.Input((*model.input_shape[1:3], 3), dtype="uint8", name="image")
    p = model(ops.cast(images, "float32"))
    if p.shape[-1] == 1:
        p = ops.concatenate([1 - p, p], axis=-1)
    logits = ops.log(ops.maximum(p, TINY)) / classifier.decision.temperature
    # A softmax in steps that every converter knows.
    powers = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    whole = keras.Model(images, powers / ops.sum(powers, axis=-1, keepdims=True), name="deployed")
    whole(np.zeros((1, *whole.input_shape[1:]), np.uint8))  # Keras exports no model that was never called
    return whole


def _content(classifier: Classifier) -> str:
    """What is said of the model; its temperature is inside of it."""
    decision = replace(classifier.decision, temperature=1.0)
    names, pixels = classifier.class_names, classifier.image_pixels
    content = content_of(names, decision, pixels, classifier.likeness, classifier.origin)
    side = int(classifier.model.input_shape[1])
    return json.dumps({**content, "image_size": side, "temperature_inside": classifier.decision.temperature})


def _convert(
    model: keras.Model, path: Path, form: str, representative: npt.NDArray | None, content: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converters' own code
        if form == "saved_model":
            model.export(path, verbose=False)
            (path / "assets.extra").mkdir()
            (path / "assets.extra" / OURS).write_text(content)
        elif form.startswith("litert"):
            model.export(path, format="litert", verbose=False, **_quantised(form, representative))
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(OURS, content)
        elif form == "onnx":
            _write_onnx(model, path, content)
        else:
            _write_openvino(model, path, content)


def _quantised(form: str, representative: npt.NDArray | None) -> dict[str, Any]:
    if form != "litert-int8":
        return {}
    if representative is None:
        raise InputError("litert-int8 needs images of the training side, which set the ranges of its numbers")
    import tensorflow as tf

    kinds = tf.lite.OpsSet
    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: ([image[None]] for image in representative),
        "target_spec": {"supported_ops": [kinds.TFLITE_BUILTINS_INT8, kinds.TFLITE_BUILTINS]},
    }


def _write_onnx(model: keras.Model, path: Path, content: str) -> None:
    onnx = needed("onnx", "ONNX")
    needed("tf2onnx", "ONNX")
    model.export(path, format="onnx", verbose=False, opset_version=_OPSET)
    written = onnx.load(path)
    onnx.helper.set_model_props(written, {KEY: content})
    old, written.graph.output[0].name = written.graph.output[0].name, "probabilities"
    for node in written.graph.node:
        node.output[:] = ["probabilities" if name == old else name for name in node.output]
        node.input[:] = ["probabilities" if name == old else name for name in node.input]
    onnx.checker.check_model(written)
    onnx.save(written, path)


def _write_openvino(model: keras.Model, path: Path, content: str) -> None:
    openvino = needed("openvino", "OpenVINO")
    with TemporaryDirectory() as scratch:
        between = Path(scratch) / "model.onnx"
        _write_onnx(model, between, content)
        converted = openvino.convert_model(between)
        converted.set_rt_info(content, [KEY])
        openvino.save_model(converted, path, compress_to_fp16=False)
        del converted  # it may still read the file

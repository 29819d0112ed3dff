"""Exported files in the programs that run them: no TensorFlow or Keras is imported for ONNX and LiteRT."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnzoo.deploy.origin import Origin
from cnnzoo.deploy.parts import (
    LARGEST_TEXT,
    OURS,
    are_probabilities,
    likeness_of,
    object_in,
    origin_of,
    parts_of,
)
from cnnzoo.deploy.verdicts import Ask
from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.evaluation.calibration import Decision
from cnnzoo.evaluation.likeness import Likeness

KEY = "cnnzoo"  # of what we say of a model, in the metadata of a format that has any
SUFFIXES = {"onnx": ".onnx", "litert": ".tflite", "litert-int8": ".tflite", "openvino": ".xml"}
SUFFIXES |= {"saved_model": ""}
_ONNX = (("onnx", "ONNX"), ("tf2onnx", "ONNX"))
PACKAGES = {"onnx": _ONNX, "openvino": (*_ONNX, ("openvino", "OpenVINO"))}  # that converters need
MODEL, CONTENT, IMAGES = "model.keras", "content.json", "images.npy"  # that a converter is handed
READABLE = (".onnx", ".tflite")
LARGEST = 2 << 30  # bytes


@dataclass(frozen=True, eq=False)
class Exported:
    """An exported model in its runtime; what it answers is calibrated already.

    Attributes:
        ask: gives the probabilities, (n, classes), of (n, size, size, 3) uint8 RGB images.
        size: side of the images, pixels.
        class_names, decision, image_pixels, likeness, origin: as of a `cnnzoo.Classifier`; the temperature
            is 1, as that of the model was applied inside.
    """

    ask: Ask
    size: int
    class_names: tuple[str, ...]
    decision: Decision = Decision()
    image_pixels: tuple[int, int] | None = None
    likeness: Likeness | None = None
    origin: Origin = Origin()


def load_exported(path: str | Path) -> Exported:
    """Returns the model in an .onnx or .tflite file.

    Nothing in the file is executed but the operators that the runtime has itself.

    Raises:
        InputError: no such file, it can't be read, its runtime is not installed, or `cnnzoo export` did not
            write it: of others nobody knows how images are to be scaled, and whether they give probabilities.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{printable(path)}: {'no regular file' if path.exists() else 'no such file'}")
    if path.suffix not in READABLE:
        raise InputError(f"{printable(path)}: of exported files, {' and '.join(READABLE)} are read")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{printable(path)}: larger than {LARGEST >> 30} GiB")
    opened = _onnx if path.suffix == ".onnx" else _litert
    try:
        ask, shape, outputs, content = opened(path)
        return _checked(ask, shape, outputs, content)
    except InputError:
        raise
    except Exception as error:  # of the runtime, which has its own for each kind of damage
        raise InputError(f"{printable(path)}: can't be read as a model: {one_line(error)}") from error


def run_in(form: str, path: Path) -> Ask:
    """Returns what asks the file of any format, as its users would."""
    if form == "onnx":
        return _onnx(path)[0]
    if form.startswith("litert"):
        return _litert(path)[0]
    return _openvino(path) if form == "openvino" else _saved_model(path)


def needed(name: str, form: str) -> ModuleType:
    """Imports the package that a format needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"{form} needs the package {name.partition('.')[0].replace('_', '-')}, which is not installed: "
            "pip install 'cnnzoo[export]'"
        ) from error


_Opened = tuple[Ask, tuple[object, ...], int, Mapping[str, Any]]


def _onnx(path: Path) -> _Opened:
    runtime = needed("onnxruntime", "ONNX")
    settings = runtime.SessionOptions()
    settings.log_severity_level = 4  # what it warns of concerns nobody who asks a model
    session = runtime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    (taken,), given = session.get_inputs(), session.get_outputs()
    if taken.type != "tensor(uint8)":
        raise ValueError(f"expected images of uint8; it takes {taken.type}")

    def ask(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        return np.asarray(session.run([given[0].name], {taken.name: images})[0], np.float64)

    text = session.get_modelmeta().custom_metadata_map.get(KEY, "{}")
    return ask, tuple(taken.shape), given[0].shape[-1], object_in(text, KEY)


def _litert(path: Path) -> _Opened:
    interpreter_of: Callable[..., Any] = needed("ai_edge_litert.interpreter", "LiteRT").Interpreter
    interpreter = interpreter_of(str(path))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    if taken["dtype"] != np.uint8:
        raise ValueError(f"expected images of uint8; it takes {taken['dtype'].__name__}")
    asked = 0

    def ask(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        nonlocal asked
        if len(images) != asked:
            interpreter.resize_tensor_input(taken["index"], images.shape)
            interpreter.allocate_tensors()
            asked = len(images)
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(given["index"]), np.float64)

    return ask, tuple(taken["shape"]), int(given["shape"][-1]), _associated(path)


def _openvino(path: Path) -> Ask:
    openvino = needed("openvino", "OpenVINO")
    # On some processors it would compute in bfloat16 unasked.
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: np.asarray(compiled(images)[0], np.float64)


def _saved_model(path: Path) -> Ask:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # which owns the weights: its function alone would lose them
    return lambda images: np.asarray(loaded.serve(images), np.float64)


def _checked(ask: Ask, shape: tuple[object, ...], outputs: int, content: Mapping[str, Any]) -> Exported:
    if not content:
        raise ValueError("cnnzoo export did not write it, so that nothing says what it takes and gives")
    size = shape[1] if len(shape) == 4 else None
    if len(shape) != 4 or shape[3] != 3 or size != shape[2] or not isinstance(size, int | np.integer):
        raise ValueError(f"expected an input of (n, side, side, 3), square RGB images; it is {shape}")
    if not isinstance(outputs, int):
        raise ValueError("it does not say how many classes it gives probabilities of")
    try:
        names, decision, pixels = parts_of(content, outputs)
        likeness, origin = likeness_of(content), origin_of(content)
    except AttributeError as error:
        raise ValueError("what cnnzoo says of it is damaged") from error
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    answers = ask(images)
    if answers.shape != (2, len(names)) or not are_probabilities(answers):
        raise ValueError("expected a probability for each class; its answers are none")
    return Exported(ask, int(size), names, decision, pixels, likeness, origin)


def _associated(path: Path) -> dict[str, Any]:
    """What is kept as the format's associated files are: in a ZIP archive behind the model."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(OURS).file_size > LARGEST_TEXT:
                raise ValueError(f"{OURS} in it is larger than {LARGEST_TEXT >> 20} MiB")
            return object_in(archive.read(OURS), OURS)
    except (zipfile.BadZipFile, KeyError):
        return {}

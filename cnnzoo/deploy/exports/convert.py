"""`python -m cnnzoo.deploy.exports.convert FOLDER FILE FORMAT`: the conversion, in a process of its own.

Converters take memory that they don't give back, and may end the process with them. Beside that, onnx needs
the pure Python implementation of protobuf, which is chosen for a whole process: the other one keeps each copy
that tf2onnx makes of the weights, 50 times the size of the file.
"""

import argparse
import sys
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cnnzoo.deploy.classifier import Classifier, load_model
from cnnzoo.deploy.exports.runtimes import CONTENT, IMAGES, KEY, MODEL, needed
from cnnzoo.deploy.parts import OURS
from cnnzoo.errors import one_line
from cnnzoo.evaluation.calibration import TINY

_OPSET = 18  # of ONNX, 2022: onnxruntime 1.14 and later


def deployed(classifier: Classifier) -> keras.Model:
    """Returns the model with everything inside: images as they are read, and its temperature."""
    model = classifier.model
    images = keras.Input((*model.input_shape[1:3], 3), dtype="uint8", name="image")
    # Said here, or else a Resizing or augmentation layer inside brings all behind it into training mode.
    p = model(ops.cast(images, "float32"), training=False)
    if p.shape[-1] == 1:
        p = ops.concatenate([1 - p, p], axis=-1)
    logits = ops.log(ops.maximum(p, TINY)) / classifier.decision.temperature
    # A softmax in steps that every converter knows.
    powers = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    whole = keras.Model(images, powers / ops.sum(powers, axis=-1, keepdims=True), name="deployed")
    whole(np.zeros((1, *whole.input_shape[1:]), np.uint8))  # Keras exports no model that was never called
    return whole


def _convert(model: keras.Model, path: Path, form: str, content: str, images: npt.NDArray | None) -> None:
    if form == "saved_model":
        model.export(path, verbose=False)
        (path / "assets.extra").mkdir()
        (path / "assets.extra" / OURS).write_text(content)
    elif form.startswith("litert"):
        model.export(path, format="litert", verbose=False, **({} if images is None else _quantised(images)))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(OURS, content)
    elif form == "onnx":
        _write_onnx(model, path, content)
    else:
        _write_openvino(model, path, content)


def _quantised(images: npt.NDArray[np.uint8]) -> dict[str, Any]:
    import tensorflow as tf

    kinds = tf.lite.OpsSet
    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: ([image[None]] for image in images),
        "target_spec": {"supported_ops": [kinds.TFLITE_BUILTINS_INT8, kinds.TFLITE_BUILTINS]},
    }


def _write_onnx(model: keras.Model, path: Path, content: str) -> None:
    """Converts the graph without its weights ("large model"), which are put back at the end: no copies."""
    import tensorflow as tf

    onnx, tf2onnx = needed("onnx", "ONNX"), needed("tf2onnx.convert", "ONNX")
    np.product = np.prod  # type: ignore[attr-defined] # its name in NumPy 1, by which tf2onnx 1.17 calls it
    needed("tf2onnx.handler", "ONNX").tf_op("Erfc")(_Erfc)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="image")]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    tf.config.run_functions_eagerly(True)  # grouped convolutions stay functions else
    made, kept = tf2onnx.from_function(function, signature, opset=_OPSET, large_model=True)
    _put_weights_in(made, kept.name_to_tensor_data)
    _put_constants_in(made, function.get_concrete_function(*signature).graph)
    onnx.helper.set_model_props(made, {KEY: content})
    old, made.graph.output[0].name = made.graph.output[0].name, "probabilities"
    for node in made.graph.node:
        node.output[:] = ["probabilities" if name == old else name for name in node.output]
        node.input[:] = ["probabilities" if name == old else name for name in node.input]
    onnx.save(made, path)
    onnx.checker.check_model(path)


def _put_weights_in(made: Any, kept: dict[str, bytes]) -> None:
    """Puts the weights, kept beside an ONNX model by their names, where it refers to them."""
    inline = [value.t for node in made.graph.node for value in node.attribute if value.HasField("t")]
    for tensor in (*made.graph.initializer, *inline):
        if tensor.external_data:
            tensor.raw_data = kept[tensor.external_data[0].value]
            tensor.ClearField("external_data")
            tensor.data_location = tensor.DEFAULT


def _put_constants_in(made: Any, graph: Any) -> None:
    """Turns inputs that are constants of layers into such: as of Normalization, they are no weights.

    `graph` is TensorFlow's, which they are captured in.
    """
    numpy_helper = needed("onnx.numpy_helper", "ONNX")
    constants = {inside.name: outside for outside, inside in graph.captures if outside.dtype != "resource"}
    for given in [taken for taken in made.graph.input if taken.name in constants]:
        made.graph.initializer.append(numpy_helper.from_array(constants[given.name].numpy(), given.name))
        made.graph.input.remove(given)


def _write_openvino(model: keras.Model, path: Path, content: str) -> None:
    openvino = needed("openvino", "OpenVINO")
    with TemporaryDirectory() as scratch:
        between = Path(scratch) / "model.onnx"
        _write_onnx(model, between, content)
        converted = openvino.convert_model(between)
        converted.set_rt_info(content, [KEY])
        openvino.save_model(converted, path, compress_to_fp16=False)
        del converted  # it may still read the file


class _Erfc:
    """erfc(x) = 1 - erf(x) for tf2onnx, which has the latter alone; Keras writes the exact GELU with it.

    The difference loses 6e-8 in 32-bit numbers, and GELU(x) = x/2 · erfc(-x/√2) (Hendrycks 2016) thereby less
    than 1e-6 where |x| < 30.
    """

    @classmethod
    def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
        """Rewrites one node; tf2onnx finds the method by its name, of the first version of ONNX with Erf."""
        node.type = "Erf"
        output = node.output[0]
        users = graph.find_output_consumers(output)
        one = graph.make_const(f"{node.name}_one", np.ones((), np.float32))
        rest = graph.make_node("Sub", [one.output[0], output], dtypes=[graph.get_dtype(output)])
        graph.copy_shape(output, rest.output[0])
        graph.replace_all_inputs(output, rest.output[0], ops=users)


def main() -> int:
    """Converts one model. The last line of stderr says what went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("given", type=Path, help="folder with what `write` hands over")
    parser.add_argument("path", type=Path)
    parser.add_argument("form")
    asked = parser.parse_args()
    given: Path = asked.given
    warnings.simplefilter("ignore")  # of the converters' own code
    images = np.load(given / IMAGES, allow_pickle=False) if (given / IMAGES).exists() else None
    try:
        model = deployed(load_model(given / MODEL))
        _convert(model, asked.path, asked.form, (given / CONTENT).read_text(), images)
    except Exception as error:  # of four converters, each with its own
        print(one_line(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

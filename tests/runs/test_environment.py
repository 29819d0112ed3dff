from types import SimpleNamespace

import keras
import pytest

from cnnzoo.gpu import Gpu
from experiments.reporting.sentences import machine_lines
from experiments.runs import environment


def test_the_environment_names_gpu_precision_and_the_missing_tensorflow(monkeypatch):
    monkeypatch.setattr(environment, "gpus", lambda: [Gpu("H100", bfloat16=True)] * 2)
    monkeypatch.setattr(environment, "has_tensorflow", lambda: False)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = environment.describe_environment()
    finally:
        keras.config.set_dtype_policy("float32")
    assert (found["device"], found["precision"], found["tensorflow"]) == ("H100, H100", "mixed_bfloat16", "")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (
            {"backend": "tensorflow", "tensorflow": "2.21.0", "backend_version": "2.21.0"},
            "TensorFlow 2.21.0, Keras 3.15.1 on tensorflow, cnnzoo",
        ),
        ({"backend": "jax", "tensorflow": "2.21.0"}, "TensorFlow 2.21.0, Keras 3.15.1 on jax, cnnzoo"),
        (
            {"backend": "jax", "tensorflow": "", "backend_version": "0.10.2", "precision": "mixed_bfloat16"},
            "Python ?, Keras 3.15.1 on jax 0.10.2 in mixed_bfloat16, cnnzoo",
        ),
    ],
)
def test_the_report_says_what_computed(known, said):
    record = SimpleNamespace(environment={"keras": "3.15.1", "precision": "float32", **known})
    (line,) = machine_lines([SimpleNamespace(finished=[record])])
    assert said in line

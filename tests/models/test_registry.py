"""The registry: names, metadata, and a clear line for every bad argument."""

import inspect
import subprocess
import sys

import pytest
from parity import OURS

from cnnzoo.errors import InputError
from cnnzoo.models import registry
from cnnzoo.models.catalogue import create_model, list_models, model_info
from cnnzoo.models.registry import register_model


def test_importing_the_registry_imports_no_framework():
    code = "import sys, cnnzoo.models.registry; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_list_models_is_sorted_and_takes_a_pattern():
    names = list_models()
    assert names == sorted(names)
    assert {"mobilenet_v2", "resnet50", "three_conv"} <= set(names)
    assert list_models("*net*") == [name for name in names if "net" in name]
    assert list_models("nothing*") == []


@pytest.mark.parametrize("name", OURS)
def test_entry_points_state_the_registered_size_and_take_keywords_only(name):
    info = model_info(name)
    parameters = inspect.signature(info.entry_point).parameters
    assert parameters["input_shape"].default == (info.image_size, info.image_size, 3)
    assert parameters["num_classes"].default == 2
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    assert info.source and info.url.startswith("https://") and info.year >= 1998
    assert info.weights_available == bool(info.weights_licence)


def test_model_info_counts_parameters():
    # 448 + 4,640 + 9,248 in the convolutions, 8,192 * 64 + 64 and 65 in the dense layers.
    assert model_info("three_conv").parameters == 448 + 4640 + 9248 + 8192 * 64 + 64 + 65


def test_a_new_model_is_known_at_once_and_its_name_is_then_taken(monkeypatch):
    monkeypatch.setattr(registry, "MODELS", dict(registry.MODELS))

    def tiny(*, input_shape=(64, 64, 3), num_classes=2, width=1):
        return input_shape, num_classes, width

    register = register_model(image_size=64, year=2024, source="this test")
    assert register(tiny) is tiny
    assert "tiny" in list_models()
    assert create_model("tiny", width=3) == ((64, 64, 3), 2, 3)
    with pytest.raises(ValueError, match="'tiny' is registered already"):
        register(tiny)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mobilnet_v2", {}, "unknown model 'mobilnet_v2'; near: mobilenet_v2"),
        ("vit", {}, "known: .*keras/..., .*mobilenet_v2, .*resnet50, .*three_conv"),
        ("ResNet152V2", {}, "near: keras/ResNet152V2"),
        ("mobilenet_v2", {"alfa": 1.0}, "no argument 'alfa'; known: .*alpha"),
        ("three_conv", {"input_shape": (64, 64)}, "three whole numbers"),
        ("three_conv", {"input_shape": (64.0, 64.0, 3)}, "three whole numbers"),
        ("three_conv", {"input_shape": (31, 64, 3)}, "at least 32"),
        ("three_conv", {"input_shape": (64, 64, 0)}, "at least 32"),
        ("three_conv", {"num_classes": 1}, "num_classes is 1"),
        ("three_conv", {"num_classes": 2.0}, "num_classes is 2.0"),
        ("three_conv", {"num_classes": True}, "num_classes is True"),
        ("three_conv", {"weights": "imagenet"}, "takes no pretrained weights"),
        ("three_conv", {"dropout": 1.0}, "dropout is 1.0"),
        ("mobilenet_v2", {"alpha": 0.0}, "alpha is 0.0"),
    ],
)
def test_bad_arguments_are_one_clear_line(name, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        create_model(name, **arguments)
    assert "\n" not in str(caught.value)

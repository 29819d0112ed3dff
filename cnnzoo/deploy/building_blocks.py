"""What the config of a model may name: Keras' own building blocks, and nothing that is imported for it.

`keras.saving.load_model` imports modules that a config names (`keras_hub` of the current folder among them),
and some of Keras' layers read files or run code. All names are looked up here before Keras sees them.
"""

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import keras
from keras.src.layers.preprocessing import index_lookup

# What else than an object of a class Keras writes as one.
PLAIN = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
KINDS = (
    keras.Layer,
    keras.Operation,
    keras.Initializer,
    keras.Regularizer,
    keras.constraints.Constraint,
    keras.DTypePolicy,
    keras.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.Loss,
    keras.Metric,
)
# They run what a config holds, or read the files that it names.
REFUSED = (
    keras.layers.Lambda,
    keras.layers.TFSMLayer,
    keras.layers.JaxLayer,
    keras.layers.FlaxLayer,
    keras.layers.TorchModuleWrapper,
    index_lookup.IndexLookup,  # StringLookup and IntegerLookup among them
    keras.layers.TextVectorization,
)
FUNCTIONS = ("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers")
NO_FUNCTIONS = {"get", "serialize", "deserialize"}


def check_config(config: dict[str, Any]) -> None:
    """Checks the config of a model, at any depth.

    Raises:
        ValueError: it names something else than a building block of Keras' own, or one that the running
            program has registered.
    """
    # How the model was compiled is not loaded.
    for entry in _entries({**config, "compile_config": None}):
        if "class_name" in entry and not _is_known(entry):
            raise ValueError(
                f"it names {_said(entry)}, which is no building block of Keras that is safe to load, nor "
                "registered with keras.saving.register_keras_serializable"
            )


def _entries(config: object) -> Iterator[dict[str, Any]]:
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _said(entry: dict[str, Any]) -> str:
    name = entry["config"] if entry["class_name"] == "function" else entry["class_name"]
    return repr(f"{entry.get('module')}.{name}"[:150])


def _is_known(entry: dict[str, Any]) -> bool:
    name, module = entry["class_name"], entry.get("module")
    if not isinstance(name, str):
        return False
    if name in PLAIN:
        return True
    if name == "function":
        return _is_known_function(entry.get("config"), module)
    registered = entry.get("registered_name", name)
    if isinstance(registered, str) and keras.saving.get_registered_object(registered) is not None:
        return True
    found = _loaded(module, name)
    return isinstance(found, type) and issubclass(found, KINDS) and not issubclass(found, REFUSED)


def _is_known_function(name: object, module: object) -> bool:
    if not isinstance(name, str) or name in NO_FUNCTIONS:
        return False
    if keras.saving.get_registered_object(name) is not None:
        return True
    modules = [f"keras.{part}" for part in FUNCTIONS]
    searched = modules if module == "builtins" else [module] if module in modules else []
    return any(isinstance(_loaded(each, name), FunctionType) for each in searched)


def _loaded(module: object, name: str) -> object:
    """What a module of Keras has under a name; nothing is imported for it."""
    if not isinstance(module, str) or module.partition(".")[0] != "keras":
        return None
    return vars(sys.modules[module]).get(name) if module in sys.modules else None

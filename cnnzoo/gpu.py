"""The GPUs that the backend computes on, and the room for images there."""

import importlib.util
from dataclasses import dataclass
from typing import Any

from cnnzoo.errors import InputError
from cnnzoo.files import cache_dir
from cnnzoo.limits import free_memory

SHARE = 0.5  # of the device's free memory that images may take: the network and its activations need the rest
_BFLOAT16_SINCE = 8.0  # compute capability (Ampere, 2020)


@dataclass(frozen=True)
class Gpu:
    """One device; `bfloat16` says whether it multiplies matrices of that type in hardware."""

    name: str
    bfloat16: bool


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed, which Keras needs for tf.data and TensorBoard alone on JAX."""
    return importlib.util.find_spec("tensorflow") is not None


def gpus() -> list[Gpu]:
    """Returns what the backend has besides the processor; imports the backend."""
    import keras

    return _FINDERS[keras.backend.backend()]()


def precision() -> str:
    """Returns the name of the Keras policy that is fast here: mixed_bfloat16 on GPUs that have it."""
    found = gpus()
    return "mixed_bfloat16" if found and all(gpu.bfloat16 for gpu in found) else "float32"


def keep_compiled() -> None:
    """Has JAX keep what it compiles for a GPU in the cache: each run of a model, in a process of its own, and
    each shape of a batch would pay again. `JAX_COMPILATION_CACHE_DIR` names another folder.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_dir("jax")))


def room_on_device(needed: int) -> bool:
    """Says whether images of `needed` bytes are to be kept on the device, from where JAX takes each batch.

    They are on a GPU if they fit, and without TensorFlow, whose tf.data feeds every backend else.

    Raises:
        InputError: they don't fit, and TensorFlow is not installed.
    """
    import keras

    if keras.backend.backend() != "jax" or keras.distribution.distribution() is not None:
        return False
    if not gpus() and has_tensorflow():
        return False
    free = _free_on_jax_device()
    if needed <= SHARE * free:
        return True
    if not has_tensorflow():
        raise InputError(
            f"images take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on the device, of which "
            f"they may have {SHARE:.0%}: choose smaller ones ({{image_size}}) or fewer ({{limit}}), or "
            "install TensorFlow, which feeds them batch by batch: pip install tensorflow-cpu",
            image_size="image_size",
            limit="limit",
        )
    return False


def _free_on_jax_device() -> int:
    import jax

    known = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in known:
        return known["bytes_limit"] - known["bytes_in_use"]
    return free_memory()


def _on_jax() -> list[Gpu]:
    import jax

    return [
        Gpu(device.device_kind, device.platform == "tpu" or _has_bfloat16(device))
        for device in jax.devices()
        if device.platform != "cpu"
    ]


def _has_bfloat16(device: Any) -> bool:
    """By the compute capability of NVIDIA's; other makers name theirs in words."""
    try:
        return float(getattr(device, "compute_capability", "")) >= _BFLOAT16_SINCE
    except ValueError:
        return False


def _on_torch() -> list[Gpu]:
    import torch

    return [
        Gpu(torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i) >= (_BFLOAT16_SINCE, 0))
        for i in range(torch.cuda.device_count())
    ]


def _on_tensorflow() -> list[Gpu]:
    import tensorflow as tf

    details = [
        tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")
    ]
    return [
        Gpu(known.get("device_name", "GPU"), known.get("compute_capability", (0, 0)) >= (_BFLOAT16_SINCE, 0))
        for known in details
    ]


_FINDERS = {"jax": _on_jax, "torch": _on_torch, "tensorflow": _on_tensorflow}

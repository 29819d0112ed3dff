"""What a result depends on besides its settings: versions, device, machine, commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cnnzoo
from cnnzoo.backend import check_backend, import_keras, use_own_settings
from cnnzoo.gpu import gpus, has_tensorflow, keep_compiled, precision
from cnnzoo.limits import total_memory
from experiments.cli.process import quiet_stderr


def describe_environment() -> dict[str, Any]:
    """Returns versions, backend, device, machine and git commit; imports the backend."""
    import keras

    backend = keras.backend.backend()
    return {
        "cnnzoo": cnnzoo.__version__,
        "python": platform.python_version(),
        "tensorflow": version("tensorflow") if has_tensorflow() else "",
        "keras": version("keras"),
        "backend": backend,
        "backend_version": version(backend),
        "device": ", ".join(gpu.name for gpu in gpus()) or "CPU",
        "precision": keras.config.dtype_policy().name,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(total_memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "git_commit": _git_commit(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git_commit() -> str:
    """The commit of the code that runs, with -dirty where files differ from it; empty outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(  # noqa: S603 - a command of ours, without a shell
            command, capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def start_backend() -> dict[str, Any]:
    """Imports what the run computes with, set as models and device need it; returns the environment."""
    check_backend()
    with quiet_stderr():
        import_keras()
        import keras

        use_own_settings()
        if has_tensorflow():
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")  # it warns of every new batch shape
            if keras.backend.backend() != "tensorflow":
                # tf.data needs no GPU, and TensorFlow would take its memory from the backend that does.
                tf.config.set_visible_devices([], "GPU")
        if keras.backend.backend() == "jax" and gpus():
            keep_compiled()
        keras.config.set_dtype_policy(precision())
        return describe_environment()

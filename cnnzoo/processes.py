"""Other processes that run modules of ours: how they are started, and how they ended."""

import os
import site
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]  # where our packages lie


def own_module(module: str, *arguments: object) -> list[str]:
    """The command that runs a module of ours; with `own_environment`, whatever the current folder holds."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def own_environment() -> dict[str, str]:
    """The environment in which `own_module` finds our packages, also where they aren't installed."""
    if str(ROOT) in site.getsitepackages():
        return dict(os.environ)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *([others] if others else [])])}


def how_it_ended(code: int) -> str:
    """Returns how a process ended that left nothing else, by its exit code."""
    return f"killed by signal {-code}, perhaps out of memory" if code < 0 else f"exit code {code}"

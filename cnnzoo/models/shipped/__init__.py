"""Networks that this project trained itself, in the package: a .keras file each, and a card about it.

The card (JSON) has the file's SHA-256, what it was trained on and under which licence, the command that makes
it again, and what it was measured at.
"""

import json
from pathlib import Path
from typing import Any

from cnnzoo.errors import InputError
from cnnzoo.files import sha256_of

FOLDER = Path(__file__).parent
WEIGHTS = "cracks"  # the `weights` argument that means them


def shipped_models() -> list[str]:
    """Returns the names of the models that have a trained network in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.keras"))


def shipped_card(name: str) -> dict[str, Any]:
    """Returns what is known of a shipped network."""
    card: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return card


def shipped_file(name: str) -> Path:
    """Returns the .keras file of a shipped network.

    Raises:
        InputError: there is none of that name, or the file is not the one that was shipped.
    """
    names = shipped_models()
    if name not in names:
        raise InputError(f"no trained {name} comes with cnnzoo; there is {', '.join(names)}")
    path = FOLDER / f"{name}.keras"
    if sha256_of(path) != shipped_card(name)["sha256"]:
        raise InputError(f"{path}: not the file that cnnzoo was shipped with; install cnnzoo again")
    return path

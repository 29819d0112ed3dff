"""What travels between the driver and the nodes of a cluster that share no files."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, Self

import cnnzoo


class Movable(Protocol):
    """What a run or a trial is asked: its files can be given to it elsewhere."""

    @property
    def inputs(self) -> Mapping[str, str]: ...
    @property
    def reads(self) -> list[str]: ...
    @property
    def manifests(self) -> list[str]: ...
    @property
    def checkpoint(self) -> Path: ...
    def moved(self, files: Mapping[str, str], out: Path) -> Self: ...


@dataclass(frozen=True)
class Order:
    """What a node is asked to do.

    Attributes:
        module: whose `main` works on the specification.
        spec: with the driver's paths.
        out: the driver's folder for the results.
        name: of the specification's file, below `logs`.
        seconds: after which it is ended; None for no limit.
        files: the contents of what it reads besides images, by the driver's path, as references.
        state: of a training to go on with; None where there is none.
        images: those of each manifest in parts, {path: content}, as references; empty where nodes have them.
        environment: variables that decide what is computed.
    """

    module: str
    spec: Movable
    out: str
    name: str
    seconds: float | None
    files: dict[str, Any]
    state: bytes | None
    images: dict[str, list[Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Left:
    """A file that a run left, or the state of its training; `path` is below the folder for results."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Lacking:
    """The node has not the images of these manifests."""

    manifests: list[str]


def versions() -> dict[str, str]:
    """What has to be the same on the driver and a node for a run to be the same."""
    packages = ("tensorflow", "keras", "numpy")
    own = {"cnnzoo": cnnzoo.__version__, "Python": platform.python_version()}
    return own | {name: version(name) for name in packages}

"""The rows of the table of benchmarks, and the file of all that was ever measured."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cnnzoo.errors import InputError, one_line, printable
from cnnzoo.files import append_line

FILE = "benchmarks.jsonl"
VERSION = 1  # of the lines that are written, and the newest that is read


@dataclass(frozen=True)
class Row:
    """A figure, beside what a user would pick instead of cnnzoo and beside what can't be exceeded.

    Attributes:
        name: what was measured, another one for each row of a part.
        value: in `unit`; None where it could not be measured, and then `note` says why.
        unit: "images/s", "s", "MB", ….
        rival: what `rival_name` reaches, in the same unit.
        limit: what `limit_name` would allow, in the same unit.
        less_is_better: of seconds and bytes, say.
        cores: processor seconds by wall seconds meanwhile: how many cores it was given.
        noise: how far the rounds lie apart, (largest - smallest) / median.
        note: what must be known to read the figure.
    """

    name: str
    value: float | None
    unit: str
    rival: float | None = None
    rival_name: str = ""
    limit: float | None = None
    limit_name: str = ""
    less_is_better: bool = False
    cores: float | None = None
    noise: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as good as the rival."""
        return times_as_good(self.value, self.rival, less_is_better=self.less_is_better)

    @property
    def share(self) -> float | None:
        """The share of the limit that is reached."""
        return times_as_good(self.value, self.limit, less_is_better=self.less_is_better)


def times_as_good(value: float | None, other: float | None, *, less_is_better: bool) -> float | None:
    """Returns the ratio of two values, above 1 where the first is the better one."""
    better, worse = (other, value) if less_is_better else (value, other)
    return better / worse if better is not None and worse else None


@dataclass(frozen=True)
class Measurement:
    """A part as it was measured once: its rows, when, by which command, on which machine and versions."""

    part: str
    device: str
    started: str
    command: str
    seconds: float
    environment: dict[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    version: int = VERSION

    @property
    def key(self) -> tuple[str, str]:
        """What a later measurement takes the place of in the table."""
        return self.part, self.device


def append_measurement(folder: Path, measurement: Measurement) -> None:
    """Adds a measurement to the folder's, and has it on disk before it returns."""
    append_line(folder / FILE, json.dumps(asdict(measurement)))


def read_measurements(path: Path) -> list[Measurement]:
    """Returns all that was measured, in order; `path` is the file or the folder that it is in.

    Raises:
        InputError: there is no such file, or a line of it is no measurement.
    """
    file = path / FILE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise InputError(f"{printable(file)}: {why}; give a {FILE} that an earlier bench wrote") from None
    measurements = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            measurements.append(msgspec.convert(json.loads(line), Measurement))
        except (ValueError, RecursionError) as error:  # msgspec's own is a ValueError
            raise InputError(
                f"{printable(file)}, line {number}: no measurement ({one_line(error)})"
            ) from None
    return measurements


def latest(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Keeps the last measurement of each part and device, in the order in which parts first came."""
    return list({measurement.key: measurement for measurement in measurements}.values())

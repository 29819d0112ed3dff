"""The folder that `cnnzoo map` writes: what is in it, and going on with it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec

from cnnzoo.data.folders import mark_as_output
from cnnzoo.data.images import encode_jpeg
from cnnzoo.data.table import write_table
from cnnzoo.deploy.photograph import CrackMap
from cnnzoo.errors import InputError, printable
from cnnzoo.files import file_stem, replaced_whole
from experiments.mapping.drawings import drawn
from experiments.mapping.measures import Photograph, csv_lines, measured, write_outlines

FULL, SCREEN, HEAT, OUTLINES = "overlay.jpg", "overlay-screen.jpg", "heat.png", "cracks.geojson"
PAGE, TABLE = "map.html", "photographs.csv"
KEPT = ".cnnzoo-map.json"  # what was mapped, and how
_SCREEN_SIDE = 1600  # pixels
_QUALITY = 90


class Settings(msgspec.Struct, frozen=True):
    """All that a map depends on besides the photograph."""

    model: str  # SHA-256 of its file
    tile: int | None
    overlap: float
    threshold: float
    version: int = 2  # of how maps are made: the next one where they would be others


class _Kept(msgspec.Struct):
    settings: Settings
    photographs: list[Photograph]


def make_folder(out: Path) -> None:
    """Makes the folder of maps, marked as output of ours: what is mapped next may be a folder around it.

    Raises:
        InputError: it is no folder, or holds something else than maps.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {printable(out)}: no folder")
    # Hidden is what a command leaves that was stopped before its first map.
    if (
        out.is_dir()
        and not (out / KEPT).is_file()
        and any(not path.name.startswith(".") for path in out.iterdir())
    ):
        raise InputError(f"--out {printable(out)}: the folder holds something else; choose another name")
    out.mkdir(parents=True, exist_ok=True)
    mark_as_output(out)


@dataclass
class Result:
    """A folder of maps; `photographs` are those of this command, in its order."""

    out: Path
    settings: Settings
    _known: dict[str, Photograph] = field(default_factory=dict)  # the last of each path
    photographs: list[Photograph] = field(default_factory=list)

    @classmethod
    def opened(cls, out: Path, settings: Settings) -> "Result":
        """Returns the folder, which `make_folder` made, with the maps that an earlier command made in it.

        Raises:
            InputError: its maps were made otherwise.
        """
        file = out / KEPT
        if not file.is_file():
            new = cls(out, settings)
            new._keep()
            return new
        try:
            kept = msgspec.convert(json.loads(file.read_bytes()), _Kept)
        except (ValueError, OSError) as error:  # msgspec's is one
            raise InputError(f"{printable(file)}: can't be read; choose another --out") from error
        if kept.settings != settings:
            raise InputError(
                f"--out {printable(out)}: its maps were made by another model, --tile, --overlap, "
                "--threshold, --adapt or version of cnnzoo; choose another name"
            )
        return cls(out, settings, {each.place: each for each in kept.photographs})

    def known(self, path: Path, digest: str) -> bool:
        """Takes over an earlier map of the same file, if there is one with its pictures."""
        found = self._known.get(_place(path))
        if found is None or found.digest != digest:  # that of an error is empty
            return False
        if not (self.out / found.folder / OUTLINES).is_file():
            return False
        self.photographs.append(found)
        return True

    def add(self, path: Path, digest: str, found: CrackMap) -> Photograph:
        """Writes the files of a map."""
        folder = self._folder(path)
        (self.out / folder).mkdir(parents=True, exist_ok=True)
        cracks = found.traced()
        for name, data in _pictures(found):
            with replaced_whole(self.out / folder / name) as unfinished:
                unfinished.write_bytes(data)
        write_outlines(self.out / folder / OUTLINES, cracks)
        photograph = measured(path, _place(path), digest, folder, found, cracks)
        self._append(photograph)
        return photograph

    def add_error(self, path: Path, error: str) -> None:
        """Notes a file that could not be mapped."""
        self._append(Photograph(path=str(path), place=_place(path), digest="", error=error))

    def write_csv(self, millimetres: float | None) -> None:
        """Writes photographs.csv, with what earlier commands mapped into the folder too."""
        write_table(self.out / TABLE, *csv_lines(self.everything, millimetres))

    @property
    def everything(self) -> list[Photograph]:
        """All that the folder has, with what earlier commands mapped."""
        return list(self._known.values())

    def _append(self, photograph: Photograph) -> None:
        self.photographs.append(photograph)
        self._known[photograph.place] = photograph
        self._keep()

    def _keep(self) -> None:
        # Python's JSON: msgspec's takes no name that is not UTF-8.
        content = json.dumps(msgspec.to_builtins(_Kept(self.settings, list(self._known.values()))))
        with replaced_whole(self.out / KEPT) as unfinished:
            unfinished.write_text(content)

    def _folder(self, path: Path) -> str:
        """The name of the file, with something of its path where another one has the name."""
        others = {each.folder for place, each in self._known.items() if place != _place(path)}
        taken = {name.casefold() for name in (*others, PAGE, TABLE)}  # not all file systems tell A from a
        name = file_stem(path.stem)
        if name.casefold() in taken or name.startswith("."):
            apart = hashlib.sha256(_place(path).encode(errors="surrogateescape")).hexdigest()[:8]
            name = f"{name.lstrip('.') or 'photograph'}-{apart}"
        return name


def _place(path: Path) -> str:
    """Where a file lies, whatever folder the command runs in."""
    return str(path.resolve())


def _pictures(found: CrackMap) -> Iterator[tuple[str, bytes]]:
    yield FULL, encode_jpeg(drawn(found), _QUALITY)
    yield SCREEN, encode_jpeg(drawn(found, _SCREEN_SIDE), _QUALITY)
    done, data = cv2.imencode(".png", found.heat)
    assert done
    yield HEAT, data.tobytes()

"""The folder that `cnnzoo map` writes: what is in it, and going on with it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec

from cnnzoo.data.images import encode_jpeg
from cnnzoo.data.table import write_table
from cnnzoo.deploy.photograph import CrackMap
from cnnzoo.deploy.traces import traced
from cnnzoo.errors import InputError, printable
from cnnzoo.files import replaced_whole
from experiments.mapping.drawings import drawn
from experiments.mapping.measures import Photograph, csv_lines, measured, write_outlines

FULL, SCREEN, HEAT, OUTLINES = "overlay.jpg", "overlay-screen.jpg", "heat.png", "cracks.geojson"
KEPT = ".cnnzoo-map.json"  # what was mapped, and how
_SCREEN_SIDE = 1600  # pixels
_QUALITY = 90


class Settings(msgspec.Struct, frozen=True):
    """All that a map depends on besides the photograph."""

    model: str  # SHA-256 of its file
    tile: int | None
    overlap: float
    threshold: float | None


class _Kept(msgspec.Struct):
    settings: Settings
    photographs: list[Photograph]


@dataclass
class Result:
    """A folder of maps; `photographs` are those of this command, in its order."""

    out: Path
    settings: Settings
    _known: dict[tuple[str, str], Photograph] = field(default_factory=dict)
    photographs: list[Photograph] = field(default_factory=list)

    @classmethod
    def opened(cls, out: Path, settings: Settings) -> "Result":
        """Returns the folder, with the maps that an earlier command made in it.

        Raises:
            InputError: it is no folder, or holds maps that were made otherwise.
        """
        file = out / KEPT
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {printable(out)}: no folder")
        if not file.is_file():
            if out.is_dir() and any(out.iterdir()):
                raise InputError(
                    f"--out {printable(out)}: the folder holds something else; choose another name"
                )
            return cls(out, settings)
        try:
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        except (msgspec.DecodeError, OSError) as error:
            raise InputError(f"{printable(file)}: can't be read; choose another --out") from error
        if kept.settings != settings:
            raise InputError(
                f"--out {printable(out)}: its maps were made by another model, --tile, --overlap or "
                "--threshold; choose another name"
            )
        return cls(out, settings, {(each.path, each.digest): each for each in kept.photographs})

    def known(self, path: Path, digest: str) -> bool:
        """Takes over an earlier map of the same file, if there is one with its pictures."""
        found = self._known.get((str(path), digest))
        if found is None or found.error or not (self.out / found.folder / OUTLINES).is_file():
            return False
        self.photographs.append(found)
        return True

    def add(self, path: Path, digest: str, found: CrackMap) -> Photograph:
        """Writes the files of a map."""
        folder = self._folder(path, digest)
        (self.out / folder).mkdir(parents=True, exist_ok=True)
        cracks = traced(found.cracks, found.gap)
        for name, data in _pictures(found):
            with replaced_whole(self.out / folder / name) as unfinished:
                unfinished.write_bytes(data)
        write_outlines(self.out / folder / OUTLINES, cracks)
        photograph = measured(path, digest, folder, found, cracks)
        self._append(photograph)
        return photograph

    def add_error(self, path: Path, error: str) -> None:
        """Notes a file that could not be mapped."""
        self._append(Photograph(path=str(path), digest="", error=error))

    def write_csv(self, millimetres: float | None) -> None:
        """Writes photographs.csv."""
        write_table(self.out / "photographs.csv", *csv_lines(self.photographs, millimetres))

    def _append(self, photograph: Photograph) -> None:
        self.photographs.append(photograph)
        self._known[photograph.path, photograph.digest] = photograph
        self.out.mkdir(parents=True, exist_ok=True)
        with replaced_whole(self.out / KEPT) as unfinished:
            unfinished.write_bytes(msgspec.json.encode(_Kept(self.settings, list(self._known.values()))))

    def _folder(self, path: Path, digest: str) -> str:
        """The name of the file, with something of its path where another one has the name."""
        taken = {each.folder for key, each in self._known.items() if key[0] != str(path)}
        name = path.stem
        if name in taken or name.startswith("."):
            apart = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:8]
            name = f"{name.lstrip('.')}-{apart}"
        return name


def _pictures(found: CrackMap) -> Iterator[tuple[str, bytes]]:
    yield FULL, encode_jpeg(drawn(found), _QUALITY)
    yield SCREEN, encode_jpeg(drawn(found, _SCREEN_SIDE), _QUALITY)
    done, data = cv2.imencode(".png", found.heat)
    assert done
    yield HEAT, data.tobytes()

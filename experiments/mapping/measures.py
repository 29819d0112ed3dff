"""What `cnnzoo map` says of a photograph: a line of photographs.csv, and the outlines as GeoJSON."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cnnzoo.deploy.photograph import CrackMap
from cnnzoo.deploy.traces import Crack
from cnnzoo.files import replaced_whole


class Photograph(msgspec.Struct, frozen=True, kw_only=True):
    """A photograph and its measures, in pixels; millimetres where it is known how many a pixel is."""

    path: str  # as it was named
    place: str  # absolute
    digest: str
    folder: str = ""
    width: int = 0
    height: int = 0
    tile: int = 0
    tiles_cracked: float = 0.0
    share: float = 0.0
    lengths: tuple[float, ...] = ()
    longest_extent: float = 0.0
    widest: float = 0.0
    error: str = ""


def measured(
    path: Path, place: str, digest: str, folder: str, found: CrackMap, cracks: Sequence[Crack]
) -> Photograph:
    """Returns the measures of a map."""
    height, width = found.cracks.shape
    return Photograph(
        path=str(path),
        place=place,
        digest=digest,
        folder=folder,
        width=width,
        height=height,
        tile=found.tile,
        tiles_cracked=round(found.cracked, 4),
        share=round(float(found.cracks.mean()), 6),
        lengths=tuple(round(crack.length, 1) for crack in cracks),
        longest_extent=round(max((crack.extent for crack in cracks), default=0.0), 1),
        widest=round(max((crack.width for crack in cracks), default=0.0), 1),
    )


def csv_lines(
    photographs: Sequence[Photograph], millimetres: float | None
) -> tuple[list[str], list[list[object]]]:
    """Returns the titles and lines of photographs.csv: lengths in pixels and, where known, millimetres."""
    titles = ["path", "folder", "width", "height", "tile", "tiles_cracked", "share_cracked", "cracks"]
    units = {"px": 1.0} | ({} if millimetres is None else {"mm": millimetres})
    for unit in units:
        titles += [f"{what}_{unit}" for what in ("length", "lengths", "longest_extent", "widest")]
    return [*titles, "error"], [_line(photograph, list(units.values())) for photograph in photographs]


def _line(photograph: Photograph, units: Sequence[float]) -> list[object]:
    if photograph.error:
        return [photograph.path, *[""] * (7 + 4 * len(units)), photograph.error]
    line: list[object] = [photograph.path, photograph.folder, photograph.width, photograph.height]
    line += [photograph.tile, photograph.tiles_cracked, photograph.share, len(photograph.lengths)]
    for unit in units:
        lengths = [round(unit * length, 2) for length in photograph.lengths]
        line += [round(sum(lengths), 2), " ".join(map(str, lengths))]
        line += [round(unit * photograph.longest_extent, 2), round(unit * photograph.widest, 2)]
    return [*line, ""]


def write_outlines(path: Path, cracks: Sequence[Crack]) -> None:
    """Writes GeoJSON (RFC 7946) in pixels of the photograph: x to the right, y down, from its left top."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "MultiPolygon", "coordinates": crack.polygons},
            "properties": {
                "length_px": round(crack.length, 1),
                "longest_extent_px": round(crack.extent, 1),
                "widest_px": round(crack.width, 1),
            },
        }
        for crack in cracks
    ]
    with replaced_whole(path) as unfinished:
        unfinished.write_text(json.dumps({"type": "FeatureCollection", "features": features}))

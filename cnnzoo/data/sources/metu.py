"""The METU data set: found where it lies, or downloaded, verified and unpacked.

*Concrete Crack Images for Classification*, Çağlar Fırat Özgenel, Mendeley Data v2, 2019,
DOI 10.17632/5y9wdsg2zt.2, CC BY 4.0: 40,000 JPEGs of 227 x 227 pixels, 20,000 for each of two classes.
"""

import lzma
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cnnzoo.bars import track
from cnnzoo.download import download
from cnnzoo.errors import InputError, printable
from cnnzoo.files import cache_dir, sha256_of

PAGE = "https://data.mendeley.com/datasets/5y9wdsg2zt/2"
ARCHIVE = "Concrete Crack Images for Classification.rar"
CLASSES = ("Negative", "Positive")

LARGEST_IMAGE = 1_000_000  # bytes; the real ones have some thousand
IMAGE_MEMBER = re.compile(r"(?:[^/]+/)*(Negative|Positive)/([^/]+\.jpe?g)", re.IGNORECASE)


@dataclass(frozen=True)
class Published:
    """The archive as its publisher describes it: address, bytes, SHA-256, images in each class."""

    url: str
    size: int
    sha256: str
    images_per_class: int


# Size and SHA-256 are those of Mendeley Data's file list, as two public projects that read it quote them.
# The page's "Download all" wraps this file in a zip, for which no hash is published.
METU = Published(
    url="https://data.mendeley.com/public-files/datasets/5y9wdsg2zt/files/"
    "8a70d8a5-bce9-4291-bab9-b48cfb3e87c3/file_downloaded",
    size=241_363_336,
    sha256="08d7dc505a4f5a0330cee2fa2a1ae4b5b4f98bcffd0549b774caf7959bb1f02f",
    images_per_class=20_000,
)


def metu_folder(root: str | Path | None = None, *, published: Published = METU) -> Path:
    """Returns the folder that holds `Negative/` and `Positive/`.

    What is there is used: the unpacked folder, else a downloaded .rar or the .zip around it. Only when there
    is neither, the .rar is downloaded (241 MB); a stopped download goes on where it was.

    Args:
        root: where to look and to unpack, or the archive itself; by default the cache folder `metu`.
        published: what the archive has to be.

    Raises:
        InputError: no network, no room, a damaged or foreign archive; the message says what to do.
    """
    place = Path(root).expanduser() if root is not None else cache_dir("metu")
    archive = None
    if place.is_file():
        archive, place = place, cache_dir("metu")
    elif place.suffix.lower() in (".rar", ".zip"):
        raise InputError(f"{place}: no such file")
    folder = _find_unpacked(place, published)
    if folder is not None:
        return folder
    try:
        place.mkdir(parents=True, exist_ok=True)
        archive = archive or _find_archive(place) or _download(place / ARCHIVE, published)
        return _unpack(archive, place / "images", published)
    except OSError as error:
        name = printable(str(error.filename or place))
        raise InputError(f"{name}: {error.strerror or error}") from error


def _find_unpacked(place: Path, published: Published) -> Path | None:
    inside = sorted(place.glob("[!.]*/")) if place.is_dir() else []
    for folder in (place, *inside):
        if not all((folder / name).is_dir() for name in CLASSES):
            continue
        counts = {name: sum(1 for _ in (folder / name).glob("*.jpg")) for name in CLASSES}
        if any(count != published.images_per_class for count in counts.values()):
            raise InputError(
                f"{folder}: holds {_listed(counts)} images, METU has {published.images_per_class} of each; "
                f"delete it to have it made again, or use it as it is with {{data}} {folder}",
                data="load_datasets on",
            )
        return folder
    return None


def _find_archive(place: Path) -> Path | None:
    found = [path for path in place.iterdir() if path.suffix.lower() in (".rar", ".zip")]
    return min(found, key=lambda path: (path.name != ARCHIVE, path.name), default=None)


def _download(target: Path, published: Published) -> Path:
    by_hand = f"fetch it by hand from {PAGE} and save it as {target}"
    return download(
        published.url, target, size=published.size, digest=published.sha256, title="METU", way_out=by_hand
    )


def _unpack(archive: Path, target: Path, published: Published) -> Path:
    # Everything happens in a folder of its own and is renamed when complete: what a killed run leaves behind
    # never looks finished.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpacking-") as scratch:
        rar = archive
        if archive.suffix.lower() == ".zip":
            rar = _unzip(archive, Path(scratch, "images.rar"), published)
        _verify(archive, rar, published)
        folder = Path(scratch, "images")
        counts = _extract(rar, folder, published)
        if any(count != published.images_per_class for count in counts.values()):
            raise InputError(
                f"{archive}: holds {_listed(counts)} images instead of {published.images_per_class} of each; "
                "delete it and run again"
            )
        try:
            folder.rename(target)
        except OSError:
            # Another process may have finished first; then its folder is as good as ours.
            if _find_unpacked(target, published) is None:
                raise
    return target


def _listed(counts: dict[str, int]) -> str:
    return " and ".join(f"{count} {name}" for name, count in counts.items())


def _unzip(archive: Path, target: Path, published: Published) -> Path:
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                _refuse_unsafe(archive, member.filename, member.external_attr >> 16)
            rars = [member for member in file.infolist() if member.filename.lower().endswith(".rar")]
            if len(rars) != 1 or rars[0].file_size != published.size:
                raise InputError(
                    f"{archive}: does not hold the .rar of METU; delete it and run again, "
                    "or unpack it and pass the folder with {data}",
                    data="load_datasets",
                )
            with file.open(rars[0]) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise InputError(f"{archive}: truncated or damaged ({error}); delete it and run again") from error
    return target


def _verify(archive: Path, rar: Path, published: Published) -> None:
    if (size := rar.stat().st_size) != published.size:  # which says it without reading gigabytes
        raise InputError(
            f"{archive}: truncated or another file ({size:,} bytes, published {published.size:,}); delete it "
            "and run again"
        )
    digest = sha256_of(rar)
    if digest != published.sha256:
        raise InputError(
            f"{archive}: truncated, damaged or another file (SHA-256 {digest[:12]}…, "
            f"published {published.sha256[:12]}…); delete it and run again"
        )


def _refuse_unsafe(archive: Path, name: str, mode: int, *, link: bool = False) -> None:
    """Raises InputError for a member that points out of its folder or is neither a file nor a folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise InputError(f"{archive}: member {name!r} points out of its folder; the archive is not used")
    if link or stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"{archive}: member {name!r} is a link or a device; the archive is not used")


def _extract(rar: Path, folder: Path, published: Published) -> dict[str, int]:
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    counts = dict.fromkeys(CLASSES, 0)
    total = len(CLASSES) * published.images_per_class
    with _members(rar) as members:
        for header in track(members, total, "Unpacking METU", progress=True):
            found = _extract_member(rar, header, folder)
            if found is not None:
                counts[found] += 1
    return counts


@contextmanager
def _members(rar: Path) -> Iterator[Iterator[Any]]:
    """Opens `rar` and yields its members' headers in order."""
    try:
        # UnRAR's own source as a library: it hands over bytes and never writes a file.
        from unrar.cffi.unrarlib import BadRarFile, RarArchive
    except ImportError as error:
        raise InputError(
            f"unpacking {rar} needs a package: pip install unrar2-cffi (without a wheel for this machine it "
            "needs a C++ compiler); or unpack it with unar and pass the folder with {data}",
            data="load_datasets",
        ) from error
    try:
        with RarArchive.open_for_processing(rar) as archive:
            yield archive.iterate_headers()
    except BadRarFile as error:
        raise InputError(f"{rar}: damaged ({error}); delete it and run again") from error


def _extract_member(rar: Path, header: Any, folder: Path) -> str | None:
    """Writes an image below `folder` and returns its class; passes over anything else."""
    fields = header.headerDataEx
    unix_mode = fields.FileAttr if header.HostOS == 3 else 0
    _refuse_unsafe(rar, header.FileNameW, unix_mode, link=fields.RedirType != 0)
    match = IMAGE_MEMBER.fullmatch(header.FileNameW.replace("\\", "/"))
    if match is None:
        header.skip()
        return None
    if header.UnpSize + (header.UnpSizeHigh << 32) > LARGEST_IMAGE:
        raise InputError(f"{rar}: member {header.FileNameW!r} is too large for an image of METU")
    chunks: list[bytes] = []
    header.test(chunks.append)
    name = match[1].capitalize()
    with (folder / name / match[2]).open("xb") as file:
        file.writelines(chunks)
    return name

"""A folder per class becomes a checked list of images: every file is opened once, none silently dropped."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from cnnzoo.bars import track
from cnnzoo.data.images import FORMATS, OTHER_SUFFIXES, decode_image
from cnnzoo.errors import InputError, printable
from cnnzoo.files import write_whole

LISTED = 50  # bad files named in an error message; more than that nobody mends by hand
IMAGE_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes} | set(OTHER_SUFFIXES)
LITTER = {"thumbs.db", "desktop.ini", "__macosx"}  # left by operating systems, never images


@dataclass(frozen=True)
class ImageRecord:
    """One image: path below the root with forward slashes, class id, pixels, Pillow mode, SHA-256."""

    path: str
    label: int
    width: int
    height: int
    mode: str
    sha256: str


@dataclass(frozen=True)
class BadFile:
    """A file that is left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """The images of a folder per class.

    Attributes:
        root: the folder.
        class_names: sorted folder names; a class id is the position in it.
        images: sorted by class, then path.
        bad: files left out with `skip_bad`.
    """

    root: Path
    class_names: tuple[str, ...]
    images: tuple[ImageRecord, ...]
    bad: tuple[BadFile, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of class names, paths, labels and contents: the same wherever and whenever the folder lies."""
        images = sorted(self.images, key=lambda image: (image.label, image.path))
        rows = [[image.path, image.label, image.sha256] for image in images]
        return sha256(json.dumps([self.class_names, rows]).encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """Images by class name."""
        counts = np.bincount([image.label for image in self.images], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def save(self, path: str | Path) -> None:
        """Writes JSON that `load` reads."""
        content = {
            "root": str(self.root.resolve()),
            "class_names": self.class_names,
            "images": [list(vars(image).values()) for image in self.images],
            "bad": [asdict(bad) for bad in self.bad],
        }
        write_whole(Path(path), json.dumps(content))

    @staticmethod
    def load(path: str | Path) -> "Manifest":
        """Reads what `save` wrote.

        Raises:
            InputError: no such file, or not one that `save` wrote.
        """
        try:
            content = msgspec.convert(json.loads(Path(path).read_text(encoding="utf-8")), _Saved)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise InputError(f"{path}: no manifest; make it again with build_manifest") from error
        images = tuple(ImageRecord(*values) for values in content.images)
        return Manifest(Path(content.root), content.class_names, images, content.bad)


@dataclass(frozen=True)
class _Saved:
    """A manifest in its file: of an image the values of its record alone, since there are many."""

    root: str
    class_names: tuple[str, ...]
    images: tuple[tuple[str, int, int, int, str, str], ...]
    bad: tuple[BadFile, ...]


def build_manifest(
    root: str | Path, *, limit: int | None = None, skip_bad: bool = False, progress: bool = True
) -> Manifest:
    """Opens every image below `root` once, in parallel.

    A class is a folder right below `root`, its images lie anywhere below that. Passed over are hidden files,
    `Thumbs.db`, `desktop.ini`, `__MACOSX`, and what lies beside the class folders and is no image by its
    name. Links to folders are not followed inside a class, so that no file comes twice.

    Args:
        root: a folder per class.
        limit: images per class at most, chosen at random but always the same ones.
        skip_bad: list files that are no images in `Manifest.bad` instead of stopping at them.
        progress: show a bar on the terminal.

    Raises:
        InputError: no folder per class, an empty class, or files that are no usable images: each is named.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: at least one image per class is wanted")
    root = Path(root)
    classes, bad = _class_folders(root)
    files: list[tuple[Path, int]] = []
    for label, folder in enumerate(classes):
        found, links = _files_below(folder)
        bad += [BadFile(_below(root, path), "a link to a folder; not followed") for path in links]
        files += [(path, label) for path in _limited(found, limit)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = pool.map(lambda item: _check(root, *item), files)
        shown = track(checked, len(files), "checking images", unit="images", progress=progress)
        results = list(shown)
    bad += [result for result in results if isinstance(result, BadFile)]
    if bad and not skip_bad:
        raise InputError(_bad_message(root, bad), skip_bad="skip_bad=True")
    manifest = Manifest(
        root=root,
        class_names=tuple(folder.name for folder in classes),
        images=tuple(result for result in results if isinstance(result, ImageRecord)),
        bad=tuple(bad),
    )
    for name, count in manifest.counts().items():
        if not count:
            raise InputError(f"{root / name}: none of its files is a usable image; add images or remove it")
    return manifest


def is_litter(name: str) -> bool:
    """Says whether a file or folder of this name is hidden, or left by an operating system."""
    return name.startswith(".") or name.lower() in LITTER


def _visible(names: list[str]) -> list[str]:
    return sorted(name for name in names if not is_litter(name))


def _class_folders(root: Path) -> tuple[list[Path], list[BadFile]]:
    """Returns the class folders, and the images that lie beside them."""
    if not root.exists():
        raise InputError(f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root}: a file; a folder per class is wanted")
    try:
        paths = [root / name for name in _visible(os.listdir(root))]
    except OSError as error:
        raise InputError(f"{root}: {error.strerror}") from error
    classes = [path for path in paths if path.is_dir()]
    stray = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()]
    if len(classes) < 2:
        found = f"one class folder ({printable(classes[0].name)})" if classes else "no class folder"
        beside = f", images right in it ({len(stray)})" if stray else ""
        raise InputError(f"{root}: {found}{beside}; a folder for each of at least two classes is wanted")
    return classes, [BadFile(path.name, "lies outside the class folders") for path in stray]


def _files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the files below `folder` in order, and the links to folders."""
    files, links = [], []

    def stop(error: OSError) -> None:
        raise InputError(f"{printable(error.filename)}: {error.strerror}") from error

    for place, folders, names in os.walk(folder, onerror=stop):
        folders[:] = _visible(folders)
        links += [Path(place, name) for name in folders if os.path.islink(os.path.join(place, name))]
        files += [Path(place, name) for name in _visible(names)]
    if not files:
        raise InputError(f"{printable(folder)}: an empty class folder; add images or remove it")
    return sorted(files, key=Path.as_posix), links


def _limited(files: list[Path], limit: int | None) -> list[Path]:
    if limit is None or len(files) <= limit:
        return files
    chosen = np.random.default_rng(0).choice(len(files), limit, replace=False)
    return [files[i] for i in sorted(chosen)]


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _check(root: Path, path: Path, label: int) -> ImageRecord | BadFile:
    name = _below(root, path)
    try:
        if path.exists() and not path.is_file():
            return BadFile(name, "no regular file")  # reading a pipe would wait for ever
        data = path.read_bytes()
        image, kind, mode = decode_image(data)
    except OSError as error:
        return BadFile(name, error.strerror or "can't be opened")
    except InputError as error:
        return BadFile(name, str(error))
    suffix = path.suffix.lower()
    if suffix not in FORMATS[kind] and suffix:
        return BadFile(name, f"named {suffix} but holds a {kind} image; rename it to {FORMATS[kind][0]}")
    return ImageRecord(name, label, image.shape[1], image.shape[0], mode, sha256(data).hexdigest())


def _bad_message(root: Path, bad: list[BadFile]) -> str:
    count = "1 file is" if len(bad) == 1 else f"{len(bad)} files are"
    lines = [
        f"{root}: {count} no usable image; mend or remove, or go on without ({{skip_bad}}):",
        *(f"  {printable(file.path)}: {file.reason}" for file in bad[:LISTED]),
    ]
    if len(bad) > LISTED:
        lines.append(f"  … and {len(bad) - LISTED} more")
    return "\n".join(lines)

"""A folder per class becomes a checked list of images: every file is opened once, none silently dropped."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from cnnzoo.data.images import FORMATS, decode_image, track
from cnnzoo.errors import InputError

LISTED = 50  # bad files named in an error message; more than that nobody mends by hand
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
        rows = [[image.path, image.label, image.sha256] for image in self.images]
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
        Path(path).write_text(json.dumps(content), encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> "Manifest":
        """Reads what `save` wrote."""
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return Manifest(
            root=Path(content["root"]),
            class_names=tuple(content["class_names"]),
            images=tuple(ImageRecord(*values) for values in content["images"]),
            bad=tuple(BadFile(**bad) for bad in content["bad"]),
        )


def build_manifest(
    root: str | Path, *, limit: int | None = None, skip_bad: bool = False, progress: bool = True
) -> Manifest:
    """Opens every image below `root` once, in parallel.

    A class is a folder right below `root`, its images lie anywhere below that. Hidden files, `Thumbs.db`,
    `desktop.ini` and `__MACOSX` are passed over.

    Args:
        root: a folder per class.
        limit: images per class at most, chosen at random but always the same ones.
        skip_bad: list files that are no images in `Manifest.bad` instead of stopping at them.
        progress: show a bar on the terminal.

    Raises:
        InputError: no folder per class, an empty class, or files that are no usable images: each is named.
    """
    root = Path(root)
    classes = _class_folders(root)
    stray = [
        BadFile(file.name, "lies outside the class folders") for file in _visible(root) if file.is_file()
    ]
    files = [
        (path, label)
        for label, folder in enumerate(classes)
        for path in _limited(_files_below(folder), limit, folder)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = pool.map(lambda item: _check(root, *item), files)
        results = list(track(checked, len(files), "checking images", progress=progress))
    bad = tuple(stray + [result for result in results if isinstance(result, BadFile)])
    if bad and not skip_bad:
        raise InputError(_bad_message(root, bad))
    manifest = Manifest(
        root=root,
        class_names=tuple(folder.name for folder in classes),
        images=tuple(result for result in results if isinstance(result, ImageRecord)),
        bad=bad,
    )
    for name, count in manifest.counts().items():
        if not count:
            raise InputError(f"{root / name}: none of its files is a usable image; add images or remove it")
    return manifest


def _visible(folder: Path) -> list[Path]:
    names = sorted(name for name in os.listdir(folder) if name[0] != "." and name.lower() not in LITTER)
    return [folder / name for name in names]


def _class_folders(root: Path) -> list[Path]:
    if not root.exists():
        raise InputError(f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root}: a file; a folder per class is wanted")
    classes = [path for path in _visible(root) if path.is_dir()]
    if len(classes) < 2:
        found = f"one class folder ({classes[0].name})" if classes else "no class folder"
        raise InputError(f"{root}: {found}; a folder for each of at least two classes is wanted")
    return classes


def _files_below(folder: Path) -> list[Path]:
    def walk(place: Path) -> Iterator[Path]:
        for path in _visible(place):
            if path.is_dir() and not path.is_symlink():
                yield from walk(path)
            elif not path.is_dir():
                yield path

    files = list(walk(folder))
    if not files:
        raise InputError(f"{folder}: an empty class folder; add images or remove it")
    return files


def _limited(files: list[Path], limit: int | None, folder: Path) -> list[Path]:
    if limit is None or len(files) <= limit:
        return files
    chosen = np.random.default_rng(0).choice(len(files), limit, replace=False)
    return [files[i] for i in sorted(chosen)]


def _check(root: Path, path: Path, label: int) -> ImageRecord | BadFile:
    name = path.relative_to(root).as_posix()
    try:
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


def _bad_message(root: Path, bad: tuple[BadFile, ...]) -> str:
    count = "1 file is" if len(bad) == 1 else f"{len(bad)} files are"
    lines = [
        f"{root}: {count} no usable image; mend or remove, or go on without (--skip-bad, skip_bad=True):",
        *(f"  {file.path}: {file.reason}" for file in bad[:LISTED]),
    ]
    if len(bad) > LISTED:
        lines.append(f"  … and {len(bad) - LISTED} more")
    return "\n".join(lines)

"""The images that are measured with: the same files for cnnzoo and for what stands beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from cnnzoo.data.manifest import Manifest, build_manifest
from cnnzoo.data.sources.find import find_data
from cnnzoo.files import cache_dir
from experiments.benchmarks.registry import Request


def manifest_of(request: Request) -> Manifest:
    """Returns the images to measure speed with."""
    folder = find_data(request.data, limit=request.few)
    return build_manifest(folder, limit=request.few, skip_bad=True)


@contextmanager
def linked(manifest: Manifest) -> Iterator[Path]:
    """Gives a folder per class with links to the images of a manifest, for those who read nothing else."""
    with TemporaryDirectory(prefix="cnnzoo-bench-", dir=cache_dir()) as name:
        link_images(manifest, Path(name))
        yield Path(name)


def link_images(manifest: Manifest, folder: Path) -> None:
    """Makes a folder per class with links to the images of a manifest."""
    for number, image in enumerate(manifest.images):
        target = (manifest.root / image.path).resolve()
        link = folder / manifest.class_names[image.label] / f"{number:06}{target.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def first_images(manifest: Manifest, each: int) -> Manifest:
    """Returns a manifest of the first `each` images of each class, at most."""
    chosen = [
        image
        for label in range(len(manifest.class_names))
        for image in [image for image in manifest.images if image.label == label][:each]
    ]
    return replace(manifest, images=tuple(chosen))

"""The images that are measured with: the same files for cnnzoo and for what stands beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cnnzoo.data.manifest import Manifest, build_manifest
from cnnzoo.data.sources.find import find_data
from cnnzoo.files import cache_dir
from experiments.benchmarks.registry import Request


def manifest_of(request: Request) -> Manifest:
    """Returns the images that were asked for."""
    folder = find_data(request.data, limit=request.limit)
    return build_manifest(folder, limit=request.limit, skip_bad=True)


@contextmanager
def linked(manifest: Manifest) -> Iterator[Path]:
    """Gives a folder per class with links to the images of a manifest, for those who read nothing else."""
    with TemporaryDirectory(prefix="cnnzoo-bench-", dir=cache_dir()) as name:
        folder = Path(name)
        for number, image in enumerate(manifest.images):
            target = (manifest.root / image.path).resolve()
            link = folder / manifest.class_names[image.label] / f"{number:06}{target.suffix}"
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(target)
        yield folder

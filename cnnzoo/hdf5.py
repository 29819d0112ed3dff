"""HDF5 files of others: what is in one is looked at before an array of it is read."""

from collections.abc import Iterator

import h5py
import numpy as np

MOST_EXPANSION = 20  # times the size of the file: weights hardly compress
SMALL = 1 << 20  # bytes that may be declared whatever the size of the file


def check_hdf5(file: h5py.File, size: int) -> None:
    """Checks that a file of `size` bytes holds plain arrays of numbers, all of them in itself.

    Raises:
        ValueError: a link or an array leads out of the file, an array holds something else than numbers, or
            they would be far larger than the file.
    """
    # What a callback raises, h5py loses; what it returns ends the walk.
    if link := file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name):
        raise ValueError(f"{link!r} is a link to something else")
    declared = 0
    for name, dataset in _datasets(file):
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"the array {name!r} lies in another file")
        if dataset.dtype.kind not in "fiub":
            raise ValueError(f"{name!r} holds no numbers ({dataset.dtype})")
        declared += dataset.size * dataset.dtype.itemsize
    if declared > max(SMALL, MOST_EXPANSION * size):
        raise ValueError(f"its arrays would take {declared:,} bytes, it has {size:,}")


def not_finite(file: h5py.File) -> str:
    """Returns the name of an array with NaN or infinity in it; empty if there is none."""
    for name, dataset in _datasets(file):
        if dataset.dtype.kind == "f" and not np.isfinite(dataset[()]).all():
            return name
    return ""


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every array of a file with its name: each once, wherever hard links lead."""
    found: list[tuple[str, h5py.Dataset]] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item))

    file.visititems(note)
    return iter(found)

"""What a folder was read as, in lines for people: its classes, and what about them may not be meant."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cnnzoo.data.class_names import look_alikes, side_of
from cnnzoo.errors import printable

if TYPE_CHECKING:
    from cnnzoo.data.manifest import Manifest


def class_line(counts: Mapping[str, int], positive: str) -> str:
    """Returns `Classes: crack 60 images (positive), sound 60 images`."""
    told = (
        f"{printable(name)} {count:,} image{'s' * (count != 1)}{' (positive)' * (name == positive)}"
        for name, count in counts.items()
    )
    return f"Classes: {', '.join(told)}"


def doubts(manifest: "Manifest") -> Iterator[str]:
    """Yields what may not be meant: names that look alike or like a side of a split, folders passed over."""
    for names in look_alikes(manifest.class_names):
        told = " and ".join(f"'{printable(name)}'" for name in names)
        yield f"The classes {told} differ in spelling alone; if they are one class, put them into one folder"
    for name in manifest.class_names:
        if side := side_of(name):
            yield (
                f"'{printable(name)}' is taken for a class; if it holds {side} images, move it out, or put "
                "every class into train, val and test"
            )
    for folder in manifest.passed_over:
        yield f"Passed over {printable(folder.path)}: {printable(folder.reason)}"

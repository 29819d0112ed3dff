"""Where images come from: synthetic concrete, the METU data set, or a folder of the user's."""

from pathlib import Path

from cnnzoo.errors import InputError

DEMONSTRATION_IMAGES = 1000  # of each class: 1,400 to train on, 400 to choose by, 200 to test


def find_data(name: str, *, limit: int | None = None) -> Path:
    """Returns the folder, or the CSV file, of a name.

    Args:
        name: "synthetic", "metu", a folder or a CSV file.
        limit: images per class that are needed, which only `synthetic` heeds.

    Raises:
        InputError: the data can't be had; the message says what to do.
    """
    if name == "synthetic":
        from cnnzoo.data.sources.synthetic import synthetic_concrete

        return synthetic_concrete(limit or DEMONSTRATION_IMAGES)
    if name == "metu":
        from cnnzoo.data.sources.metu import metu_folder

        return metu_folder()
    folder = Path(name)
    if not folder.exists():
        raise InputError(
            f"{{name}} {name}: no such folder or file; give a folder, a CSV file, 'metu' or 'synthetic'",
            name="name",
        )
    return folder

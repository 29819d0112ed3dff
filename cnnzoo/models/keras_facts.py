"""What the functions of keras.applications say about themselves: size, source, weights file."""

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
from keras.src.utils import file_utils

from cnnzoo.models.weights import PublishedFile

USUAL_SIZE = 224
_LOCK = threading.RLock()


@cache
def default_size(function: Callable[..., keras.Model]) -> int:
    """Returns the side in pixels that an application is made for; nothing is built.

    Keras names it where it refuses another one for the whole network with ImageNet's weights. MobileNetV3,
    which takes any size, has it in its documentation.
    """
    message = ""
    with nothing_fetched():
        try:
            function(weights="imagenet", input_shape=(1, 1, 3))
        except ValueError as error:
            message = str(error)
    for text in (message, function.__doc__ or ""):
        if found := re.search(r"\((\d\d+), \1, 3\)", text):
            return int(found[1])
    return USUAL_SIZE


def reference(function: Callable[..., Any]) -> tuple[str, str, int]:
    """Returns title with venue, address and year of the paper that an application's documentation names.

    The year is that of the first version on arXiv; 0 where it is not there.
    """
    text = " ".join((function.__doc__ or "").split())
    found = re.search(
        r"References?: ?-? ?\[(?P<title>.*?)\] ?\( ?(?P<url>\S+?)\)(?P<venue> ?\([^()]*\))?", text
    )
    if found is None:
        return f"keras.applications.{function.__name__}", "https://keras.io/api/applications", 0
    year = re.search(r"arxiv\.org/\w+/(\d\d)", found["url"])
    venue = (found["venue"] or "").strip(" ()")
    source = f"{found['title']}, {venue}" if venue else found["title"]
    return source, found["url"].replace("http://", "https://"), 2000 + int(year[1]) if year else 0


@contextmanager
def nothing_fetched() -> Iterator[list[PublishedFile]]:
    """Lets functions of keras.applications build what ImageNet's weights fit without loading these.

    Keras states which file that would be nowhere but in the code that fetches it, so for this thread fetching
    and loading are put aside for the time being.

    Yields:
        The files that were asked for.
    """
    asked: list[PublishedFile] = []
    here = threading.get_ident()
    get_file, load = file_utils.get_file, keras.Model.load_weights

    def note(fname: str, origin: str, *rest: Any, file_hash: str | None = None, **more: Any) -> str:
        if threading.get_ident() != here:
            return get_file(fname, origin, *rest, file_hash=file_hash, **more)
        asked.append(PublishedFile(origin, md5=file_hash, cached_as=fname))
        return fname

    def skip(model: keras.Model, *rest: Any, **more: Any) -> None:
        if threading.get_ident() != here:
            load(model, *rest, **more)

    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some sizes share a file
        file_utils.get_file, keras.Model.load_weights = note, skip
        try:
            yield asked
        finally:
            file_utils.get_file, keras.Model.load_weights = get_file, load

"""How our templates are read."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


def environment(
    folder: Path, *, markdown: bool = False, finalize: Callable[[Any], Any] | None = None
) -> "jinja2.Environment":
    """Returns what reads the templates of a folder: a name that they lack is an error.

    HTML is escaped; Markdown is not, whose own escapes are in what is put into it.
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=not markdown,  # noqa: S701
        keep_trailing_newline=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
    )

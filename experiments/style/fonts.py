"""Text that a picture can show: fonts for its scripts, and the code of a character that no font has."""

import logging
from collections.abc import Iterable
from functools import lru_cache

FIRST = "DejaVu Sans"  # matplotlib brings it along


def with_fonts(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the texts as they can be drawn, and the families of fonts to draw them with, the usual first.

    A character that no installed font has is replaced by its code, as in `\\u88c2`.
    """
    listed = list(texts)
    wanted = {c for text in listed for c in text if c != "\n"}
    families, missing = [FIRST], wanted - _characters(FIRST)
    for family in _others() if missing else ():
        if found := missing & _characters(family):
            families.append(family)
            missing -= found
        if not missing:
            break
    codes = str.maketrans({c: c.encode("unicode_escape").decode() for c in missing})
    return [text.translate(codes) for text in listed], families


@lru_cache
def _others() -> tuple[str, ...]:
    """The installed families, but for those that draw a box for every character."""
    # It tells of a font that has but one weight.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return tuple(sorted(name for name in _files() if name != FIRST and "Last Resort" not in name))


@lru_cache
def _files() -> dict[str, str]:
    """A file of each family."""
    from matplotlib.font_manager import fontManager

    return {font.name: font.fname for font in fontManager.ttflist}


@lru_cache
def _characters(family: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(_files()[family]).get_charmap()))
    # Gone since, or of a kind that matplotlib can't read.
    except (KeyError, ValueError, RuntimeError, OSError):
        return frozenset()

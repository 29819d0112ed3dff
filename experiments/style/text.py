"""Numbers and names as people read them."""

import re
from collections.abc import Sequence

from cnnzoo.errors import printable


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def few_listed(names: Sequence[str], most: int = 3) -> str:
    """The first of the names, and how many others there are."""
    shown = [printable(name) for name in names[:most]]
    if len(names) > most:
        shown.append(f"{len(names) - most} other class{'es' if len(names) > most + 1 else ''}")
    return listed(shown)


def sentence(text: str) -> str:
    """Returns `text` with a capital letter in front and a full stop behind."""
    ended = text if text.endswith((".", "?", "!")) else f"{text}."
    return ended[:1].upper() + ended[1:]


def start_of(weights: str) -> str:
    """What a network started from, in words, as a record names it."""
    known = {"random": "random weights", "imagenet": "ImageNet weights"}
    return known.get(weights, f"the weights in {printable(weights)}")


def shorten(text: str, length: int = 24) -> str:
    """Returns `text` on one line with its middle left out where it is longer than `length`."""
    text = printable(text)
    if len(text) <= length:
        return text
    return f"{text[: (length - 1) // 2]}…{text[len(text) - length // 2 :]}"


def shorten_apart(names: Sequence[str], length: int) -> list[str]:
    """Returns each name in at most `length` characters, so that different names stay different."""
    names = [printable(name) for name in names]
    short = {name: shorten(name, length) for name in names}
    if len(set(short.values())) < len(short):
        short = {name: name if len(name) <= length else f"…{name[1 - length :]}" for name in names}
    if len(set(short.values())) < len(short):
        places = {name: f" ({place})" for place, name in enumerate(short, 1)}
        short = {name: shorten(name, length - len(places[name])) + places[name] for name in short}
    return [short[name] for name in names]


def folded(text: str, width: int) -> list[str]:
    """Returns `text` in lines of at most `width`, broken behind a space or one of `_-./` where it can be."""
    lines = [""]
    for part in re.findall(r"[^ _\-./]*[ _\-./]|[^ _\-./]+", printable(text)):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return [line.rstrip() for line in lines]


def human_time(seconds: float | None) -> str:
    """Seconds as people say them: `3.3 s`, `4 min 07 s`, `2 h 05 min`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02} min"


def human_count(number: float | None) -> str:
    """A large number to three digits: `2.26 M`, `539 k`."""
    if number is None:
        return ""
    number = float(f"{number:.3g}")
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def number(value: float | None, digits: int) -> str:
    """A number with fixed digits; empty where there is none."""
    return "" if value is None else f"{value:,.{digits}f}"


def interval_of(bounds: tuple[float, float] | None) -> str:
    """`0.9883 to 0.9958`; empty where there is none."""
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else ""


def plural(count: int, what: str) -> str:
    """Returns the number with its noun."""
    return f"{count:,} {what}{'s' * (count != 1)}"

"""CSV files: as people and spreadsheets write them, and ours, which no spreadsheet takes for formulas."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from cnnzoo.errors import InputError, printable
from cnnzoo.files import replaced_whole

DELIMITERS = ",;\t|"
MOST_BYTES = 1 << 28  # paths of some million images
SHOWN = 60  # characters of a cell in a message

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# A spreadsheet takes a cell for a formula that begins so, maybe behind blanks, quotes and what is not seen.
_BLANK = r" \x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
_AHEAD = rf"[{_BLANK}\"'`´‘’“”]*"
_FORMULA = rf"{_AHEAD}[=+\-@＝＋－＠]"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # of a pair: stands for no byte of a name


def _beginning(mark: str) -> re.Pattern[str]:
    """Finds `mark` where a formula would begin: a spreadsheet may take a semicolon for the end of a cell."""
    return re.compile(rf"\A{mark}(?={_AHEAD}[\t\r\n]|{_FORMULA})|(?<=[;\t\r\n]){mark}(?={_FORMULA})")


_BARE, _MARKED = _beginning(""), _beginning("'")


def inert(cell: object) -> object:
    """Returns a cell that no spreadsheet runs: text that it would take for a formula gets an apostrophe.

    `as_meant` takes it away again, also from a text that has apostrophes of its own.
    """
    if not isinstance(cell, str | Path) or _NUMBER.fullmatch(text := str(cell)):
        return cell
    return _BARE.sub("'", text)


def as_meant(cell: str) -> str:
    """Returns the text of which `inert` made `cell`."""
    return _MARKED.sub("", cell)


def write_table(path: Path, titles: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file whole: UTF-8, bytes of names that are not kept as they are, every text `inert`."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(inert, titles))
    writer.writerows(map(inert, line) for line in lines)
    content = _HALF.sub("\ufffd", text.getvalue()).encode("utf-8", "surrogateescape")
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_bytes(content)
        return
    with replaced_whole(path) as unfinished:
        unfinished.write_bytes(content)


def read_own(path: Path) -> list[dict[str, str]]:
    """Reads what `write_table` wrote: a cell for each title in each line.

    Raises:
        OSError: it can't be read.
        ValueError: it is no such file.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    try:
        titles, *lines = csv.reader(StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from None
    names = [as_meant(title) for title in titles]
    return [dict(zip(names, map(as_meant, line), strict=True)) for line in lines]


def read_table(
    path: Path, columns: Mapping[str, Sequence[str]], wrong: Callable[[str], InputError]
) -> list[tuple[int, dict[str, str]]]:
    """Reads a CSV file with a first line of titles, as people, spreadsheets or `write_table` wrote it.

    Args:
        path: UTF-8, though bytes that are not are kept, or with the byte order mark of UTF-16 or 32; its
            first line decides between comma, semicolon, tab and bar.
        columns: other titles that each column may have, by its name. A column whose titles begin with an
            empty one may be missing.
        wrong: makes the error of a sentence that says what is wrong with the file.

    Returns:
        The number of each line with its cells as they are, by column, and by title where it is none of these.

    Raises:
        InputError: no such file, no text, a column is missing or there twice, quotation marks don't pair, or
            a line has more or fewer cells than titles.
    """
    text, delimiter = _split_off_separator(_text(path, wrong))
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    delimiter = delimiter or max(DELIMITERS, key=first.count)
    records = _records(text, delimiter, wrong)
    _, head = next(records, (1, []))
    titles = [title.strip().casefold() for title in head]
    # As a spreadsheet saves it that has read each line as one cell, with more cells behind.
    if titles and titles[-1].endswith(tuple(DELIMITERS)):
        raise wrong(
            f"its first line has {shown(delimiter)} and ends in {shown(titles[-1][-1])}; choose one separator"
        )
    places = _places(columns, titles, first, wrong)
    used = {titles[place] for place in places.values()}
    lines = []
    for number, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        _check_count(number, cells, titles, wrong)
        values = {name: cells[place] for name, place in places.items()}
        others = {
            title: cell for title, cell in zip(titles, cells, strict=True) if title and title not in used
        }
        lines.append((number, values | others))
    return lines


def shown(cell: str) -> str:
    """Returns a cell for a message, in quotation marks and cut where it is long."""
    return f"'{printable(cell if len(cell) <= SHOWN else f'{cell[: SHOWN - 1]}…')}'"


def _text(path: Path, wrong: Callable[[str], InputError]) -> str:
    """The text of a file, whatever its byte order mark says that it is written in."""
    try:
        if path.exists() and not path.is_file():
            raise wrong("no regular file")  # a pipe would be waited for, /dev/zero never end
        if path.stat().st_size > MOST_BYTES:
            raise wrong(f"larger than {MOST_BYTES >> 20} MiB; a list of images is not")
        content = path.read_bytes()
    except OSError as error:
        raise wrong(error.strerror or "can't be opened") from None
    mark, encoding = next(((m, e) for m, e in _MARKS if content.startswith(m)), (b"", "utf-8"))
    try:
        errors = "surrogateescape" if encoding == "utf-8" else "strict"
        text = content.removeprefix(mark).decode(encoding, errors)
    except UnicodeDecodeError:
        raise wrong(
            f"its first bytes say {encoding.upper()}, but it is not; save it as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise wrong("UTF-16 without its byte order mark, or no text; save it as CSV in UTF-8")
    return text


def _split_off_separator(text: str) -> tuple[str, str]:
    """What stands below Excel's own first line, as in `sep=;`, and the separator; "" where there is none."""
    found = re.match(r"\"?sep=(.)\"?(?:\r\n|\r|\n|\Z)", text)
    return (text[found.end() :], found[1]) if found else (text, "")


def _records(
    text: str, delimiter: str, wrong: Callable[[str], InputError]
) -> Iterator[tuple[int, list[str]]]:
    """Yields the cells of each record with the number of its first line."""
    # Not splitlines, which ends lines at more characters than a file name may lack. Strict, or else a
    # quotation mark without its fellow takes in all lines to the end.
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise wrong(f"line {number}: {error}; do its quotation marks come in pairs?") from None
        if cells is None:
            return
        yield number, cells


def _places(
    columns: Mapping[str, Sequence[str]], titles: list[str], first: str, wrong: Callable[[str], InputError]
) -> dict[str, int]:
    """Which cell of a line is in which column."""
    twice = [title for title, count in Counter(titles).items() if count > 1 and title]
    if twice:
        raise wrong(f"its first line has two columns {shown(twice[0])}; leave one of them")
    places = {}
    for name, others in columns.items():
        place = next((titles.index(t) for t in (name, *filter(None, others)) if t in titles), None)
        if place is not None:
            places[name] = place
    needed = [name for name, others in columns.items() if "" not in others]
    if not places.keys() >= set(needed):
        raise wrong(
            f"its first line must name the columns {','.join(needed)}, not {printable(first[:SHOWN])}"
        )
    return places


def _check_count(
    number: int, cells: list[str], titles: list[str], wrong: Callable[[str], InputError]
) -> None:
    if len(cells) != len(titles):
        raise wrong(
            f"line {number} has {len(cells)} cells where the first line has {len(titles)} titles; a path "
            "with the separator in it needs quotation marks"
        )
    untitled = next((c for t, c in zip(titles, cells, strict=True) if not t and c.strip()), None)
    if untitled is not None:
        raise wrong(f"line {number} has {shown(untitled)} in a column without a title; give it one")

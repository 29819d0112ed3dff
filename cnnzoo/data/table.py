"""A CSV file as people and spreadsheets write it: commas, semicolons or tabs, a byte order mark or none."""

import csv
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from cnnzoo.errors import InputError, printable

DELIMITERS = ",;\t"


def read_table(
    path: Path, columns: Mapping[str, Sequence[str]], wrong: Callable[[str], InputError]
) -> list[tuple[int, dict[str, str]]]:
    """Reads a CSV file with a first line of titles.

    Args:
        path: UTF-8, though bytes that are not are kept; its first line decides between comma, semicolon
            and tab.
        columns: other titles that each column may have, by its name. A column whose titles begin with an
            empty one may be missing.
        wrong: makes the error of a sentence that says what is wrong with the file.

    Returns:
        The number of each line with its cells as they are, by column, and by title where it is none of these.

    Raises:
        InputError: no such file, UTF-16, a column is missing, or a line has more or fewer cells than titles.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        raise wrong(error.strerror or "can't be opened") from None
    if "\0" in text:
        raise wrong("UTF-16, or no text; save it as CSV in UTF-8")
    if text.startswith("sep="):  # Excel's own
        text = text.partition("\n")[2]
    first = text.partition("\n")[0]
    # Not splitlines, which ends lines at more characters than a file name may lack.
    reader = csv.reader(StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count))
    try:
        titles = [title.strip().casefold() for title in next(reader, [])]
        places = {name: _place(name, others, titles) for name, others in columns.items()}
        needed = [name for name, others in columns.items() if "" not in others]
        if any(places[name] is None for name in needed):
            raise wrong(
                f"its first line must name the columns {','.join(needed)}, not {printable(first[:60])}"
            )
        used = {titles[place] for place in places.values() if place is not None}
        lines = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(titles):
                raise wrong(
                    f"line {reader.line_num} has {len(cells)} cells where the first line has {len(titles)} "
                    "titles; a path with the separator in it needs quotation marks"
                )
            values = {name: cells[place] for name, place in places.items() if place is not None}
            others = {title: cell for title, cell in zip(titles, cells, strict=True) if title not in used}
            lines.append((reader.line_num, values | others))
    except csv.Error as error:
        raise wrong(f"line {reader.line_num}: {error}") from None
    return lines


def _place(name: str, others: Sequence[str], titles: Sequence[str]) -> int | None:
    return next((titles.index(title) for title in (name, *filter(None, others)) if title in titles), None)

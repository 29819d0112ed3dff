"""Names of files and classes that would act upon a terminal, a spreadsheet, a page, a picture, a disk."""

import csv
import io
import json
import random
import re
import unicodedata
import warnings

import numpy as np
import pytest
from markdown_it import MarkdownIt

from cnnzoo.data.manifest import ImageRecord, Manifest
from cnnzoo.data.table import as_meant, inert, read_own, write_table
from cnnzoo.errors import InputError, printable
from cnnzoo.files import file_stem, write_whole
from experiments import audit, compare
from experiments.cli.process import exit_code
from experiments.reporting.tables.latex import tex
from experiments.reporting.tables.markdown import escaped
from experiments.style.contact_sheet import draw_sheet

PIECES = [
    "=1+1", "+2", "-x", "@SUM(A1)", "\t", "\r", "\n", "\x1b[31m", "\x1b]8;;http://x\x07", "\x07",
    "\x9b2J", "\u202e", "\u200b", "\u2028", "\x85", "$x_1$", "_a_", "{", "}", "|", "`", "<b>",
    "<script>alert(1)</script>", "</script>", "[bold]", "%", "%s", "\\", "'", '"', ";", ",", " ", "  ",
    "＝1", "\ud800", "\udcfc", "裂缝", "شق", "🧱", "é", "http://a.b", "[a](b)", "![a](b)", "&amp;", "#",
    "*a*", "~~a~~", "-", "1.", ">", "crack", "a" * 80, "../x", "CON", ".", "\x00", "\ufeff", "\xad",
]  # fmt: skip


def names(count, seed=0):
    chance = random.Random(seed)
    made = ["".join(chance.choices(PIECES, k=chance.randint(1, 4))) for _ in range(count)]
    return [*PIECES, *made]


def test_people_see_one_line_that_acts_upon_nothing(record_property):
    """A name of any characters is shown on one line, with no character that a terminal would act upon."""
    for name in names(3000):
        for shown in (printable(name), str(InputError(printable(name)))):
            assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Zl", "Zp", "Cs", "Cn"}
            assert len(shown.splitlines()) <= 1
            shown.encode("utf-8")
    record_property("tried", 3000 + len(PIECES))


def formula(cell):
    """Whether a spreadsheet would run it: as OWASP lists it, and no number."""
    return (
        not re.fullmatch(r"[+-]?\d+\.?", cell)
        and cell.lstrip(" \"'").startswith(("=", "+", "-", "@", "＝"))
        and not cell.startswith("'")
    )


def test_no_spreadsheet_runs_a_cell_and_all_are_read_back(tmp_path, record_property):
    """No cell of a CSV file is a formula, and every name comes back as it was."""
    kept = [name for name in names(3000) if "\ud800" not in name and "\x00" not in name]
    write_table(tmp_path / "a.csv", ["path", "number"], [[name, -0.5] for name in kept])
    assert [line["path"] for line in read_own(tmp_path / "a.csv")] == kept
    text = (tmp_path / "a.csv").read_bytes().decode("utf-8", "surrogateescape")
    _, *lines = csv.reader(io.StringIO(text, newline=""))
    assert {number for _, number in lines} == {"-0.5"}
    assert not [cell for cell, _ in lines if formula(cell)]
    record_property("tried", len(kept))


@pytest.mark.parametrize("name", ["'", "''=1", "'=1", "=1", "' =1", "-1", "-1e5", "-a", "", "\t=1"])
def test_apostrophes_come_back(name):
    """An apostrophe of a name's own is told from one that disarms it."""
    assert as_meant(str(inert(name))) == name


def test_json_keeps_every_name(tmp_path):
    """A name of any characters comes back from a manifest as it was, and as the same file."""
    kept = [name for name in names(300) if "\ud800" not in name]
    images = tuple(ImageRecord(f"{i}/{name}", 0, 1, 1, "RGB", "0" * 64) for i, name in enumerate(kept))
    Manifest(tmp_path, ("a\udcfc",), images).save(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json").images == images
    json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))


def test_markdown_shows_a_name_and_does_nothing_else(record_property):
    """A name is text in Markdown: no tag, link, picture, code or stress comes of it."""
    parser = MarkdownIt("gfm-like", {"linkify": False})
    for name in names(2000):
        for token in parser.parse(f"| a |\n| --- |\n| x{escaped(name)} |\n"):
            kinds = {child.type for child in token.children or ()}
            assert kinds <= {"text", "text_special", "softbreak"}, (name, kinds)
    record_property("tried", 2000 + len(PIECES))


def test_latex_runs_nothing(record_property):
    """A name runs no command of LaTeX."""
    for name in names(2000):
        shown = re.sub(r"\\text[a-z]+|\\[_%$#&{}]", "", tex(name))
        assert not set("\\$%#&_^~") & set(shown), (name, shown)
    record_property("tried", 2000 + len(PIECES))


def test_pictures_show_any_name(tmp_path):
    """A name is no formula in a picture; a character that no font has is shown by its code."""
    titles = names(40)
    tiles = [np.full((8, 8, 3), 99, np.uint8)] * len(titles)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_sheet(tmp_path / "a.png", tiles, titles, heading="裂缝 $x_{")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_names_of_files_can_be_written(tmp_path, record_property):
    """A name of ours for a file can be written, and stays in its folder."""
    tried = names(1000)
    for name in [*tried, "x" * 300, "裂" * 300, "", ".", ".."]:
        stem = file_stem(name)
        path = tmp_path / f"{stem}-seed0-01234567.keras"
        path.touch()
        assert path.resolve().parent == tmp_path.resolve() and len(path.name.encode()) <= 255
    assert file_stem("x" * 300) != file_stem("x" * 301)
    record_property("tried", len(tried))


def test_a_name_as_long_as_a_disk_takes_is_written(tmp_path):
    """A file can be written under the longest name that a disk takes, and leaves nothing beside it."""
    for name in ("x" * 251, "裂" * 83):
        write_whole(tmp_path / f"{name}.csv", "a")
    assert sorted(len(path.name.encode()) for path in tmp_path.iterdir()) == [253, 255]


def test_folders_of_one_name_keep_their_files_apart(tmp_path):
    """No audited folder replaces what was written of another, however they are named."""
    folders = [tmp_path / name for name in ("b-3", "b", "c/b", "d/b", "e/b-3", "b 2", "b_2")]
    for folder in folders:
        folder.mkdir(parents=True)
    names = audit._names(folders)
    assert len(set(names)) == len(folders) and names[:2] == ["b-3", "b"]


def test_an_output_folder_that_trainings_cannot_write_to_is_named_first(tmp_path, capsys):
    """An output folder in whose name TensorFlow can't write is refused before any training."""
    out = tmp_path / "o\udcfct\nforged"
    assert exit_code(lambda: compare.main(["--data", str(tmp_path), "--out", str(out)])) == 2
    said = capsys.readouterr().err
    assert "not UTF-8" in said and "\\udcfct\\nforged" in said and len(said.splitlines()) == 1
    assert not out.exists()

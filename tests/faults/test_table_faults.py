"""Files that people write by hand or with a spreadsheet: groups, lists of images, recipes."""

import json
import os
import threading
from dataclasses import asdict

import pytest

from cnnzoo.data.audit.groups_csv import read_groups
from cnnzoo.data.manifest import ImageRecord, Manifest
from cnnzoo.errors import InputError
from experiments.recipes.lookup import find_recipes
from experiments.recipes.published import RECIPES

PATHS = ["a/0.jpg", "a/1.jpg", "b/2.jpg", "b/3.jpg"]


@pytest.fixture
def manifest(tmp_path):
    images = [ImageRecord(path, i // 2, 9, 9, "RGB", f"{i:064x}") for i, path in enumerate(PATHS)]
    return Manifest(tmp_path, ("a", "b"), tuple(images))


def lines(separator=",", end="\n", title="path,group", groups=("1", "2", "2", "1")):
    rows = [title.replace(",", separator)]
    rows += [f"{path}{separator}{group}" for path, group in zip(PATHS, groups, strict=True)]
    return end.join(rows) + end


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_groups_are_read_as_spreadsheets_write_them(manifest, tmp_path, separator, end, encoding):
    """A file of groups is read whatever separator, line end and encoding a spreadsheet chose."""
    file = tmp_path / "g.csv"
    file.write_bytes(lines(separator, end).encode(encoding))
    groups = read_groups(file, manifest)
    assert [groups[0] == groups[i] for i in range(4)] == [True, False, False, True]


WRONG = {
    "a cell too many": (lines(groups=("wall, 3", "1", "1", "1")), "line 2"),
    "a cell too few": (lines().replace("a/1.jpg,2", "a/1.jpg"), "line 3"),
    "no group": (lines(groups=("1", "", "2", "2")), "line 3"),
    "two groups": (lines() + "a/0.jpg,9\n", "two groups"),
    "an image too few": ("path,group\na/0.jpg,1\n", "no group for 3 images"),
    "other titles": (lines(title="file,wall"), "path,group"),
    "titles twice": (lines(title="group,group"), "two columns"),
    "a quotation mark alone": (lines().replace("a/1.jpg,2", '"a/1.jpg,2'), "line 3"),
    "nothing": ("", "path,group"),
    "no text": ("\0\0\0", "no text"),
    "a line of a million letters": ("x" * 1_000_000, "line 1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_groups_that_cannot_be_read_are_named(manifest, tmp_path, kind):
    """A file of groups that can be read in two ways, or in none, is refused by line or image."""
    text, said = WRONG[kind]
    file = tmp_path / "g.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        read_groups(file, manifest)
    message = refused.value.told({"groups": "--groups"})
    assert str(file) in message and "\n" not in message and len(message) < 500


VALUES = asdict(RECIPES["three_conv"])
RECIPE = json.dumps(VALUES)
NO_RECIPES = [
    *("", "[]", "null", "5", '"x"', "{", "[" * 200_000, '{"a":' * 100_000, '{"name": NaN}', "\0"),
    *('{"name": "a", "name": "b"}', RECIPE[:-9], "\ufeffx", " " * 2_000_000),
    json.dumps(VALUES | {"batch_size": 0}),
    json.dumps(VALUES | {"batch_size": float("-inf")}),
    json.dumps(VALUES | {"batch_size": 10**400}),
    json.dumps(VALUES | {"name": "../x"}),
    RECIPE.replace('"seed"', '"sead"'),
    RECIPE.replace("0.001", "NaN"),
    RECIPE.replace("adam", "x" * 5000),
]


@pytest.mark.parametrize("number", range(len(NO_RECIPES)))
def test_files_that_are_no_recipes_are_named(tmp_path, number):
    """A file that holds no recipe, or one with a mistake in it, is refused by its name and the place."""
    file = tmp_path / "r.json"
    file.write_text(NO_RECIPES[number])
    with pytest.raises(InputError) as refused:
        find_recipes([str(file)])
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


def read_recipe(path, manifest):
    find_recipes([str(path)])


def read_given_groups(path, manifest):
    read_groups(path, manifest)


@pytest.mark.parametrize("read", [read_recipe, read_given_groups])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "closed", "gone", "dangling link"])
def test_what_is_no_file_is_not_waited_for(tmp_path, manifest, kind, read):
    """A pipe, a device or a folder in place of a file is refused at once."""
    path = tmp_path / "x.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "closed":
        path.touch(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("whoever runs this may read every file")
    found = []

    def attempt():
        try:
            read(path, manifest)
        except InputError as error:
            found.append(str(error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert found and "\n" not in found[0]

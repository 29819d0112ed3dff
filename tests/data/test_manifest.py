import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from cnnzoo.data.manifest import BadFile, ImageRecord, Manifest, build_manifest
from cnnzoo.errors import InputError


def write(path, value=0, *, size=(6, 4), kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value % 256, value // 256, 7)).save(path, kind)
    return path


@pytest.fixture
def folder(tmp_path):
    """Classes `a` and `b` with three images each."""
    for label, name in enumerate("ab"):
        for i in range(3):
            write(tmp_path / "data" / name / f"{i}.png", 3 * label + i)
    return tmp_path / "data"


def bad_files(root):
    return {bad.path: bad.reason for bad in build_manifest(root, skip_bad=True).bad}


def test_every_image_is_recorded_with_size_mode_and_hash(folder):
    write(folder / "b" / "deep" / "er" / "x.JPG", 9, size=(5, 8))
    Image.new("L", (3, 2)).save(folder / "a" / "grey.png")
    manifest = build_manifest(folder)
    assert manifest.class_names == ("a", "b")
    assert manifest.counts() == {"a": 4, "b": 4}
    assert [image.path for image in manifest.images] == [
        *("a/0.png", "a/1.png", "a/2.png", "a/grey.png"),
        *("b/0.png", "b/1.png", "b/2.png", "b/deep/er/x.JPG"),
    ]
    assert [image.label for image in manifest.images] == [0] * 4 + [1] * 4
    deep = manifest.images[-1]
    assert (deep.width, deep.height, deep.mode) == (5, 8, "RGB")
    assert deep.sha256 == hashlib.sha256((folder / deep.path).read_bytes()).hexdigest()
    assert manifest.images[3].mode == "L"


def test_the_recorded_size_is_that_of_the_upright_image(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (9, 5)).save(folder / "a" / "z.png", exif=exif)
    turned = build_manifest(folder).images[3]
    assert (turned.path, turned.width, turned.height) == ("a/z.png", 5, 9)


def test_litter_and_hidden_files_are_passed_over(folder):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".hidden/x.png", "__MACOSX/._0.png"):
        for place in (folder, folder / "a"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(b"litter")
    (folder / "README.md").write_text("what this is")
    manifest = build_manifest(folder)
    assert manifest.class_names == ("a", "b")
    assert manifest.counts() == {"a": 3, "b": 3}


def test_names_of_any_kind(folder):
    names = ["ä é 木.png", "two\nlines.png", "upper.PNG", "no_suffix"]
    names += [os.fsdecode(b"not \xff utf-8.png")]
    for i, name in enumerate(names):
        write(folder / "a" / name, 100 + i, kind="PNG")
    manifest = build_manifest(folder)
    assert {image.path for image in manifest.images} >= {f"a/{name}" for name in names}
    manifest.save(folder / "manifest.json")
    assert Manifest.load(folder / "manifest.json").images == manifest.images


def test_bad_files_stop_with_the_list_and_the_way_out(folder):
    whole = write(folder / "a" / "cut.bmp", 5, size=(40, 40)).read_bytes()
    (folder / "a" / "cut.bmp").write_bytes(whole[:200])
    (folder / "b" / "empty.jpg").touch()
    (folder / "b" / "line\nbreak.gif").write_text("not an image")
    write(folder / "b" / "really.png", 8, kind="JPEG")
    Image.new("F", (4, 4)).save(folder / "b" / "heights.tif")
    write(folder / "stray.png", 8)
    (folder / "b" / "gone.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(InputError) as caught:
        build_manifest(folder)
    first, *lines = str(caught.value).splitlines()
    assert "7 files" in first
    assert "skip_bad=True" in first
    assert len(lines) == 7
    reasons = dict(line.strip().split(": ", 1) for line in lines)
    assert "cut off" in reasons["a/cut.bmp"]
    assert "empty" in reasons["b/empty.jpg"]
    assert "not a JPEG" in reasons[r"b/line\nbreak.gif"]
    assert reasons["b/really.png"] == "named .png but holds a JPEG image; rename it to .jpg"
    assert "floating point" in reasons["b/heights.tif"]
    assert "outside the class folders" in reasons["stray.png"]
    assert reasons["b/gone.png"] == "a link that leads nowhere"

    manifest = build_manifest(folder, skip_bad=True)
    assert manifest.counts() == {"a": 3, "b": 3}
    assert len(manifest.bad) == 7


def test_a_long_list_of_bad_files_is_counted(folder):
    for i in range(60):
        (folder / "a" / f"{i:02}.jpg").touch()
    with pytest.raises(InputError, match="60 files") as caught:
        build_manifest(folder)
    assert len(str(caught.value).splitlines()) == 52
    assert str(caught.value).endswith("and 10 more")


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.JPE", "a.jfif", "a"])
def test_all_names_of_a_jpeg_are_right(folder, name):
    write(folder / "a" / name, kind="JPEG")
    assert bad_files(folder) == {}


def test_links_to_folders_are_named_and_not_followed(folder):
    (folder / "a" / "again").symlink_to(folder, target_is_directory=True)
    assert bad_files(folder) == {"a/again": "a link to a folder; not followed"}
    (folder / "a" / "again").unlink()
    (folder / "a" / "file.png").symlink_to(folder / "b" / "0.png")
    assert build_manifest(folder).counts() == {"a": 4, "b": 3}


def test_a_pipe_does_not_hold_the_run_up(folder):
    os.mkfifo(folder / "a" / "pipe.png")
    assert bad_files(folder) == {"a/pipe.png": "no regular file"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root), "no such folder"),
        (lambda root: [shutil.rmtree(root), root.touch()], "a file; give a folder"),
        (lambda root: [shutil.rmtree(root), root.mkdir()], "no class folder"),
        (lambda root: shutil.rmtree(root / "a"), r"one class folder \(b\)"),
        (
            lambda root: [shutil.rmtree(root / x) for x in "ab"] + [write(root / "0.png")],
            r"images right in it \(1\)",
        ),
        (lambda root: (root / "c").mkdir(), "c: an empty class folder"),
        (lambda root: [(root / "c").mkdir(), (root / "c" / ".DS_Store").touch()], "c: an empty class folder"),
    ],
)
def test_a_folder_that_holds_no_classes_is_refused_in_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        build_manifest(folder, skip_bad=True)
    assert "\n" not in str(caught.value)


def test_a_class_without_a_usable_image_is_refused(folder):
    (folder / "c").mkdir()
    (folder / "c" / "x.png").touch()
    with pytest.raises(InputError, match="none of the files of class c"):
        build_manifest(folder, skip_bad=True)


def test_the_fingerprint_follows_contents_and_nothing_else(folder, tmp_path):
    first = build_manifest(folder).fingerprint
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    os.utime(copy / "a" / "0.png", (1, 1))
    manifest = build_manifest(copy)
    assert manifest.fingerprint == first
    shuffled = Manifest(copy, manifest.class_names, manifest.images[::-1])
    assert shuffled.fingerprint == first

    prints = {first}
    write(copy / "a" / "0.png", 77)
    prints.add(build_manifest(copy).fingerprint)
    (copy / "a" / "0.png").rename(copy / "a" / "9.png")
    prints.add(build_manifest(copy).fingerprint)
    (copy / "a" / "9.png").unlink()
    prints.add(build_manifest(copy).fingerprint)
    (copy / "b").rename(copy / "c")
    prints.add(build_manifest(copy).fingerprint)
    assert len(prints) == 5


def test_a_limit_chooses_the_same_images_before_opening(tmp_path):
    for name in "ab":
        for i in range(30):
            write(tmp_path / name / f"{i:02}.png", i)
    some = build_manifest(tmp_path, limit=10)
    assert some.counts() == {"a": 10, "b": 10}
    assert some.images == build_manifest(tmp_path, limit=10).images
    paths = [image.path for image in some.images]
    assert paths == sorted(paths)
    assert paths[:10] != [f"a/{i:02}.png" for i in range(10)]
    assert build_manifest(tmp_path, limit=99).counts() == {"a": 30, "b": 30}

    for i in range(30):
        if f"a/{i:02}.png" not in paths:
            (tmp_path / "a" / f"{i:02}.png").write_bytes(b"")  # never opened
    assert build_manifest(tmp_path, limit=10).images == some.images
    (tmp_path / paths[0]).write_bytes(b"")
    with pytest.raises(InputError, match=paths[0]):
        build_manifest(tmp_path, limit=10)
    with pytest.raises(InputError, match="limit 0"):
        build_manifest(tmp_path, limit=0)


def test_a_saved_manifest_comes_back(folder, tmp_path):
    (folder / "a" / "empty.png").touch()
    manifest = build_manifest(folder, skip_bad=True)
    manifest.save(tmp_path / "manifest.json")
    again = Manifest.load(tmp_path / "manifest.json")
    assert (again.images, again.class_names, again.bad) == (
        manifest.images,
        manifest.class_names,
        (BadFile("a/empty.png", "the file is empty (zero bytes)"),),
    )
    assert again.root == folder.resolve()
    assert again.fingerprint == manifest.fingerprint
    assert isinstance(again.images[0], ImageRecord)


@pytest.mark.parametrize("text", ["", "{}", json.dumps([1]), '{"root": 1'])
def test_a_file_that_is_no_manifest_is_named(tmp_path, text):
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        Manifest.load(tmp_path / "none.json")
    (tmp_path / "some.json").write_text(text)
    with pytest.raises(InputError, match=r"some\.json: no manifest"):
        Manifest.load(tmp_path / "some.json")


def test_real_brickwork(shared):
    manifest = build_manifest(shared / "data" / "brickwork", progress=False)
    assert manifest.counts() == {"Negative": 350, "Positive": 350}
    assert {(image.width, image.height, image.mode) for image in manifest.images} == {(227, 227, "RGB")}
    assert len(np.unique([image.sha256 for image in manifest.images])) > 600

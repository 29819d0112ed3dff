"""Folders as people have them: what is read, what is refused, and with which words."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from cnnzoo.data.audit.groups_csv import read_groups
from cnnzoo.data.folders import look_below, mark_as_output
from cnnzoo.data.layout import read_layout
from cnnzoo.data.manifest import Manifest, build_manifest
from cnnzoo.data.splits import split_manifest
from cnnzoo.data.table import write_table
from cnnzoo.errors import InputError


def fill(folder, count=3, start=0):
    """Writes small images, all of them different."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        seed = [start + i, *os.fsencode(folder)]
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


def test_a_stray_picture_makes_no_class_of_a_folder_of_folders(tmp_path):
    for folder in ("D/CD", "D/UD", "P/CP", "P/UP"):
        fill(tmp_path / folder)
    fill(tmp_path / "D", 1)
    with pytest.raises(InputError, match="folders within folders"):
        build_manifest(tmp_path, progress=False)


def test_results_are_no_images(tmp_path):
    fill(tmp_path / "out" / "a"), fill(tmp_path / "out" / "b")
    mark_as_output(tmp_path / "out")
    with pytest.raises(InputError, match="results of cnnzoo, not images"):
        build_manifest(tmp_path / "out", progress=False)


def fill_sides(root, sides, count=12):
    for side in sides:
        for name in ("crack", "sound"):
            fill(root / side / name, count)
    return root


def sides_of(manifest):
    return {
        side: sum(image.side == side for image in manifest.images) for side in ("train", "validation", "test")
    }


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Train", "Valid", "Test"), ("training_set", "validation", "test_set")],
)
def test_a_folder_that_is_already_split_keeps_its_split(tmp_path, names):
    manifest = build_manifest(fill_sides(tmp_path, names), progress=False)
    assert manifest.class_names == ("crack", "sound")
    assert sides_of(manifest) == {"train": 24, "validation": 24, "test": 24}
    split = split_manifest(manifest)
    for side, name in zip((split.train, split.validation, split.test), names, strict=True):
        assert {manifest.images[i].path.split("/")[0] for i in side} == {name}
        assert len(side) == 24


def test_the_sides_may_lie_within_the_classes(tmp_path):
    for name in ("crack", "sound"):
        for side in ("train", "test"):
            fill(tmp_path / name / side, 12)
    manifest = build_manifest(tmp_path, progress=False)
    assert manifest.class_names == ("crack", "sound")
    assert sides_of(manifest) == {"train": 24, "validation": 0, "test": 24}


@pytest.mark.parametrize(
    ("names", "cut", "source"),
    [
        (("train", "test"), "validation", "train"),
        (("train", "val"), "test", "train"),
        (("val", "test"), "train", "val"),
    ],
)
def test_a_missing_side_is_cut_out_of_another_by_groups(tmp_path, names, cut, source):
    manifest = build_manifest(fill_sides(tmp_path, names, 40), progress=False)
    groups = [i // 2 for i in range(len(manifest.images))]
    split = split_manifest(manifest, groups=groups)
    sides = {"train": split.train, "validation": split.validation, "test": split.test}
    assert sum(map(len, sides.values())) == 160
    assert {manifest.images[i].path.split("/")[0] for i in sides[cut]} == {source}
    assert {manifest.images[i].label for i in sides[cut]} == {0, 1}
    rest = set(range(160)) - set(sides[cut])
    assert not {groups[i] for i in sides[cut]} & {groups[i] for i in rest}


def test_one_side_alone_is_split_as_any_other_folder(tmp_path):
    manifest = build_manifest(fill_sides(tmp_path, ["train"]), progress=False)
    assert not manifest.already_split
    assert manifest.class_names == ("crack", "sound")


def test_a_given_split_can_be_dealt_out_anew(tmp_path):
    manifest = build_manifest(fill_sides(tmp_path, ["train", "test"], 30), progress=False)
    split = split_manifest(manifest, given=False)
    assert {manifest.images[i].path.split("/")[0] for i in split.test} == {"train", "test"}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["D/CD", "D/UD", "P/CP", "P/UP"], "folders within folders: D holds CD and UD, P holds CP and UP"),
        (["wall/a", "wall/b", "roof/a", "roof/b"], "folders within folders"),
        (
            ["deck/images/crack", "deck/images/sound", "wall/images/crack", "wall/images/sound"],
            "deck holds crack",
        ),
        (["good/crack", "good/sound", "bad/crack", "bad/sound"], "bad holds crack and sound"),
        (["train/crack", "train/sound", "negative"], "beside them lies negative"),
        (["crack/train", "crack/trainval", "sound/train", "sound/trainval"], "not all alike"),
        (["ground truth", "images"], "look like pictures"),
        (["crack_images", "crack_masks"], "look like pictures"),
        (
            ["photos/crack", "photos/sound"],
            r"holds one folder, photos, with crack and sound in it; give .*photos",
        ),
        (["images", "masks"], "look like pictures with their masks"),
        (["train/images", "train/labels", "val/images", "val/labels"], "masks or boxes"),
        (["train", "val", "test"], "hold no folder per class"),
        (["train/crack", "train/sound", "test/crack"], "test has crack"),
        (["train/crack", "train/sound", "test/crack", "test/sound", "extra"], "beside them lies extra"),
        (["train/a", "train/b", "training/a", "training/b"], "both name the same side"),
        (
            ["crack/train", "crack/test", "sound"],
            "not all alike: crack has test and train; sound has no folder",
        ),
        (["crack/train", "crack/test", "sound/train"], "not all alike"),
        (["crack"], r"one class folder \(crack\)"),
    ],
)
def test_a_layout_that_can_be_misread_is_refused_with_what_was_seen(tmp_path, folders, message):
    for folder in folders:
        fill(tmp_path / "data" / folder)
    with pytest.raises(InputError, match=message) as caught:
        build_manifest(tmp_path / "data", progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "folders",
    [
        ["crack/wall", "crack/roof", "sound/wall", "sound/roof"],  # the names of the upper ones say it
        ["a/images", "b/images"],
    ],
)
def test_images_may_lie_deeper_where_it_is_plain_what_the_classes_are(tmp_path, folders):
    for folder in folders:
        fill(tmp_path / folder)
    names = tuple(sorted({folder.split("/")[0] for folder in folders}))
    assert build_manifest(tmp_path, progress=False).class_names == names


LITTER = [
    ".ipynb_checkpoints", "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information", "@eaDir",
    "#recycle", ".Trash-1000", ".picasaoriginals", "Network Trash Folder", "__pycache__",
]  # fmt: skip


@pytest.mark.parametrize("name", LITTER)
def test_what_systems_clouds_and_editors_leave_behind_is_no_class_and_no_image(tmp_path, name):
    fill(tmp_path / "crack"), fill(tmp_path / "sound")
    for place in (tmp_path, tmp_path / "crack"):
        fill(place / name)
        fill(place / name / "deeper")
    manifest = build_manifest(tmp_path, progress=False)
    assert manifest.counts() == {"crack": 3, "sound": 3}
    assert len(look_below(tmp_path).files) == 6


@pytest.mark.parametrize(
    "name",
    ["Thumbs.db", "._00.png", ".00.png.swp", "00.png~", "~$00.png", "00.png.part", "x.crdownload", "Icon\r"],
)
def test_a_file_that_is_litter_is_passed_over(tmp_path, name):
    fill(tmp_path / "crack"), fill(tmp_path / "sound")
    (tmp_path / "crack" / name).write_bytes(b"x")
    assert build_manifest(tmp_path, progress=False).bad == ()


@pytest.mark.parametrize("mark", [".cnnzoo", "runs.jsonl", "issues.csv", "pyvenv.cfg"])
def test_our_own_output_is_left_out_and_said_so(tmp_path, mark):
    fill(tmp_path / "crack"), fill(tmp_path / "sound")
    fill(tmp_path / "out" / "figures")
    fill(tmp_path / "crack" / "out")
    for out in (tmp_path / "out", tmp_path / "crack" / "out"):
        (out / mark).touch()
    manifest = build_manifest(tmp_path, progress=False)
    assert manifest.counts() == {"crack": 3, "sound": 3}
    assert [folder.path for folder in manifest.passed_over] == ["out", "crack/out"]


def test_a_marked_folder_is_output(tmp_path):
    fill(tmp_path / "crack"), fill(tmp_path / "sound")
    mark_as_output(fill(tmp_path / "audit"))
    assert build_manifest(tmp_path, progress=False).class_names == ("crack", "sound")


def test_links_and_what_is_in_the_cloud_are_named(tmp_path):
    fill(tmp_path / "crack"), fill(tmp_path / "sound")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "crack" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "crack" / "up").symlink_to("..")
    (tmp_path / "crack" / ".IMG_7.HEIC.icloud").touch()
    bad = {bad.path: bad.reason for bad in build_manifest(tmp_path, skip_bad=True, progress=False).bad}
    assert bad["gone"] == bad["crack/gone.png"] == "a link that leads nowhere"
    assert bad["crack/up"] == "a link to a folder; not followed"
    assert "iCloud" in bad["crack/.IMG_7.HEIC.icloud"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    fill(tmp_path / "crack"), fill(tmp_path / "sound")
    closed = fill(tmp_path / "crack" / "closed")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path) == os.fspath(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    (bad,) = build_manifest(tmp_path, skip_bad=True, progress=False).bad
    assert (bad.path, bad.reason) == ("crack/closed", "Permission denied")


def write_csv(path, lines, delimiter=","):
    path.write_text("\n".join(delimiter.join(line) for line in lines) + "\n")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_names_images_and_classes(tmp_path, delimiter):
    fill(tmp_path / "photos", 4)
    lines = [(f"photos/{i:02}.png", "crack" if i % 2 else "sound") for i in range(4)]
    file = write_csv(tmp_path / "list.csv", [("path", "class"), *lines], delimiter)
    manifest = build_manifest(file, progress=False)
    assert manifest.class_names == ("crack", "sound")
    assert {(image.path, manifest.class_names[image.label]) for image in manifest.images} == set(lines)


def test_a_csv_file_may_give_the_split_and_the_groups(tmp_path):
    fill(tmp_path / "photos", 12)
    lines = [
        (f"photos/{i:02}.png", "ab"[i % 2], ("train", "val", "test")[i // 4], f"wall {i // 2}")
        for i in range(12)
    ]
    file = write_csv(tmp_path / "list.csv", [("File", "Label", "split", "group"), *lines])
    manifest = build_manifest(file, progress=False)
    assert sides_of(manifest) == {"train": 4, "validation": 4, "test": 4}
    by_path = dict(zip([image.path for image in manifest.images], manifest.given_groups, strict=True))
    assert all(by_path[f"photos/{i:02}.png"] == by_path[f"photos/{i + 1:02}.png"] for i in range(0, 12, 2))
    assert len(set(by_path.values())) == 6
    manifest.save(tmp_path / "manifest.json")
    assert Manifest.load(tmp_path / "manifest.json").images == manifest.images


def test_a_column_of_sides_is_the_split_and_another_unused_one_is_named(tmp_path):
    fill(tmp_path / "photos", 4)
    lines = [(f"photos/{i:02}.png", "ab"[i // 2], ("train", "test")[i % 2], "x") for i in range(4)]
    file = write_csv(tmp_path / "list.csv", [("path", "class", "used for", "weather"), *lines])
    manifest = build_manifest(file, progress=False)
    assert sides_of(manifest) == {"train": 2, "validation": 0, "test": 2}
    (unused,) = manifest.passed_over
    assert unused.path == "list.csv/weather"


def test_lines_without_a_class_yet_are_left_out_with_a_word(tmp_path):
    fill(tmp_path / "photos", 6)
    classes = ("a", "b", "", " ", "b", "")
    lines = [(f"photos/{i:02}.png", name, str(i / 10)) for i, name in enumerate(classes)]
    file = write_csv(tmp_path / "list.csv", [("path", "class", "score"), *lines], delimiter=";")
    manifest = build_manifest(file, progress=False)
    assert manifest.counts() == {"a": 1, "b": 2}
    assert [image.path for image in manifest.images] == [f"photos/{i:02}.png" for i in (0, 1, 4)]
    reasons = {each.path: each.reason for each in manifest.passed_over}
    assert reasons["3 of 6 lines of list.csv"] == "no class yet, left out"
    write_csv(file, [("path", "class"), *((path, "") for path, *_ in lines)])
    with pytest.raises(InputError, match="no line has a class yet; fill in the column class"):
        build_manifest(file, progress=False)
    write_csv(file, [("path", "class"), ("photos/00.png", "a"), ("", "a")])
    with pytest.raises(InputError, match="line 3 lacks its path"):
        build_manifest(file, progress=False)


def test_one_file_under_two_spellings_is_refused(tmp_path):
    fill(tmp_path / "photos")
    for other in ("./photos/00.png", "photos/../photos/00.png", str(tmp_path / "photos" / "00.png")):
        file = write_csv(tmp_path / "list.csv", [("path", "class"), ("photos/00.png", "a"), (other, "b")])
        with pytest.raises(InputError, match="line 3 names"):
            build_manifest(file, progress=False)


@pytest.mark.parametrize(
    "name", ["a\x0cb.png", " a.png", "a.png\u00a0", "a\\b.png", "a\u2028b.png", "a\nb.png"]
)
def test_the_groups_that_the_audit_writes_come_back_whatever_the_names(tmp_path, name):
    fill(tmp_path / "crack"), fill(tmp_path / "sound")
    Image.new("RGB", (4, 4)).save(tmp_path / "crack" / name, "PNG")
    manifest = build_manifest(tmp_path, skip_bad=True, progress=False)
    groups = [(image.path, i // 2) for i, image in enumerate(manifest.images)]
    write_table(tmp_path / "groups.csv", ("path", "group"), groups)
    assert read_groups(tmp_path / "groups.csv", manifest) == [group for _, group in groups]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("name", "kind"), ("a", "b")], "its first line must name the columns path,class"),
        ([("path", "class"), ("photos/00.png", "a", "b")], "line 2 has 3 cells"),
        ([("path", "class"), ("photos/00.png", "")], "no line has a class yet"),
        (
            [("path", "class"), ("photos/00.png", "a"), ("photos/00.png", "b")],
            "line 3 names .photos/00.png. as line 2",
        ),
        ([("path", "class"), ("photos/00.png", "a")], "one class, .a."),
        ([("path", "class")], "no line below"),
        ([("path", "class", "split"), ("photos/00.png", "a", "often")], "line 2: 'often' is none of train"),
        (
            [("path", "class", "split"), ("photos/00.png", "a", "train"), ("photos/01.png", "b", "")],
            "1 lines have no",
        ),
    ],
)
def test_a_csv_file_that_is_wrong_is_refused_by_line(tmp_path, lines, message):
    fill(tmp_path / "photos")
    with pytest.raises(InputError, match=message) as caught:
        build_manifest(write_csv(tmp_path / "list.csv", lines), progress=False)
    assert "list.csv" in str(caught.value)


def test_the_fingerprint_knows_the_given_split(tmp_path):
    fill(tmp_path / "photos", 4)
    prints = set()
    for sides in (("train", "test") * 2, ("test", "train") * 2, ("",) * 4):
        lines = [(f"photos/{i:02}.png", "ab"[i // 2], side) for i, side in enumerate(sides)]
        file = write_csv(tmp_path / "list.csv", [("path", "class", "split"), *lines])
        prints.add(build_manifest(file, progress=False).fingerprint)
    assert len(prints) == 3
    assert json.dumps(sorted(prints))


def test_each_folder_is_listed_once_and_what_comes_later_is_seen(tmp_path, monkeypatch):
    for name in ("crack", "sound"):
        fill(tmp_path / name)
    listed = []
    scandir = os.scandir

    def counted(path):
        listed.append(os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    before = len(read_layout(tmp_path).members)
    assert sorted(listed) == [str(tmp_path), str(tmp_path / "crack"), str(tmp_path / "sound")]
    (tmp_path / "sound" / "later.jpg").touch()
    assert len(read_layout(tmp_path).members) == before + 1

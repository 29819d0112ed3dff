"""What a comparison trains and tests on, and the audit as a command."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnnzoo.data.audit.examine import audit_manifest
from cnnzoo.data.audit.groups import find_runs
from cnnzoo.data.audit.groups_csv import read_groups
from cnnzoo.data.manifest import ImageRecord, Manifest, build_manifest, joined
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.errors import InputError
from experiments import audit
from experiments.cli.folder_lines import doubts
from experiments.cli.process import exit_code
from experiments.compare import main
from experiments.runs.data_plan import prepare_data
from experiments.runs.sides import DataRequest
from experiments.runs.spec import DataFacts, SplitFacts, usual_name


def write_tiles(folder, counts, seed=0):
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            tile, _ = draw_tile(np.random.default_rng([seed, label, i]), crack=bool(label), size=96)
            cv2.imwrite(str(folder / name / f"{i:03}.png"), tile)
    return folder


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Forty tiles a class; ten of each are turned copies of the ten before them."""
    folder = write_tiles(tmp_path_factory.mktemp("tiles"), {"crack": 30, "sound": 30})
    for name in ("crack", "sound"):
        for i in range(10):
            image = cv2.imread(str(folder / name / f"{20 + i:03}.png"))
            cv2.imwrite(str(folder / name / f"{30 + i:03}.jpg"), np.rot90(image).copy())
    return folder


def request(tiles, out, **asked):
    (out / "logs").mkdir(parents=True)
    return DataRequest(str(tiles), out, **asked)


def sides_of(part, manifest):
    split = json.loads(part.split_file.read_text())
    return {side: {manifest.images[i].path for i in split[side]} for side in ("train", "validation", "test")}


def test_turned_copies_stay_on_one_side_unless_the_split_is_random(tiles, tmp_path):
    manifest = build_manifest(tiles, progress=False)
    plan = prepare_data(request(tiles, tmp_path / "grouped"))
    sides = sides_of(plan.parts[0], manifest)
    for name in ("crack", "sound"):
        for i in range(10):
            pair = {f"{name}/{20 + i:03}.png", f"{name}/{30 + i:03}.jpg"}
            assert sum(pair <= side for side in sides.values()) == 1
    assert plan.parts[0].data.split.leaked == 0
    assert plan.parts[0].data.audit.twins == 40

    random = prepare_data(request(tiles, tmp_path / "random", split="random"))
    leaked = random.parts[0].data.split.leaked
    sides = sides_of(random.parts[0], manifest)
    pairs = [(f"{n}/{20 + i:03}.png", f"{n}/{30 + i:03}.jpg") for n in ("crack", "sound") for i in range(10)]
    both = [p for a, b in pairs for p, q in ((a, b), (b, a)) if p in sides["test"] and q in sides["train"]]
    assert leaked == len(both) > 0


def test_sizes_share_the_test_images(tiles, tmp_path):
    manifest = build_manifest(tiles, progress=False)
    plan = prepare_data(request(tiles, tmp_path / "out", train_sizes=(10, None)))
    few, all_of_them = (sides_of(part, manifest) for part in plan.parts)
    assert few["test"] == all_of_them["test"]
    assert len(few["train"]) == 10
    assert few["train"] < all_of_them["train"]


def test_groups_from_a_file_are_kept_whole(tiles, tmp_path):
    manifest = build_manifest(tiles, progress=False)
    file = tmp_path / "groups.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "group"])
        writer.writerows([image.path, f"wall {i % 20}"] for i, image in enumerate(manifest.images))
    plan = prepare_data(request(tiles, tmp_path / "out", groups=file))
    sides = sides_of(plan.parts[0], manifest)
    for wall in range(20):
        members = {image.path for i, image in enumerate(manifest.images) if i % 20 == wall}
        assert sum(bool(members & side) for side in sides.values()) == 1
    assert plan.parts[0].data.split.kind == "given groups"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "path,group"),
        ("name,group\na,1\n", "path,group"),
        (
            "path,group\nnowhere.png,1\n",
            "no group for 80 images, 'crack/000.png' the first; it names 'nowhere",
        ),
    ],
)
def test_a_file_of_groups_that_does_not_fit_is_one_line(tiles, tmp_path, text, message):
    file = tmp_path / "groups.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=r"groups .*groups\.csv") as raised:
        read_groups(file, build_manifest(tiles, progress=False))
    assert message in str(raised.value)
    with pytest.raises(InputError, match="No such file"):
        read_groups(tmp_path / "missing.csv", build_manifest(tiles, progress=False))


def test_another_folder_is_described_and_its_twins_counted(tiles, tmp_path):
    other = write_tiles(tmp_path / "other", {"crack": 12, "sound": 12}, seed=1)
    image = cv2.imread(str(tiles / "crack" / "000.png"))
    cv2.imwrite(str(other / "crack" / "copy.jpg"), image[:, ::-1].copy())
    plan = prepare_data(request(tiles, tmp_path / "out", also=(other,)))
    described = plan.parts[0].data.others["other"]
    assert described.images == {"crack": 13, "sound": 12}
    assert described.twins == 1
    assert len(plan.others[0].groups) == 25


def test_another_folder_needs_the_same_classes(tiles, tmp_path):
    other = write_tiles(tmp_path / "other", {"cracked": 3, "sound": 3})
    with pytest.raises(InputError, match="its classes are cracked, sound; those of --data are crack, sound"):
        prepare_data(request(tiles, tmp_path / "out", also=(other,)))


@pytest.fixture
def split_tiles(tmp_path):
    """A folder that is already split, with two training images turned into test images."""
    root = tmp_path / "split"
    for seed, (side, count) in enumerate({"train": 30, "val": 12, "test": 12}.items(), 10):
        write_tiles(root / side, {"crack": count, "sound": count}, seed=seed)
    for i in (3, 4):
        image = cv2.imread(str(root / "train" / "crack" / f"{i:03}.png"))
        cv2.imwrite(str(root / "test" / "crack" / f"turned{i}.png"), np.rot90(image).copy())
    return root


def test_a_given_split_is_kept_and_what_leaks_between_its_sides_is_named(split_tiles, tmp_path):
    said = []
    asked = request(split_tiles, tmp_path / "out")
    plan = prepare_data(asked, lambda text, *, warning=False: said.append((text, warning)))
    (part,) = plan.parts
    assert (part.data.split.kind, part.data.split.leaked) == ("given", 2)
    assert part.data.images == {
        "train": {"crack": 30, "sound": 30},
        "validation": {"crack": 12, "sound": 12},
        "test": {"crack": 14, "sound": 12},
    }
    assert said[0] == ("Classes: crack 56 images (positive), sound 54 images", False)
    (leak,) = [text for text, warning in said if warning]
    assert leak.startswith("Leak: 2 of 26 test images have a near-duplicate in train, test/crack/turned3.png")

    anew = prepare_data(request(split_tiles, tmp_path / "anew", split="grouped")).parts[0]
    assert (anew.data.split.kind, anew.data.split.leaked) == ("grouped", 0)


def test_the_audit_of_a_given_split_lists_what_leaks(split_tiles, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert audit.main(["split"]) == 0
    assert "Leak: 2 images of test have a near-duplicate in train" in capsys.readouterr().out
    with (tmp_path / "audit" / "issues.csv").open(newline="") as file:
        leaks = [line for line in csv.DictReader(file) if line["kind"] == "leak_train_test"]
    assert {(line["path"], line["twin"]) for line in leaks} == {
        (f"split/test/crack/turned{i}.png", f"split/train/crack/{i:03}.png") for i in (3, 4)
    }
    assert (tmp_path / "audit" / "leak-split-train-test.jpg").stat().st_size > 1000


@pytest.mark.parametrize(("names", "positive"), [(("crack", "sound"), "crack"), (("left", "right"), "")])
def test_the_positive_class_is_never_the_last_by_name(tmp_path, names, positive):
    folder = write_tiles(tmp_path / "tiles", dict.fromkeys(names, 12))
    plan = prepare_data(request(folder, tmp_path / "out"))
    assert plan.parts[0].data.positive == positive
    asked = request(folder, tmp_path / "recall", needs_positive="--recall")
    if positive:
        assert prepare_data(asked).parts[0].data.positive == positive
    else:
        with pytest.raises(
            InputError, match=r"--recall: of which class.* --positive with one of left, right"
        ):
            prepare_data(asked)


def test_classes_that_look_alike_or_like_a_side_are_doubted(tmp_path):
    folder = write_tiles(tmp_path / "tiles", {"Crack": 2, "crack ": 2, "test": 2})
    spelling, side = doubts(build_manifest(folder, progress=False))
    assert "The classes 'Crack' and 'crack ' differ in spelling alone" in spelling
    assert "'test' is taken for a class" in side


@pytest.mark.parametrize("command", [audit.main, main])
@pytest.mark.parametrize(("out", "message"), [(".", "is the folder of images"), ("crack", "holds images")])
def test_results_never_lie_among_the_images(tiles, monkeypatch, capsys, command, out, message):
    monkeypatch.chdir(tiles)
    data = ["."] if command is audit.main else ["--data", "."]
    assert exit_code(lambda: command([*data, "--out", out])) == 2
    assert message in capsys.readouterr().err
    assert {path.name for path in tiles.iterdir()} == {"crack", "sound"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--positive", "wet"], "--positive wet: the classes are crack, sound"),
        (["--recall", "1.5"], "--recall 1.5"),
        (["--train-sizes", "few"], "--train-sizes few"),
        (["--train-sizes", "10,10"], "--train-sizes 10,10"),
        (["--train-sizes", "9999"], "--train-sizes 9999: there are"),
        (["--groups", "g.csv", "--split", "random"], "--groups"),
        (["--split", "neat"], "--split"),
        (["--also", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    tiles, arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    try:
        code = exit_code(lambda: main(["--data", str(tiles), *arguments]))
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_one_command_reports_a_planted_leak_and_what_to_act_on(tiles, tmp_path, monkeypatch, capsys):
    test = write_tiles(tmp_path / "test", {"crack": 12, "sound": 12}, seed=2)
    for i in (1, 2, 3):
        image = cv2.imread(str(tiles / "sound" / f"{i:03}.png"))
        turned = np.rot90(image[::-1], i).copy()
        cv2.imwrite(str(test / "sound" / f"new{i}.jpg"), turned, [cv2.IMWRITE_JPEG_QUALITY, 60])
    (test / "crack" / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    monkeypatch.chdir(tmp_path)
    assert exit_code(lambda: audit.main([str(tiles), "test"])) == 0
    out = capsys.readouterr().out
    assert "3 of 27 images of test have a near-duplicate" in out
    with (tmp_path / "audit" / "issues.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert set(lines[0]) >= {"path", "kind", "score", "twin"}
    leaks = {(line["path"], line["twin"]) for line in lines if line["kind"] == "leak"}
    assert leaks == {(str(tiles / "sound" / f"{i:03}.png"), f"test/sound/new{i}.jpg") for i in (1, 2, 3)}
    assert [line["path"] for line in lines if line["kind"] == "unreadable"] == ["test/crack/broken.jpg"]
    assert sum(line["kind"] == "augmented_copy" for line in lines) == 20  # turned, all in place
    assert (tmp_path / "audit" / f"leak-{tiles.name}-test.jpg").stat().st_size > 1000


def test_the_audit_command_names_a_missing_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code(lambda: audit.main(["nowhere"])) == 2
    assert capsys.readouterr().err == "error: nowhere: no such folder\n"


def test_the_groups_that_the_audit_command_writes_can_be_given_back(image_folder, tmp_path, capsys):
    assert audit.main([str(image_folder), "--out", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("groups-*.csv")
    manifest = build_manifest(image_folder)
    given, found = read_groups(file, manifest), audit_manifest(manifest).groups
    assert len(set(zip(given, found, strict=True))) == len(set(given)) == len(set(found)) > 1


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory):
    """Three folders; five tiles of the second are turned copies of some in the first."""
    root = tmp_path_factory.mktemp("surfaces")
    for seed, name in enumerate(("floor", "wall", "roof"), 1):
        write_tiles(root / name, {"crack": 20, "sound": 20}, seed=seed)
    for i in range(5):
        image = cv2.imread(str(root / "floor" / "sound" / f"{i:03}.png"))
        cv2.imwrite(str(root / "wall" / "sound" / f"copy{i}.png"), np.rot90(image).copy())
    return root


def several(surfaces, out, **asked):
    return request(surfaces / "floor", out, more=(str(surfaces / "wall"), str(surfaces / "roof")), **asked)


def test_each_surface_is_tested_whole_and_nothing_like_it_is_trained_on(surfaces, tmp_path):
    plan = prepare_data(several(surfaces, tmp_path / "out", leave_one_out=True))
    manifest = Manifest.load(plan.manifest_file)
    assert [part.data.split.left_out for part in plan.parts] == ["floor", "wall", "roof"]
    for part in plan.parts:
        sides, name = sides_of(part, manifest), part.data.split.left_out
        here = {image.path for image in manifest.images if image.path.startswith(f"{name}/")}
        assert sides["test"] == here
        assert not here & (sides["train"] | sides["validation"])
        assert not sides["train"] & sides["validation"]
        assert part.data.split.leaked == 0
    trained = {part.data.split.left_out: sides_of(part, manifest) for part in plan.parts}
    copies = {f"wall/sound/copy{i}.png" for i in range(5)}
    assert not copies & set().union(*trained["floor"].values())
    kept = trained["roof"]
    assert len(kept["train"]) + len(kept["validation"]) == 85


def test_several_folders_are_one_data_set_where_none_is_left_out(surfaces, tmp_path):
    plan = prepare_data(several(surfaces, tmp_path / "out"))
    (part,) = plan.parts
    sides = sides_of(part, Manifest.load(plan.manifest_file))
    assert sum(map(len, sides.values())) == 125
    assert {path.split("/")[0] for path in sides["train"]} == {"floor", "wall", "roof"}
    assert part.data.name == "floor + wall + roof"
    assert part.data.split.leaked == 0


def test_the_same_images_elsewhere_are_the_same_data(surfaces, tmp_path):
    before = joined([build_manifest(surfaces / name, progress=False) for name in ("floor", "wall")])
    moved = tmp_path / "moved"
    shutil.copytree(surfaces, moved)
    after = joined([build_manifest(moved / name, progress=False) for name in ("floor", "wall")])
    assert before.fingerprint == after.fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--leave-one-out"], "name two folders or more"),
        (["--data", "floor", "--leave-one-out"], "name two folders or more"),
        (["--data", "floor", "--data", "wall", "--leave-one-out", "--split", "random"], "leave --split out"),
        (["--data", "floor", "--data", "wall", "--leave-one-out", "--budget", "1"], "--budget"),
        (["--data", "floor", "--data", "floor/../floor", "--leave-one-out"], "two folders are named 'floor'"),
        (["--data", "floor", "--data", "floor.csv"], "two folders are named 'floor'"),
        (["--data", "floor", "--data", "few.csv"], "crack/000.png is in floor too"),
        (["--data", "floor", "--data", "grouped.csv"], "floor: gives no groups, but"),
        (
            ["--data", "floor", "--data", "few", "--leave-one-out"],
            "without floor, class 'crack' has 2 different",
        ),
        (["--data", "floor", "--data", "other", "--leave-one-out"], "its classes are bad, good"),
    ],
)
def test_folders_that_can_not_be_left_out_are_one_line(
    surfaces, tmp_path, monkeypatch, capsys, arguments, message
):
    write_tiles(surfaces / "other", {"bad": 12, "good": 12}, seed=9)
    write_tiles(surfaces / "few", {"crack": 2, "sound": 2}, seed=8)
    lines = [f"{path.relative_to(surfaces)},{path.parent.name}" for path in surfaces.glob("floor/*/00*.png")]
    (surfaces / "few.csv").write_text("path,class\n" + "\n".join(lines))
    (surfaces / "floor.csv").write_text("path,class\n" + "\n".join(lines).replace("floor", "wall"))
    groups = [f"{line},{n}".replace("floor", "wall") for n, line in enumerate(lines)]
    (surfaces / "grouped.csv").write_text("path,class,group\n" + "\n".join(groups))
    monkeypatch.chdir(surfaces)
    command = [*arguments, "--recipes", "three_conv", "--out", str(tmp_path / "out")]
    assert exit_code(lambda: main(command)) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]


def test_given_groups_that_know_of_no_copy_on_another_surface_let_none_be_trained_on(surfaces, tmp_path):
    names = ("floor", "wall", "roof")
    manifest = joined([build_manifest(surfaces / name, progress=False) for name in names])
    file = tmp_path / "groups.csv"
    file.write_text("path,group\n" + "".join(f"{each.path},{n}\n" for n, each in enumerate(manifest.images)))
    plan = prepare_data(several(surfaces, tmp_path / "out", leave_one_out=True, groups=file))
    for part in plan.parts:
        assert part.data.split.leaked == 0


def test_the_order_of_files_is_judged_folder_by_folder():
    def images(folder, count):
        return [
            ImageRecord(f"{folder}/crack/{n:03}.png", 0, 9, 9, "RGB", f"{folder}{n}") for n in range(count)
        ]

    listed = (*images("a", 100), *images("b", 100))
    manifest = Manifest(Path(), ("crack", "sound"), listed, sources=(0,) * 100 + (1,) * 100)
    rng = np.random.default_rng(0)
    # Two walls of different colours, each in no order: their neighbours are alike by the wall alone.
    colours = rng.normal(0, 1, (200, 6)) + 5 * np.repeat([0, 1], 100)[:, None]
    runs, ordered = find_runs(manifest, colours)
    assert (runs == -1).all()
    assert not ordered
    assert find_runs(replace(manifest, sources=()), colours)[1]


def test_a_surface_of_any_name_has_files_of_its_own():
    long = "a wall (old), " * 20
    for name in ("brick wall", long, "ma\udcffl"):
        made = usual_name("crack_net", 0, DataFacts(split=SplitFacts(left_out=name)))
        assert re.fullmatch(r"[\w.+-]{1,200}", made)
    assert usual_name("n", 0, DataFacts(split=SplitFacts(train_size=50))) == "n-50-seed0"
    assert "left_out" not in SplitFacts().as_dict()  # as in records of before

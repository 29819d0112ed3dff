"""`cnnzoo map`: what it writes of photographs, and that it goes on where it was."""

import csv
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from polygons import filled

from cnnzoo.data.images import read_image
from cnnzoo.data.sources.concrete import draw_tile
from experiments import map as command
from experiments.cli.process import exit_code
from experiments.mapping.drawings import LINE

ROOT = Path(__file__).parents[1]
PIXELS = ["length_px", "lengths_px", "longest_extent_px", "widest_px"]
FILES = {"overlay.jpg", "overlay-screen.jpg", "heat.png", "cracks.geojson"}


@pytest.fixture(scope="module")
def drawn():
    """A cracked wall as the bytes of a PNG file."""
    picture, _ = draw_tile(np.random.default_rng(5), crack=True, size=320)
    return cv2.imencode(".png", picture[:, :256, ::-1])[1].tobytes()


@pytest.fixture
def photos(drawn, tmp_path, monkeypatch):
    """A cracked and a flat photograph below the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my photos"
    folder.mkdir()
    (folder / "wall 1.png").write_bytes(drawn)
    cv2.imwrite(str(folder / "flat.png"), np.full((90, 140, 3), 120, np.uint8))
    return folder


def run(*words):
    """The exit code of a command with tiles of one size, which is quicker."""
    return exit_code(lambda: command.main(["--tile", "160", *map(str, words)]))


def lines(out="maps"):
    with open(Path(out) / "photographs.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def outlines(folder):
    return json.loads((Path(folder) / "cracks.geojson").read_text())["features"]


def times(out="maps"):
    return {path: path.stat().st_mtime_ns for path in Path(out).rglob("*") if path.name in FILES}


def test_what_is_written_of_each_photograph(photos, capsys):
    assert run("my photos") == 0
    assert {path.name for path in Path("maps").iterdir() if not path.name.startswith(".")} == {
        "map.html",
        "photographs.csv",
        "wall_1",
        "flat",
    }
    for folder, shape in (("wall_1", (320, 256)), ("flat", (90, 140))):
        assert {path.name for path in (Path("maps") / folder).iterdir()} == FILES
        for name in ("overlay.jpg", "overlay-screen.jpg", "heat.png"):
            assert read_image(Path("maps") / folder / name).shape[:2] == shape
    out = capsys.readouterr().out
    assert "my photos/flat.png\tno crack\n" in out
    assert "wall 1.png\t1 crack, " in out
    assert "map.html" in out


def test_the_table_says_what_the_outlines_say(photos):
    run("my photos")
    flat, wall = lines()
    assert list(wall) == [
        *("path", "folder", "width", "height", "tile", "tiles_cracked", "share_cracked", "cracks"),
        *PIXELS,
        "error",
    ]
    assert (wall["path"], wall["folder"]) == ("my photos/wall 1.png", "wall_1")
    assert [wall[name] for name in ("width", "height", "tile")] == ["256", "320", "160"]
    features = outlines("maps/wall_1")
    lengths = [feature["properties"]["length_px"] for feature in features]
    assert int(wall["cracks"]) == len(features) > 0
    assert [float(length) for length in wall["lengths_px"].split()] == lengths == sorted(lengths)[::-1]
    assert float(wall["length_px"]) == pytest.approx(sum(lengths))
    for title in ("longest_extent_px", "widest_px"):
        assert float(wall[title]) == max(feature["properties"][title] for feature in features)
    assert (flat["cracks"], flat["length_px"], flat["share_cracked"], flat["tiles_cracked"]) == (
        *("0", "0"),
        *("0.0", "0.0"),
    )
    assert outlines("maps/flat") == []


def test_outlines_pictures_and_share_are_of_the_same_cracks(photos):
    run("my photos/wall 1.png")
    features = outlines("maps/wall_1")
    assert {feature["geometry"]["type"] for feature in features} == {"MultiPolygon"}
    polygons = [polygon for feature in features for polygon in feature["geometry"]["coordinates"]]
    within = filled(polygons, (320, 256))
    (line,) = lines()
    assert within.mean() == pytest.approx(float(line["share_cracked"]), rel=0.01)
    assert read_image("maps/wall_1/heat.png")[within].mean() > 128
    # A JPEG pales the colour of thin lines: more red than blue is left of it.
    picture, before = (
        read_image(path).astype(int) for path in ("maps/wall_1/overlay.jpg", "my photos/wall 1.png")
    )
    coloured = (picture - before)[..., 0] - (picture - before)[..., 2] > (LINE[0] - LINE[2]) / 6
    assert coloured.sum() > 300
    assert (cv2.dilate(within.astype(np.uint8), np.ones((7, 7), np.uint8))[coloured] > 0).mean() > 0.98


def test_the_page_needs_no_other_file_and_shows_the_worst_first(photos):
    run("my photos")
    page = Path("maps/map.html").read_text(encoding="utf-8")
    assert "Cracks in 1 of 2 photographs" in page
    assert page.index("wall 1.png") < page.index("flat.png")
    assert page.count("data:image/jpeg;base64,") == 2
    assert 'href="wall_1/overlay.jpg"' in page


def test_lengths_in_millimetres_stand_beside_those_in_pixels(photos):
    assert run("my photos/wall 1.png", "--mm-per-pixel", "0.5") == 0
    (line,) = lines()
    assert list(line)[8:] == [*PIXELS, *(title.replace("_px", "_mm") for title in PIXELS), "error"]
    for title in ("length_px", "longest_extent_px", "widest_px"):
        assert float(line[title.replace("_px", "_mm")]) == pytest.approx(float(line[title]) / 2, abs=0.01)
    assert " mm" in Path("maps/map.html").read_text(encoding="utf-8")
    # Nothing is mapped again for another scale.
    before = times()
    assert run("my photos/wall 1.png", "--mm-per-pixel", "2") == 0
    assert times() == before
    assert float(lines()[0]["length_mm"]) == pytest.approx(2 * float(line["length_px"]), abs=0.01)


def test_a_file_that_is_no_image_is_named_and_the_others_are_mapped(photos, capsys):
    (photos / "notes.txt").write_text("north side")
    (photos / "gone.jpg").symlink_to("nowhere.jpg")
    assert run("my photos") == 1
    error = capsys.readouterr().err
    assert "notes.txt" in error and "gone.jpg: a link that leads nowhere" in error
    found = {Path(line["path"]).name: line for line in lines()}
    assert found.keys() == {"notes.txt", "gone.jpg", "flat.png", "wall 1.png"}
    assert "not a JPEG" in found["notes.txt"]["error"] and found["notes.txt"]["cracks"] == ""
    assert found["wall 1.png"]["error"] == "" and int(found["wall 1.png"]["cracks"]) > 0
    page = Path("maps/map.html").read_text(encoding="utf-8")
    assert "Cracks in 1 of 2 photographs" in page and "notes.txt" in page.partition("Not mapped")[2]


def test_the_same_command_goes_on_and_keeps_the_files(photos, capsys):
    run("my photos/flat.png")
    kept = times()
    capsys.readouterr()
    assert run("my photos") == 0
    out = capsys.readouterr().out
    assert "flat.png\tmapped before" in out and "wall 1.png\t1 crack" in out
    assert kept.items() <= times().items()
    assert len(lines()) == 2


def test_what_was_changed_is_mapped_again_also_when_it_is_changed_back(photos, drawn, capsys):
    flat = (photos / "flat.png").read_bytes()
    for content, cracks in ((flat, 0), (drawn, 1), (flat, 0)):
        (photos / "flat.png").write_bytes(content)
        assert run("my photos/flat.png") == 0
        assert len(outlines("maps/flat")) == int(lines()[0]["cracks"]) == cracks
    (Path("maps") / "flat" / "cracks.geojson").unlink()
    capsys.readouterr()
    run("my photos/flat.png")
    assert "mapped before" not in capsys.readouterr().out
    assert outlines("maps/flat") == []


@pytest.mark.parametrize("words", [["--tile", "80"], ["--overlap", "0.25"], ["--threshold", "0.3"]])
def test_maps_made_otherwise_are_not_mixed(photos, capsys, words):
    run("my photos/flat.png")
    before = times()
    capsys.readouterr()
    assert run("my photos", *words) == 2
    error = capsys.readouterr().err
    assert "--out maps" in error and error.count("\n") == 1
    assert times() == before


def test_a_folder_with_something_else_is_left_alone(photos, capsys):
    assert run("my photos", "--out", "my photos") == 2
    assert "holds something else" in capsys.readouterr().err
    assert {path.name for path in photos.iterdir()} == {"wall 1.png", "flat.png"}
    assert run("my photos", "--out", "my photos/flat.png") == 2
    assert "no folder" in capsys.readouterr().err


def test_a_command_that_was_stopped_before_its_first_map_can_go_on(photos):
    Path("maps").mkdir()
    Path("maps/.cnnzoo").touch()
    Path("maps/.DS_Store").touch()
    assert run("my photos/flat.png") == 0


def test_only_one_command_writes_to_a_folder(photos, capsys):
    run("my photos/flat.png")
    with open("maps/.lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run("my photos/flat.png") == 2
    assert "another command writes to it" in capsys.readouterr().err


def test_two_files_of_one_name_get_two_folders(photos, drawn):
    (photos / "north").mkdir()
    (photos / "north" / "flat.jpg").write_bytes(drawn)
    for _ in range(2):
        assert run("my photos") == 0
        folders = {line["path"]: line["folder"] for line in lines()}
        assert len(set(folders.values())) == 3
        assert folders["my photos/flat.png"] == "flat"
        assert outlines("maps/flat") == []
        assert len(outlines(Path("maps") / folders["my photos/north/flat.jpg"])) == 1


def test_its_own_maps_and_the_same_file_twice_are_not_mapped(photos, capsys):
    for _ in range(2):
        assert run(".", "my photos/flat.png", "./my photos") == 0
        assert len(lines()) == 2
    assert "Passed over maps: results of cnnzoo" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        b"Ri\xdf\n.png",  # neither UTF-8 nor on one line
        b"map.html.png",
        b"photographs.csv.png",
        b"...png",
        b"=1+1.png",
        b"a" * 250 + b".png",
        "Träger <b>&.png".encode(),
    ],
)
def test_odd_names_are_mapped_like_others(photos, name):
    os.rename(photos / "flat.png", os.fsencode(photos) + b"/" + name)
    for _ in range(2):
        # By its name: in a folder one that begins with a dot is hidden.
        assert run("my photos", f"my photos/{os.fsdecode(name)}") == 0
        found = {line["folder"]: line for line in lines()}
        assert len(found) == 2
        assert all({path.name for path in (Path("maps") / folder).iterdir()} == FILES for folder in found)
    assert "Träger <b>" not in Path("maps/map.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tile", "5"], "--tile 5: it must be"),
        (["--overlap", "1"], "--overlap 1"),
        (["--threshold", "2"], "--threshold 2"),
        (["--mm-per-pixel", "0"], "--mm-per-pixel 0"),
        (["--mm-per-pixel", "inf"], "--mm-per-pixel inf"),
        (["nowhere"], "nowhere"),
    ],
)
def test_what_can_not_be_used_is_one_line(photos, capsys, words, said):
    assert run("my photos", *words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not Path("maps").exists()


def test_help_does_not_wait_for_tensorflow(tmp_path):
    code = (
        "import sys\nfrom experiments import map\n"
        "try:\n    map.main(['--help'])\n"
        "except SystemExit as stopped:\n"
        "    heavy = [name for name in ('tensorflow', 'keras', 'cv2', 'skimage') if name in sys.modules]\n"
        "    print(stopped.code, heavy)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: ") and "--mm-per-pixel" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


@pytest.fixture
def knowing(photos):
    """The network in the package as a file that knows two recalls."""
    import cnnzoo

    known = cnnzoo.load_model("crack_net")
    decision = replace(known.decision, recalls=((0.9, 0.4), (0.99, 0.125)))
    cnnzoo.save_model(known.model, "knows.keras", class_names=known.class_names, decision=decision)
    return photos


@pytest.mark.parametrize(("recall", "threshold"), [("0.9", 0.4), ("0.93", 0.125), ("0.99", 0.125)])
def test_a_recall_is_the_threshold_that_the_model_file_knows_for_it(recall, threshold, knowing):
    assert exit_code(lambda: command.main(["knows.keras", "my photos", "--recall", recall])) == 0
    assert json.loads(Path("maps", ".cnnzoo-map.json").read_text())["settings"]["threshold"] == threshold


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--recall", "0.999"], "knows.keras knows thresholds for 0.9, 0.99; or give one by --threshold"),
        (["--recall", "0"], "--recall 0.0: it must be above 0"),
        (["--recall", "0.9", "--threshold", "0.3"], "--threshold and --recall each give a threshold"),
        (["--recall", "0.9", "--adapt"], "--adapt and --recall each give a threshold"),
    ],
)
def test_a_recall_that_cannot_be_had_is_named(words, said, knowing, capsys):
    assert exit_code(lambda: command.main(["knows.keras", "my photos", *words])) == 2
    assert said in capsys.readouterr().err


def test_a_model_that_knows_no_recalls_says_so(knowing, capsys):
    import cnnzoo

    known = cnnzoo.load_model("crack_net")
    decision = replace(known.decision, recalls=())
    cnnzoo.save_model(known.model, "older.keras", class_names=known.class_names, decision=decision)
    assert exit_code(lambda: command.main(["older.keras", "my photos", "--recall", "0.9"])) == 2
    assert "older.keras knows no thresholds for recalls: train it anew" in capsys.readouterr().err

"""`cnnzoo.suggest` and `cnnzoo suggest`: which images to label next, as a list to fill in."""

import csv

import cv2
import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.data.layout import read_layout
from experiments import suggest
from experiments.cli.process import exit_code


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = cnnzoo.create_model("three_conv", input_shape=(32, 32, 3))
    path = tmp_path_factory.mktemp("model") / "m.keras"
    cnnzoo.save_model(model, path, class_names=("crack", "plain"))
    return path


@pytest.fixture
def wall(tmp_path, monkeypatch):
    """A folder of 30 tiles in the current one; one more file is none."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my wall"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        light = rng.integers(40, 200)
        tile = rng.integers(light - 30, light + 30, (40, 40, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), tile)
    return folder


def lines(path="suggested.csv"):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def fill_in(answers, path="suggested.csv"):
    """Writes classes into the first lines, as a spreadsheet would."""
    found = lines(path)
    for line, answer in zip(found, answers, strict=False):
        line["class"] = answer
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, found[0].keys())
        writer.writeheader()
        writer.writerows(found)


def test_as_many_as_asked_for_are_chosen_and_each_is_an_image(model_file, wall):
    files = [*sorted(wall.iterdir()), wall / "none.png"]
    files[-1].write_text("no image")
    chosen, bad = cnnzoo.suggest(model_file, files, count=8)
    assert len({verdict.path for verdict in chosen}) == 8
    assert [verdict.path for verdict in bad] == [files[-1]]
    said = {verdict.path: verdict.probability for verdict in cnnzoo.predict(model_file, files[:-1])}
    assert all(abs(verdict.probability - said[verdict.path]) < 1e-5 for verdict in chosen)


@pytest.mark.parametrize("arguments", [{"count": 0}, {"count": 1.5}, {"batch_size": 0}])
def test_a_count_that_can_not_be_is_refused(model_file, wall, arguments):
    with pytest.raises(cnnzoo.InputError):
        cnnzoo.suggest(model_file, [wall / "00.png"], **arguments)


def test_the_list_has_no_class_yet_and_lies_with_its_pictures(model_file, wall, capsys):
    assert suggest.main([str(model_file), "my wall", "--count", "6"]) == 0
    found = lines()
    assert len(found) == 6
    assert {line["class"] for line in found} == {""}
    assert all((wall.parent / line["path"]).is_file() for line in found)
    assert all(line["verdict"] in ("crack", "plain") and float(line["probability"]) >= 0.5 for line in found)
    assert cv2.imread("suggested_sheet.jpg").shape[1] > 500
    said = capsys.readouterr().out
    assert "6 of 30 images" in said
    assert "--labels suggested.csv" in said


def test_the_filled_in_list_is_read_as_a_folder_per_class_is(model_file, wall):
    suggest.main([str(model_file), "my wall", "--count", "6"])
    fill_in(["crack", "plain"] * 3)
    layout = read_layout(wall.parent / "suggested.csv")
    assert layout.class_names == ("crack", "plain")
    assert {member.path for member in layout.members} == {wall.parent / line["path"] for line in lines()}


def test_the_same_command_again_keeps_what_was_answered_and_asks_about_others(model_file, wall, capsys):
    suggest.main([str(model_file), "my wall", "--count", "6"])
    fill_in(["crack", "plain", "plain"])
    answered = lines()[:3]
    assert suggest.main([str(model_file), "my wall", "--count", "5"]) == 0
    found = lines()
    assert [line["path"] for line in found[:3]] == [line["path"] for line in answered]
    assert [line["class"] for line in found] == ["crack", "plain", "plain", *[""] * 5]
    assert len({line["path"] for line in found}) == 8
    assert "5 of 27 images" in capsys.readouterr().out


def test_a_column_of_ones_own_stays(model_file, wall):
    (wall.parent / "suggested.csv").write_text("path;class;Remark\nmy wall/03.png;crack;north side\n")
    assert suggest.main([str(model_file), "my wall", "--count", "2"]) == 0
    found = lines()
    assert (found[0]["path"], found[0]["class"], found[0]["remark"]) == (
        "my wall/03.png",
        "crack",
        "north side",
    )
    assert [line["remark"] for line in found] == ["north side", "", ""]


def test_a_file_that_is_no_such_list_is_left_alone(model_file, wall, capsys):
    (wall.parent / "notes.csv").write_text("name,remark\nwall,old\n")
    assert exit_code(lambda: suggest.main([str(model_file), "my wall", "--out", "notes.csv"])) == 2
    assert (wall.parent / "notes.csv").read_text() == "name,remark\nwall,old\n"
    error = capsys.readouterr().err
    assert "notes.csv" in error and "path,class" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["my wall", "--count", "0"], "--count 0"),
        (["my wall", "--out", "nowhere/list.csv"], "nowhere"),
        (["no_wall"], "no_wall"),
    ],
)
def test_what_can_not_be_used_is_one_line(model_file, wall, capsys, words, said):
    assert exit_code(lambda: suggest.main([str(model_file), *words])) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (wall.parent / "suggested.csv").exists()


def test_a_file_that_is_no_image_is_named_and_the_others_are_listed(model_file, wall, capsys):
    (wall / "torn.png").write_bytes((wall / "00.png").read_bytes()[:200])
    assert suggest.main([str(model_file), "my wall", "--count", "4"]) == 1
    assert "torn.png" in capsys.readouterr().err
    assert len(lines()) == 4


def test_every_image_answered_is_said(model_file, wall, capsys):
    suggest.main([str(model_file), "my wall/00.png", "my wall/01.png"])
    fill_in(["crack", "plain"])
    words = [str(model_file), "my wall/00.png", "my wall/01.png"]
    assert exit_code(lambda: suggest.main(words)) == 2
    assert "suggested.csv" in capsys.readouterr().err


def test_its_own_list_and_pictures_and_the_same_image_twice_are_not_suggested(model_file, wall, monkeypatch):
    monkeypatch.chdir(wall)
    for _ in range(2):
        assert suggest.main([str(model_file), ".", "00.png", "./01.png", "--count", "30"]) == 0
    assert sorted(line["path"] for line in lines()) == [f"{i:02}.png" for i in range(30)]


def test_a_note_without_a_class_stays(model_file, wall):
    (wall.parent / "suggested.csv").write_text("path,class,remark\nmy wall/03.png,,ask Ann\n")
    suggest.main([str(model_file), "my wall", "--count", "2"])
    assert [line["remark"] for line in lines()] == ["ask Ann", "", ""]


@pytest.mark.parametrize(("name", "said"), [("list.txt", "ends in .csv"), ("x.csv", "x_sheet.jpg")])
def test_nothing_of_the_users_is_replaced(model_file, wall, capsys, name, said):
    (wall.parent / "x_sheet.jpg").write_bytes(b"mine")
    assert exit_code(lambda: suggest.main([str(model_file), "my wall", "--out", name])) == 2
    assert said in capsys.readouterr().err
    assert (wall.parent / "x_sheet.jpg").read_bytes() == b"mine"


def test_a_linked_list_is_written_where_it_lies(model_file, wall):
    (wall.parent / "links").mkdir()
    (wall.parent / "links" / "list.csv").symlink_to(wall.parent / "list.csv")
    assert suggest.main([str(model_file), "my wall", "--count", "2", "--out", "links/list.csv"]) == 0
    assert (wall.parent / "links" / "list.csv").is_symlink()
    assert all((wall.parent / line["path"]).is_file() for line in lines("list.csv"))

"""What becomes of labels that are worth a second look: the list, the answers, the verdicts of networks."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnzoo.data.audit import examine, summary
from cnnzoo.data.audit.findings import Audit, Suspect
from cnnzoo.data.manifest import build_manifest
from cnnzoo.data.table import write_table
from cnnzoo.errors import InputError
from experiments import audit, compare, tune
from experiments.auditing import verdicts
from experiments.auditing.second_look import write_second_look
from experiments.auditing.verdicts import read_test_verdicts, with_verdicts
from experiments.runs.records import append_record
from tests.reporting.test_verdict import NAMES, run

ROOT = Path(__file__).parents[2]

COUNT = 6  # images of each class


def fill(root, sides=("",), names=NAMES, count=COUNT):
    for side in sides:
        for name in names:
            (root / side / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng([i, len(side), *name.encode()]).integers(0, 256, (8, 8, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(root / side / name / f"{i} a.png")
    return root


@pytest.fixture
def photos(tmp_path):
    return fill(tmp_path / "photos")


@pytest.fixture
def manifest(photos):
    return build_manifest(photos, progress=False)


def fixed(photos, tmp_path, *lines, titles="path,answer", out="audit"):
    """Runs `audit --fix` on a list of answers; returns what it wrote, by path below the folder."""
    (tmp_path / "answers.csv").write_text("\n".join([titles, *lines]) + "\n")
    command = [str(photos), "--fix", str(tmp_path / "answers.csv"), "--out", str(tmp_path / out)]
    assert audit.main(command) == 0
    manifest = build_manifest(tmp_path / out / f"labels-{photos.name}.csv", progress=False)
    return {
        (manifest.root / image.path).relative_to(photos).as_posix(): manifest.class_names[image.label]
        for image in manifest.images
    }


def refused(photos, tmp_path, *lines, titles="path,answer"):
    with pytest.raises(InputError) as error:
        fixed(photos, tmp_path, *lines, titles=titles)
    assert not (tmp_path / "audit").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_share_that_is_said_is_that_of_the_list_of_what_was_looked_at():
    with (ROOT / "results" / "audit" / "second_look.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    wrong = sum(line["judged"] != line["class"] for line in lines)
    assert (len(lines), wrong) == (summary.LOOKED_AT, summary.MISLABELLED)
    assert len({line["path"] for line in lines}) == len(lines)


def test_answers_become_a_list_and_nothing_on_disk_changes(photos, tmp_path, capsys):
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    found = fixed(
        photos, tmp_path, "Negative/0 a.png,positive", "Negative/1 a.png,Remove", "Negative/2 a.png,",
        "Positive/0 a.png,Positive", f"{photos}/Positive/1 a.png,Negative", "photos/Positive/2 a.png,remove",
    )  # fmt: skip
    expected = {f"{name}/{i} a.png": name for name in NAMES for i in range(COUNT)}
    expected |= {"Negative/0 a.png": "Positive", "Positive/1 a.png": "Negative"}
    for name in ("Negative/1 a.png", "Positive/2 a.png"):
        del expected[name]
    assert found == expected
    assert {path: path.read_bytes() for path in photos.rglob("*.png")} == before
    said = capsys.readouterr().out
    assert "2 labels changed, 2 images left out, 1 confirmed, 1 without an answer" in said
    assert f"compare --labels {tmp_path}/audit/labels-photos.csv" in said


def test_answers_need_no_audit(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(examine, "audit_manifest", None)
    assert fixed(photos, tmp_path)


@pytest.mark.parametrize("title", ["answer", "label", "right", "class_right"])
def test_a_spreadsheets_semicolons_and_other_titles_are_read(photos, tmp_path, title):
    line = "Negative/0 a.png;Negative;0,001;Positive"
    assert fixed(photos, tmp_path, line, titles=f"path;class;score;{title}")["Negative/0 a.png"] == "Positive"


def test_what_cant_be_read_stays_out_and_is_said(photos, tmp_path, capsys):
    (photos / "Negative" / "cut.png").write_bytes(b"none")
    assert "Negative/cut.png" not in fixed(photos, tmp_path)
    assert "Left out: Negative/cut.png: " in capsys.readouterr().out


def test_a_given_split_stays(tmp_path):
    photos = fill(tmp_path / "photos", ("train", "test"), count=3)
    fixed(photos, tmp_path, "train/Negative/0 a.png,Positive")
    images = build_manifest(tmp_path / "audit" / "labels-photos.csv", progress=False).images
    assert {image.side for image in images} == {"train", "test"}
    assert all(f"/{image.side}/" in image.path for image in images)


@pytest.mark.parametrize("name", ["'quoted' is fine.png", "=sum.png", " blank.png", "a;b,c.png"])
def test_odd_names_come_back(photos, tmp_path, manifest, name):
    (photos / "Negative" / "0 a.png").rename(photos / "Negative" / name)
    found = fixed(photos, tmp_path, f'"Negative/{name}",Positive')
    assert found[f"Negative/{name}"] == "Positive"


def test_a_list_in_a_linked_folder_names_the_images(photos, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    assert len(fixed(photos, tmp_path, out="link")) == 2 * COUNT


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["Negative/none.png,Positive"], "line 2: 'Negative/none.png' is no image of "),
        (["Negative/0 a.png,Positiv"], "line 2: 'Positiv' is no answer; give Negative, Positive or remove"),
        (["Negative/0 a.png,Positive", "Negative/0 a.png,remove"], "line 3 answers 'Negative/0 a.png' other"),
        ([f"Negative/{i} a.png,remove" for i in range(COUNT)], "it leaves no image of Negative"),
    ],
)
def test_what_cant_be_meant_is_one_line_and_nothing_is_written(photos, tmp_path, lines, said):
    message = refused(photos, tmp_path, *lines)
    assert message.startswith(f"--fix {tmp_path}/answers.csv: {said}")


def test_a_list_of_answers_needs_its_columns(photos, tmp_path):
    assert "must name the columns path,answer" in refused(photos, tmp_path, titles="path,class")


def test_fix_takes_one_folder_and_no_verdicts(photos, tmp_path):
    (tmp_path / "other").mkdir()
    for more in ([str(tmp_path / "other")], ["--verdicts", str(tmp_path)]):
        with pytest.raises(InputError, match=r"^--fix: "):
            audit.main([str(photos), *more, "--fix", "a.csv", "--out", str(tmp_path / "audit")])


def audit_of(manifest, *suspects, given=()):
    own = tuple(range(len(manifest.images)))
    return Audit((), own, {}, tuple(suspects), 0.99, (), given=given)


def lines_of(path):
    with path.open(newline="") as file:
        return [tuple(line) for line in csv.reader(file)][1:]


def test_answers_outlive_another_audit(tmp_path, manifest):
    file = tmp_path / "second-look.csv"
    first = audit_of(manifest, Suspect(1, 1, 0.01234), Suspect(8, 0, 0.1))
    assert write_second_look(file, manifest, first) == [file]
    lines = [
        ("Negative/1 a.png", "Negative", "Positive", "0.0123", ""),
        ("Positive/2 a.png", "Positive", "Negative", "0.1", ""),
    ]
    assert [line[:5] for line in lines_of(file)] == lines
    file.write_text(file.read_text().replace("0.0123,", "0.0123,Positive").replace("0.1,", "0.1,remove"))
    write_second_look(file, manifest, audit_of(manifest, Suspect(3, 1, 0.5), Suspect(8, 0, 0.2)))
    assert [line[:5] for line in lines_of(file)] == [
        ("Negative/3 a.png", "Negative", "Positive", "0.5", ""),
        ("Positive/2 a.png", "Positive", "Negative", "0.2", "remove"),
        ("Negative/1 a.png", "Negative", "", "", "Positive"),
    ]
    file.write_text("something else\n")
    with pytest.raises(InputError, match="mend it or move it away"):
        write_second_look(file, manifest, first)


def results_of(folder, manifest, given, *, fingerprint="", name="a"):
    """A run in a folder of results that gives the labels of the images these probabilities."""
    folder.mkdir(exist_ok=True)
    labels = [image.label for image in manifest.images]
    made = run(folder, name, np.array(given) > 0.5, labels=labels, temperature=1.0, operating_point=None)
    data = replace(made.data, fingerprint=fingerprint or manifest.fingerprint)
    made = replace(made, data=data)
    lines = [
        (
            image.path,
            i,
            NAMES[image.label],
            NAMES[image.label],
            *((p, 1 - p) if not image.label else (1 - p, p)),
        )
        for i, (image, p) in enumerate(zip(manifest.images, given, strict=True))
    ]
    titles = ("path", "group", "actual", "predicted", *(f"p_{name}" for name in NAMES))
    write_table(folder / "predictions" / made.predictions_file(), titles, lines)
    append_record(folder, made)
    return folder


@pytest.fixture
def trusting(monkeypatch):
    monkeypatch.setattr(verdicts, "TRUSTED_ACCURACY", 0.5)


def test_labels_are_ranked_by_the_doubts_of_the_audit_and_of_the_networks(tmp_path, manifest, trusting):
    given = [0.99] * 2 * COUNT
    given[4], given[7] = 0.1, 0.3  # what only the networks doubt, and what both do
    folder = results_of(tmp_path / "out", manifest, given)
    of_audit = [0.9] * 2 * COUNT
    of_audit[0], of_audit[7] = 0.01, 0.1
    found = audit_of(manifest, Suspect(0, 1, 0.01), Suspect(7, 0, 0.1), given=tuple(of_audit))
    ranked = with_verdicts(manifest, found, read_test_verdicts([folder], manifest)).suspects
    assert [(s.image, s.suggested) for s in ranked] == [(7, 0), (0, 1), (4, 1)]
    assert [s.given_probability for s in ranked] == pytest.approx([0.2, 0.5, 0.5], abs=1e-6)


def test_networks_are_heard_where_the_audit_knows_nothing(tmp_path, manifest, trusting):
    first, second = [0.9] * 2 * COUNT, [0.9] * 2 * COUNT
    first[2], second[2] = 0.3, 0.1
    folders = [results_of(tmp_path / "a", manifest, first), results_of(tmp_path / "b", manifest, second)]
    (suspect,) = with_verdicts(manifest, audit_of(manifest), read_test_verdicts(folders, manifest)).suspects
    assert (suspect.image, suspect.suggested) == (2, 1)
    assert suspect.given_probability == pytest.approx(0.2)


def test_networks_that_are_often_wrong_are_left_out(tmp_path, manifest):
    folder = results_of(tmp_path / "out", manifest, [0.1] + [0.9] * (2 * COUNT - 1))
    found = read_test_verdicts([folder], manifest)
    assert (found.runs, found.weak, len(found.tested)) == (0, 1, 0)
    suspect = Suspect(0, 1, 0.01)
    given = (0.01, *[0.9] * (2 * COUNT - 1))
    assert with_verdicts(manifest, audit_of(manifest, suspect, given=given), found).suspects == (suspect,)


def test_verdicts_on_other_images_are_refused(photos, tmp_path, manifest):
    folder = results_of(tmp_path / "out", manifest, [0.9] * 2 * COUNT, fingerprint="abc")
    with pytest.raises(InputError, match="its runs are on other images") as error:
        audit.main([str(photos), "--verdicts", str(folder), "--out", str(tmp_path / "audit")])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "parse", [compare.parse_arguments, lambda a: tune.parse_arguments(["--model", "a", *a])]
)
def test_labels_are_data(parse):
    assert parse(["--labels", "a.csv", "--data", "b"]).data == ["a.csv", "b"]


def test_answers_on_another_folder_of_the_same_name_are_not_taken(tmp_path, manifest):
    file, found = tmp_path / "second-look.csv", audit_of(manifest, Suspect(1, 1, 0.1))
    write_second_look(file, manifest, found)
    file.write_text(file.read_text().replace("0.1,,", "0.1,Positive,"))
    before, images = file.read_bytes(), [*manifest.images]
    images[1] = replace(images[1], sha256="f" * 64)
    with pytest.raises(InputError, match="no such image"):
        write_second_look(file, replace(manifest, images=tuple(images)), found)
    assert file.read_bytes() == before


def test_other_titles_for_the_answers_and_notes_of_ones_own_outlive_an_audit_too(tmp_path, manifest):
    file, found = tmp_path / "second-look.csv", audit_of(manifest, Suspect(1, 1, 0.1))
    write_second_look(file, manifest, found)
    title, line = file.read_text().splitlines()
    title, line = title.replace("answer", "right"), line.replace("0.1,,", "0.1,Positive,")
    file.write_text(f"{title},note\n{line},wet\n")
    write_second_look(file, manifest, found)
    ((*_, answer, digits, note),) = lines_of(file)
    assert (answer, note) == ("Positive", "wet")
    assert manifest.images[1].sha256.startswith(digits)


def test_a_second_file_of_answers_does_not_undo_the_first(photos, tmp_path):
    fixed(photos, tmp_path, "Negative/0 a.png,Positive")
    (tmp_path / "more.csv").write_text("path,answer\nNegative/1 a.png,remove\n")
    command = [str(photos), "--out", str(tmp_path / "audit"), "--fix", str(tmp_path / "more.csv")]
    before = (tmp_path / "audit/labels-photos.csv").read_bytes()
    with pytest.raises(InputError, match="changes 1 more images, Negative/0"):
        audit.main(command)
    assert (tmp_path / "audit/labels-photos.csv").read_bytes() == before
    assert audit.main([*command, "--fix", str(tmp_path / "answers.csv")]) == 0
    manifest = build_manifest(tmp_path / "audit/labels-photos.csv", progress=False)
    assert manifest.counts() == {"Negative": COUNT - 2, "Positive": COUNT + 1}


def test_a_line_that_a_spreadsheet_cut_in_two_is_refused(photos, tmp_path):
    assert "choose one separator" in refused(
        photos, tmp_path, "Negative/0 a.png,;Positive", titles="path,answer;"
    )

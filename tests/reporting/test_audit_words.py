"""What the audit says, draws and lists as written, of a folder that the test makes."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cnnzoo.data.audit import examine
from cnnzoo.data.audit.findings import Suspect
from experiments import audit


@pytest.fixture
def folder(tmp_path):
    """Four unlike images a class."""
    rng = np.random.default_rng(0)
    for name in ("crack", "sound"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
            image = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / "photos" / name / f"{i}.png"), image)
    return tmp_path / "photos"


def audited(folder, out, capsys):
    assert audit.main([str(folder), "--out", str(out)]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_zeros_are_words_and_only_what_was_written_is_named(folder, tmp_path, capsys):
    said = audited(folder, tmp_path / "audit", capsys)
    assert "No image has a near-duplicate" in said
    assert "With a random split" not in said and "0 of" not in said
    assert "Labels not checked: " in said
    named = said.partition("audit: ")[2].rstrip(".").split(", ")
    files = {file.name for file in (tmp_path / "audit").iterdir() if not file.name.startswith(".")}
    assert {name.partition(" (")[0] for name in named} == files


def test_a_near_duplicate_in_another_class_comes_with_advice_and_a_picture(folder, tmp_path, capsys):
    (folder / "sound" / "copy.png").write_bytes((folder / "crack" / "0.png").read_bytes())
    said = audited(folder, tmp_path / "audit", capsys)
    assert "1 pair of near-duplicates lies in different classes: one of the labels is wrong, or " in said
    assert "near-duplicates-photos.jpg" in said
    assert (tmp_path / "audit" / "near-duplicates-photos.jpg").is_file()
    with (tmp_path / "audit" / "issues.csv").open(newline="") as file:
        assert "twin_in_other_class" in {line["kind"] for line in csv.DictReader(file)}


def test_suspects_are_worth_a_look_and_the_files_to_look_at_are_named(folder, tmp_path, capsys, monkeypatch):
    look = examine.audit_manifest

    def with_a_suspect(manifest):
        return replace(look(manifest), suspects=(Suspect(5, 0, 0.25),), ordered={"sound": 3})

    monkeypatch.setattr(examine, "audit_manifest", with_a_suspect)
    said = audited(folder, tmp_path / "audit", capsys)
    assert "1 image is worth a second look at its label (labels-photos.jpg; of 14 such images " in said
    assert "second-look-photos.csv" in said and "labels-photos.jpg" in said.partition("issues.csv")[2]
    with (tmp_path / "audit" / "second-look-photos.csv").open(newline="") as file:
        assert [line["path"] for line in csv.DictReader(file)] == ["sound/1.png"]

"""The card beside each model: what stands in it, that names in it are no markup, and where it lies."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.reporting.rows import make_rows
from experiments.reporting.tables.card import card, write_cards
from experiments.reporting.write import write_report
from experiments.runs.records import append_record
from tests.reporting.test_verdict import run

RIGHT = np.arange(40) > 1  # 38 of 40


@pytest.fixture
def made(tmp_path):
    others = {
        "wall": {"images": 7, "accuracy": 0.5, "auroc": 0.6, "recall": {"Negative": 0.1}, "unlike": 0.875}
    }
    return run(tmp_path, "small", RIGHT, others=others)


def text_of(made, folder):
    (row,) = make_rows([made], folder=folder)
    return card(row, made)


def test_it_says_what_the_record_measured(made, tmp_path):
    said = text_of(made, tmp_path)
    assert "| 40 test images | 0.9500 |" in said
    assert "| 7 of wall, of which none was trained on | 0.5000 | 0.6000 | 0.100 |  |" in said
    assert "On wall its accuracy is 0.500; 88 % of the images are unlike" in said
    assert "| train | 50 | 50 |" in said
    assert "Model cards for model reporting" in said and "## Licence" in said


def test_its_tables_have_as_many_cells_in_each_line(made, tmp_path):
    tables = [block for block in text_of(made, tmp_path).split("\n\n") if "| --- |" in block]
    assert len(tables) == 2
    for table in tables:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1 and len(lines) >= 3


def test_a_class_that_was_never_answered_and_a_corruption_that_hurts_are_weaknesses(made, tmp_path):
    result = replace(
        made.result, confusion=[[20, 0], [20, 0]], others={}, robustness={"none": [1], "blur": [0.9, 0.4]}
    )
    said = text_of(replace(made, result=result), tmp_path)
    assert "answered Positive for no test image" in said
    assert "(blur) it gets 0.400 right" in said
    assert "tested on no other surface" in said


def test_a_name_is_no_markup(made, tmp_path):
    data = replace(made.data, name="[a](http://b) <script> | `c`")
    said = text_of(replace(made, data=data), tmp_path)
    assert "<script>" not in said.replace("\\<script>", "") and "[a](http" not in said.replace(
        "\\[a\\](http", ""
    )
    assert r"\| \`c\`" in said


def test_a_card_lies_beside_each_model_that_is_there_and_no_other_folder_gets_one(made, tmp_path):
    append_record(tmp_path, made)
    model = tmp_path / made.model_file
    write_report(tmp_path)
    assert not model.with_suffix(".md").exists()
    model.parent.mkdir(exist_ok=True)
    model.write_bytes(b"")
    write_report(tmp_path)
    assert model.with_suffix(".md").read_text().startswith("# small-seed0")
    model.with_suffix(".md").unlink()
    write_cards(tmp_path / "elsewhere", make_rows([made], folder=tmp_path))
    assert not model.with_suffix(".md").exists()

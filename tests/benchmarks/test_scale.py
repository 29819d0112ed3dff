"""What an image costs among few and many: each stage does its work, and its time and memory are told."""

import time

import numpy as np
import pytest

from experiments.benchmarks import stages
from experiments.benchmarks.parts import scale
from experiments.benchmarks.registry import PARTS, Request, unsaid
from experiments.benchmarks.stages import STAGES, Cost, Stage, bytes_an_image, cost_of
from experiments.cli.apart import apart

COUNT = 120


def done(name, folder):
    return STAGES[name].prepare(COUNT, folder)()


def test_links_are_listed_saved_and_decoded_as_files_are(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "FILES", 7)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    manifest = done("manifest", tmp_path / "a")
    assert manifest.counts() == {"crack": COUNT // 2, "plain": COUNT // 2}
    assert len({image.sha256 for image in manifest.images}) == 7
    decoded = done("decode", tmp_path / "b")
    assert decoded.images.shape == (COUNT, stages.SMALL, stages.SMALL, 3)
    assert decoded.paths == tuple(image.path for image in manifest.images)
    assert decoded.images.std() > 1
    assert done("manifest, saved and loaded", tmp_path) == stages.drawn_manifest(COUNT).fingerprint


def test_groups_are_split_and_tiles_have_no_twins(tmp_path):
    split = done("grouped split", tmp_path)
    sides = [{i // stages.GROUP for i in side} for side in (split.train, split.validation, split.test)]
    assert all(sides) and sum(map(len, sides)) == COUNT // stages.GROUP == len(set.union(*sides))
    assert done("audit: search for twins", tmp_path).twins == ()


def test_every_image_of_an_epoch_comes_and_every_verdict_counts(tmp_path):
    assert done("epoch", tmp_path) == COUNT
    assert 0 < done("report: verdicts of a run", tmp_path) <= 1


def hold(megabytes):
    def fill():
        held = np.ones(megabytes << 20, np.uint8)
        time.sleep(0.05)
        return held.sum()

    return fill


@pytest.fixture
def filling(monkeypatch):
    """Stages that take 1 MB an image and nothing; before the former starts, much is taken and given back."""

    def prepare(count, folder):
        hold(60)()
        return hold(count)

    known = {"fill": Stage("fill", prepare, 1 << 20), "idle": Stage("idle", lambda *_: int, 100)}
    monkeypatch.setattr(stages, "STAGES", known)
    monkeypatch.setattr(scale, "STAGES", known)


def test_memory_is_that_of_the_stage_alone(filling):
    few, many = cost_of("fill", 10), cost_of("fill", 90)
    assert many.peak < many.before + (140 << 20)
    assert bytes_an_image(few, many) == pytest.approx(1 << 20, rel=0.15)
    assert 0.05 < many.seconds < 10


def test_the_part_has_rows_and_a_figure(filling, monkeypatch, tmp_path):
    monkeypatch.setattr(scale, "COUNTS", (10, 40))
    monkeypatch.setattr(scale, "apart", lambda function, *arguments: function(*arguments))
    rows = {row.name: row for row in scale.measure(Request("synthetic", None, (), {}, tmp_path), unsaid)}
    assert list(rows)[:3] == ["fill, 10 images", "fill, 40 images", "fill: memory"]
    assert 5 <= rows["fill, 10 images"].value < 1000
    assert rows["fill: memory"].unit == "bytes/image" and "1,048,576" in rows["fill: memory"].note
    assert "idle: memory" in rows
    drawn = (tmp_path / scale.FIGURE).read_text()
    assert "fill" in drawn and "MB at the peak" in drawn
    assert PARTS["scale"].on_request


def test_a_limit_ends_the_counts(filling, monkeypatch, tmp_path):
    monkeypatch.setattr(scale, "apart", lambda function, *arguments: Cost("fill", arguments[1], 1, 1, 2, 1))
    names = [row.name for row in scale.measure(Request("synthetic", 700, (), {}, tmp_path), unsaid)]
    assert names[:2] == ["fill, 1,000 images", "fill, 1,400 images"]


def test_what_would_take_too_long_is_left_out_and_told(filling, monkeypatch, tmp_path):
    monkeypatch.setattr(scale, "apart", lambda _, name, count: Cost(name, count, count / 50, 1, 2, 1))
    rows = {row.name: row for row in scale.measure(Request("synthetic", None, (), {}, tmp_path), unsaid)}
    assert rows["fill, 10,000 images"].value == pytest.approx(20)
    assert rows["fill, 100,000 images"].value is None
    assert (
        "not measured" in rows["fill, 100,000 images"].note and "33 min" in rows["fill, 100,000 images"].note
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_memory_keeps_to_its_budget(name, record):
    few, many = (apart(cost_of, name, count) for count in (10_000, 30_000))
    bytes_ = bytes_an_image(few, many)
    record(stage=name, images=many.images, bytes_per_image=bytes_, processor_seconds=many.cpu_seconds)
    assert bytes_ < STAGES[name].budget

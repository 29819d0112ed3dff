"""The gallery of mistakes: which images, in which order, with what said of them; and the runs' pictures."""

import base64
import json
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
from sklearn.metrics import classification_report, confusion_matrix

from cnnzoo.data.audit.summary import AuditFacts
from cnnzoo.data.pipeline import ImageSet
from cnnzoo.evaluation.calibration import Decision
from cnnzoo.evaluation.scores import score
from experiments.reporting.mistakes import Decisions, galleries
from experiments.reporting.rows import make_rows
from experiments.runs import evidence
from experiments.runs.evidence import SIDE, save_pictures, some_by_turns
from experiments.runs.left import mistakes_file
from experiments.runs.predictions import batch_places
from experiments.style.contact_sheet import some_of_each_kind
from tests.reporting.test_verdict import NAMES, run, with_mistakes


def rows_of(folder, *records):
    return make_rows(records, None, folder)


def mistakes_of(rows):
    """The mistakes of each row, in the order of the rows."""
    return list(galleries([Decisions(row) for row in rows]).values())


def test_mistakes_of_more_seeds_come_first_and_are_counted(tmp_path):
    records = [run(tmp_path, "a", with_mistakes(3, 8), seed=0), run(tmp_path, "a", with_mistakes(8), seed=1)]
    (found,) = mistakes_of(rows_of(tmp_path, *records))
    assert [(m.path, m.actual, m.predicted, m.seeds) for m in found] == [
        ("8.jpg", "Negative", "Positive", 2),
        ("3.jpg", "Positive", "Negative", 1),
    ]
    assert found[0].probability == pytest.approx(1, abs=1e-3)
    assert found[1].probability == pytest.approx(0.5, abs=1e-3)  # sure of it in one seed of two
    assert found[0].kind == "Actual Negative, predicted Positive"


def test_what_no_recipe_gets_right_is_hard_and_what_the_audit_doubts_is_doubtful(tmp_path):
    first = run(tmp_path, "a", with_mistakes(3, 8))
    audit = AuditFacts(0, 0, 0, 0, 0, 0, {}, 1, label_accuracy=0.99, oddities=0, suspects=("8.jpg",))
    other = run(tmp_path, "b", with_mistakes(8, 9))
    other = replace(other, data=replace(other.data, audit=audit))
    ours, theirs = mistakes_of(rows_of(tmp_path, first, other))
    # The audit is of the data: what one row's record says of it holds for the other's.
    assert {m.path: (m.hard, m.doubtful) for m in ours} == {"3.jpg": (False, False), "8.jpg": (True, True)}
    assert {m.path: m.hard for m in theirs} == {"8.jpg": True, "9.jpg": False}
    weak = replace(other, data=replace(other.data, audit=replace(audit, label_accuracy=0.8)))
    assert not any(m.doubtful for m in mistakes_of(rows_of(tmp_path, weak))[0])
    assert not any(m.hard for m in mistakes_of(rows_of(tmp_path, first))[0])


def test_the_confusion_is_that_of_the_chosen_threshold(tmp_path):
    made = run(tmp_path, "a", with_mistakes(1))
    point = {"threshold": 0.2, "test_recall": 1.0, "test_precision": 0.9, "wanted_recall": 0.99}
    result = replace(made.result, operating_point=point, temperature=1.0)
    made = replace(made, result=result, data=replace(made.data, positive="Positive"))
    scores = np.random.default_rng(0).uniform(0.001, 0.999, 1000)
    labels = np.arange(1000) % 2
    lines = ["path,group,actual,predicted,p_Negative,p_Positive"]
    names = ("Negative", "Positive")
    lines += [
        f"{i}.jpg,{i},{names[y]},{names[int(p > 0.5)]},{1 - p},{p}"
        for i, (y, p) in enumerate(zip(labels, scores, strict=True))
    ]
    (tmp_path / "predictions" / made.predictions_file()).write_text("\n".join(lines))
    (row,) = rows_of(tmp_path, made)
    assert Decisions(row).confusion == confusion_matrix(labels, scores >= 0.2).tolist()


def test_the_classification_report_is_scikit_learns(tmp_path):
    rng = np.random.default_rng(0)
    labels = (np.arange(300) % 5 == 0).astype(int)
    seeds = [rng.random(300) < 0.9 for _ in range(3)]
    made = [run(tmp_path, "a", right, labels=labels, seed=seed) for seed, right in enumerate(seeds)]
    (row,) = rows_of(tmp_path, *made)
    verdicts = Decisions(row)
    expected = classification_report(
        np.tile(labels, 3), np.concatenate(verdicts.decided), target_names=NAMES, output_dict=True
    )
    named = zip((*NAMES, "macro avg", "weighted avg"), verdicts.class_report, strict=True)
    for name, line in named:
        scores = line.precision, line.recall, line.f1, 3 * line.support
        assert scores == pytest.approx(
            [expected[name][key] for key in ("precision", "recall", "f1-score", "support")]
        )
    never = rows_of(tmp_path, run(tmp_path, "b", labels == 0, labels=labels))
    assert [line.precision for line in Decisions(never[0]).class_report][:2] == [0.8, 0.0]


def test_a_mistake_of_the_threshold_says_so(tmp_path):
    made = run(tmp_path, "a", with_mistakes(3))
    point = {"threshold": 0.97, "test_recall": 1.0, "test_precision": 0.9, "wanted_recall": 0.99}
    said = "probability of Positive 0.000, below the threshold 0.970"
    for operating_point, why in ((point, said), (None, "probability of Negative 1.000")):
        result = replace(made.result, temperature=1.0, operating_point=operating_point)
        changed = replace(made, result=result, data=replace(made.data, positive="Positive"))
        ((mistake,),) = mistakes_of(rows_of(tmp_path, changed))
        assert (mistake.path, mistake.why) == ("3.jpg", why)
        assert mistake.kind == "Actual Positive, predicted Negative"
    both = [made, run(tmp_path, "a", with_mistakes(3), seed=1)]
    ((mistake,),) = mistakes_of(rows_of(tmp_path, *both))
    assert mistake.why.startswith("mean probability of Negative ")


def test_samples_take_turns_and_the_test_batch_is_the_same_for_all_runs():
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2, np.int32)
    chosen = some_by_turns(labels, 9)
    assert np.bincount(labels[chosen]).tolist() == [4, 3, 2]
    assert batch_places(100) == batch_places(100) and len(set(batch_places(100))) == 16
    assert sorted(batch_places(5)) == [0, 1, 2, 3, 4]


def test_the_test_batch_marks_what_is_wrong(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(evidence, "draw_sheet", lambda path, images, titles, **style: drawn.update(
        titles=titles, **style))  # fmt: skip
    images = ImageSet(np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 1, 0]), tuple("abcd"), 4)
    scores = score(images.labels, np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]], np.float32))
    evidence.draw_test_batch(tmp_path / "x.jpg", images, scores, ("no", "yes"), Decision())
    by_place = dict(zip(batch_places(4), zip(drawn["titles"], drawn["colours"], strict=True), strict=True))
    assert by_place[2] == ("yes → no\nWRONG", evidence.VERMILION)
    assert [by_place[i] for i in (0, 1, 3)] == [
        (title, evidence.PLAIN) for title in ("no → no\nright", "yes → yes\nright", "no → no\nright")
    ]


def test_a_run_leaves_pictures_of_its_most_confident_mistakes(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 160, 160, 3), dtype=np.uint8)
    labels = np.zeros(40, np.int32)
    wrong = np.linspace(0.3, 0.9, 40)  # above 0.5 from image 14 on
    scores = score(labels, np.stack([1 - wrong, wrong], axis=1).astype(np.float32))
    inputs = keras.Input((160, 160, 3))
    x = keras.layers.Conv2D(4, 3, strides=8)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    paths = tuple(f"{i}.jpg" for i in range(40))
    file = tmp_path / mistakes_file("a-seed0", "0123456789")
    save_pictures(file, model, ImageSet(images, labels, paths, 8), scores, ("no", "yes"), Decision())
    found = json.loads(file.read_text())
    assert list(found) == [f"{i}.jpg" for i in range(39, 15, -1)]
    for image, map_ in found.values():
        for data in (image, map_):
            decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
            assert decoded.shape == (SIDE, SIDE, 3)
    assert found["39.jpg"][0] != found["39.jpg"][1]


def test_a_model_whose_features_have_one_place_gives_pictures_without_maps(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 8)(inputs)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    # Grad-CAM of pixels would be no explanation; whatever it says, the run goes on.
    images = ImageSet(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int32), ("0.jpg",), 1)
    scores = score(images.labels, np.array([[0.1, 0.9]], np.float32))
    file = tmp_path / "mistakes" / "a.json"
    save_pictures(file, model, images, scores, ("no", "yes"), Decision())
    assert json.loads(file.read_text())["0.jpg"][0]


def test_the_picture_is_of_a_run_that_came_to_the_verdict_shown(tmp_path):
    records = []
    for seed, wrong in ((0, ()), (1, (8,)), (2, (8,))):
        made = run(tmp_path, "a", with_mistakes(*wrong), seed=seed)
        records.append(made)
        file = tmp_path / mistakes_file(made.run_name, made.identity)
        file.parent.mkdir(exist_ok=True)
        # The first run's picture is of another verdict than that of the two that got it wrong.
        file.write_text(json.dumps({"8.jpg": [f"image {seed}", f"map {seed}"]}))
    ((mistake,),) = mistakes_of(rows_of(tmp_path, *records))
    assert (mistake.image, mistake.map) == ("image 1", "map 1")


def test_what_is_hard_is_judged_within_one_test_set(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    here = run(tmp_path / "x", "a", with_mistakes(3))
    there = run(tmp_path / "y", "b", with_mistakes(3))
    there = replace(there, data=replace(there.data, fingerprint="e" * 64))
    rows = [*rows_of(tmp_path / "x", here), *rows_of(tmp_path / "y", there)]
    assert [m.hard for found in mistakes_of(rows) for m in found] == [False, False]


def test_each_kind_of_mistake_has_its_turn():
    kinds = ["a"] * 40 + ["b"] * 3
    chosen = some_of_each_kind(list(range(43)), kinds)
    assert chosen == [*range(21), 40, 41, 42]

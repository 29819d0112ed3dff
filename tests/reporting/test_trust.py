"""The tables on trust in results/README.md: checked on verdicts of which the answer is known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.reporting.tables import trust
from experiments.reporting.tables.trust import Kept, Trust
from experiments.runs.predictions import Predictions


def verdicts(positive, labels, *, distances=None, groups=None):
    """Images with a probability of the positive class, 1, of two."""
    p = np.array(positive, float)
    rows = np.stack([1 - p, p], 1)
    return Predictions(
        paths=tuple(f"{i}.jpg" for i in range(len(p))),
        groups=tuple(map(str, range(len(p)) if groups is None else groups)),
        labels=np.array(labels),
        probabilities=rows,
        calibrated=rows,
        decided=rows.argmax(axis=1),
        distances=None if distances is None else np.array(distances, float),
    )


@pytest.fixture
def row(monkeypatch):
    """Makes a row of one run with these verdicts, by the name of the data set."""

    def make(found, validation=None):
        monkeypatch.setattr(trust, "read_predictions", lambda folder, record, other="": found[other])
        monkeypatch.setattr(trust, "read_validation", lambda folder, record: validation)
        record = SimpleNamespace(data=SimpleNamespace(class_names=("a", "b"), positive="b"))
        return Trust(SimpleNamespace(folder=Path("x"), runs=[record]))

    return make


def test_a_surface_is_told_apart_by_the_share_of_pairs_in_the_right_order(row):
    own = verdicts([0.9, 0.1, 0.6], [1, 0, 1], distances=[0.2, 0.5, 0.9])
    other = verdicts([0.8, 0.7], [0, 1], distances=[0.7, 3.0])
    made = row({"": own, "wall": other})
    assert made.told_apart("wall") == pytest.approx(5 / 6)
    # By how unsure: 0.9, 0.9, 0.6 against 0.8, 0.7, of six pairs four in order.
    assert made.told_apart("wall", "probability") == pytest.approx(4 / 6)
    assert (made.unlike(), made.unlike("wall")) == (0, 0.5)


def test_what_is_kept_is_sure_or_alike_or_both(row):
    own = verdicts([0.9, 0.95, 0.6, 0.2], [1, 0, 1, 0], distances=[0.5, 2.0, 0.5, 0.5])
    made = row({"": own}, verdicts([0.85] * 9 + [0.55], [1] * 10))
    assert made.kept() == Kept(1.0, 0.75)
    assert made.kept(share=0.9) == Kept(0.5, 0.5)
    assert made.kept(like=True) == Kept(0.75, 1.0)
    assert made.kept(share=0.9, like=True) == Kept(0.25, 1.0)


def test_nothing_is_left_where_all_is_unlike(row):
    made = row({"": verdicts([0.9], [1], distances=[2.0])}, verdicts([0.9], [1]))
    assert made.kept(like=True) == Kept(0.0, None)


def test_promises_on_many_photographs_are_made_and_kept_where_the_old_way_broke_half(row):
    rng = np.random.default_rng(0)
    sides = [verdicts(rng.uniform(size=900), [1] * 900) for _ in range(2)]
    found = row({"": sides[0]}, sides[1]).promises(0.95)
    assert found.promised == 1.0
    assert found.broken <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / trust.REGROUPINGS)
    assert found.broken_unpromised is None
    assert 0.35 < found.broken_before < 0.65


def test_few_photographs_promise_nothing_unless_each_image_were_one(row):
    rng = np.random.default_rng(0)
    groups = np.repeat(range(20), 45)
    sides = [verdicts(rng.uniform(size=900), [1] * 900, groups=groups + 20 * i) for i in range(2)]
    made = row({"": sides[0]}, sides[1])
    assert made.promises(0.95).promised == 0.0
    assert made.promises(0.95, alone=True).promised == 1.0

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from cnnzoo.evaluation.calibration import (
    accuracy_when_abstaining,
    calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)


@pytest.fixture(scope="module")
def overconfident():
    """Labels drawn from softmax(logits), probabilities from logits three times as large."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (20_000, 3))
    true = softmax(logits, axis=1)
    labels = (true.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    return labels, softmax(3 * logits, axis=1), true


def test_the_temperature_undoes_overconfidence(overconfident):
    labels, probabilities, true = overconfident
    temperature = fit_temperature(labels, probabilities)
    assert temperature == pytest.approx(3, rel=0.05)
    # Probabilities under 1e-7 are all the same to it.
    assert with_temperature(probabilities, 3) == pytest.approx(true, abs=0.01)
    best = log_loss(labels, with_temperature(probabilities, temperature))
    for other in (0.9 * temperature, 1.1 * temperature):
        assert best < log_loss(labels, with_temperature(probabilities, other))


def test_a_temperature_changes_no_verdict(overconfident):
    _, probabilities, _ = overconfident
    assert with_temperature(probabilities, 1) == pytest.approx(probabilities, abs=1e-6)
    warm = with_temperature(probabilities, 2.5)
    clear = probabilities.max(axis=1) < 1 - 1e-6
    assert (warm.argmax(axis=1) == probabilities.argmax(axis=1))[clear].all()


def test_certain_probabilities_stay_finite():
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    temperature = fit_temperature(np.array([0, 1, 1]), sure)
    assert np.isfinite(with_temperature(sure, temperature)).all()


def test_without_a_mistake_there_is_no_temperature_to_fit():
    assert fit_temperature(np.array([0, 1]), np.array([[0.7, 0.3], [0.4, 0.6]])) == 1


def test_the_calibration_error_by_hand():
    # Bins of 1/15: 0.95 (two images, one right) and 0.55 (two images, both right).
    probabilities = np.array([[0.95, 0.05], [0.05, 0.95], [0.55, 0.45], [0.45, 0.55]])
    labels = np.array([0, 0, 0, 1])
    assert calibration_error(labels, probabilities) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    bins = reliability(labels, probabilities)
    assert [(b.count, b.accuracy) for b in bins] == [(2, 1.0), (2, 0.5)]
    assert [b.confidence for b in bins] == pytest.approx([0.55, 0.95])


def test_true_probabilities_are_calibrated(overconfident):
    labels, probabilities, true = overconfident
    assert calibration_error(labels, true) < 0.015
    assert calibration_error(labels, probabilities) > 0.1
    assert sum(b.count for b in reliability(labels, true)) == len(labels)


def test_abstaining_leaves_out_the_least_sure_first():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.45, 0.55]])
    shares, accuracy = accuracy_when_abstaining(np.array([0, 1, 1, 1]), probabilities)
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75])
    # All; without 0.55 (right); without 0.6 as well (wrong); only 0.9.
    assert accuracy == pytest.approx([3 / 4, 2 / 3, 1, 1])

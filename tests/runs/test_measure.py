"""What a run measures and decides on validation images."""

import numpy as np

from cnnzoo.evaluation.calibration import Decision
from cnnzoo.evaluation.scores import score
from experiments.runs.measure import RECALLS, Wanted, fit_decision, probability_scores


def test_without_a_positive_class_there_is_no_average_precision():
    scores = score(
        np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    )
    named, unnamed = (probability_scores(scores, Decision(), positive) for positive in (1, None))
    assert named["average_precision"] == 1.0
    assert unnamed == {**named, "average_precision": None}


def test_a_model_file_knows_thresholds_for_recalls_that_hold_on_new_images():
    """As many new images as those that chose it: 95 of 100 draws are to keep what was promised."""
    rng = np.random.default_rng(0)
    names, count, kept = ("plain", "crack"), 400, {recall: 0 for recall in RECALLS}
    labels = np.repeat([0, 1], count)

    def draw():
        odds = rng.normal(np.where(labels == 1, 1.0, -1.0), 1.5)
        p = 1 / (1 + np.exp(-odds))
        return np.stack([1 - p, p], axis=1).astype(np.float32)

    for _ in range(60):
        scores = score(labels, draw())
        decision, _ = fit_decision(scores, names, "crack", range(2 * count), Wanted())
        new = draw()[labels == 1, 1]
        new = 1 / (1 + (1 / new - 1) ** (1 / decision.temperature))  # calibrated, as verdicts are
        for recall, threshold in decision.recalls:
            kept[recall] += (new >= threshold).mean() >= recall
    assert min(kept.values()) >= 52
    assert decision.threshold is None
    assert decision.threshold_for(0.9) == dict(decision.recalls)[0.9]
    assert decision.threshold_for(0.97) == dict(decision.recalls)[0.98]
    assert decision.threshold_for(0.999) is None

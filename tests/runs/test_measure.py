"""What a run measures where its data name no positive class."""

import numpy as np

from cnnzoo.evaluation.calibration import Decision
from cnnzoo.evaluation.scores import score
from experiments.runs.measure import probability_scores


def test_without_a_positive_class_there_is_no_average_precision():
    scores = score(
        np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    )
    named, unnamed = (probability_scores(scores, Decision(), positive) for positive in (1, None))
    assert named["average_precision"] == 1.0
    assert unnamed == {**named, "average_precision": None}

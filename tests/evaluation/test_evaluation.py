import numpy as np
import pytest
from sklearn.metrics import classification_report, roc_auc_score

import cnnzoo
from cnnzoo.evaluation.scores import auroc, average_precision, class_probabilities, score
from cnnzoo.evaluation.speed import milliseconds_per_image
from cnnzoo.evaluation.statistics import wilson_interval


def test_scores_agree_with_scikit_learns_report():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200).astype(np.int32)
    probabilities = rng.dirichlet(np.ones(3), 200).astype(np.float32)
    scores = score(labels, probabilities)
    report = classification_report(labels, probabilities.argmax(1), output_dict=True)
    assert scores.accuracy == pytest.approx(report["accuracy"])
    for i in range(3):
        assert scores.precision[i] == pytest.approx(report[str(i)]["precision"])
        assert scores.recall[i] == pytest.approx(report[str(i)]["recall"])
        assert scores.f1[i] == pytest.approx(report[str(i)]["f1-score"])
    assert scores.loss == pytest.approx(-np.log(probabilities[np.arange(200), labels]).mean(), rel=1e-5)
    assert scores.confusion.sum(axis=1).tolist() == np.bincount(labels).tolist()


def test_a_class_that_nobody_predicts_scores_zero():
    scores = score(np.array([0, 1, 1], np.int32), np.array([[1, 0]] * 3, np.float32))
    assert scores.precision.tolist() == [pytest.approx(1 / 3), 0]
    assert scores.recall.tolist() == [1, 0]


def test_wilsons_interval_by_hand():
    # Wilson 1927 for 8 of 10: centre (p + z²/2n) / (1 + z²/n), z = 1.959964.
    n, p, z = 10, 0.8, 1.959964
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert wilson_interval(8, 10) == (pytest.approx(centre - half), pytest.approx(centre + half))


def test_a_sigmoid_unit_is_the_probability_of_class_1():
    assert class_probabilities(np.array([[0.75]], np.float32)).tolist() == [[0.25, 0.75]]


def test_latency_is_a_positive_time():
    model = cnnzoo.create_model("three_conv", input_shape=(32, 32, 3))
    assert 0 < milliseconds_per_image(model, batch_size=2, repeats=3) < 1000


def test_the_area_under_the_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    probabilities = rng.dirichlet(np.ones(3), 300)
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert auroc(labels, probabilities) == pytest.approx(expected)
    # By hand: of the four pairs of a positive and a negative one is in the wrong order.
    two = np.array([[0.1, 0.9], [0.7, 0.3], [0.4, 0.6], [0.8, 0.2]])
    assert auroc(np.array([1, 1, 0, 0]), two) == pytest.approx(3 / 4)
    assert np.isnan(auroc(np.array([1, 1, 1, 1]), two))


def test_the_average_precision_by_hand():
    probabilities = np.array([[0.1, 0.9], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2]])
    labels = np.array([1, 0, 1, 0])
    # Positives at ranks 1 and 3: (1/1 + 2/3) / 2.
    assert average_precision(labels, probabilities, 1) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(labels, probabilities, 0) == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(average_precision(np.zeros(4), probabilities, 1))

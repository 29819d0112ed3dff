"""What a probability is worth: temperature, calibration error, operating point, verdict, abstention.

SciPy and scikit-learn take seconds to import: not before a function needs them, as asking a model does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15
TINY = 1e-7  # float32 probabilities reach 0


@dataclass(frozen=True)
class Decision:
    """How probabilities become a verdict.

    Attributes:
        temperature: what the logits are divided by, so that a probability is the share of cases it is right.
        positive: name of the class that is to be found, which a threshold is for; empty for none.
        threshold: probability from which on an image counts as `positive`; None leaves it to the highest.
        sound: median log-odds of `positive` among validation images of the other of two classes, which
            `cnnzoo.adapt` compares those of another surface with; None where it is not known.
        recalls: pairs of a recall of `positive`, rising, and the threshold that gave it on the validation
            images, with room for chance (`promise.threshold_for_promise`); empty where they are not known.
    """

    temperature: float = 1.0
    positive: str = ""
    threshold: float | None = None
    sound: float | None = None
    recalls: tuple[tuple[float, float], ...] = ()

    def threshold_for(self, recall: float) -> float | None:
        """Returns the highest known threshold that gave at least this recall; None for none."""
        return next((threshold for known, threshold in self.recalls if known >= recall), None)


def fit_temperature(labels: npt.NDArray, probabilities: npt.NDArray) -> float:
    """Returns the temperature that gives (n, classes) `probabilities` the lowest cross-entropy (Guo 2017).

    Without a mistake every lower temperature is better, which says nothing: it is 1 then.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if (probabilities.argmax(axis=1) == labels).all():
        return 1.0
    logits = _logits(probabilities)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def with_temperature(probabilities: npt.NDArray, temperature: float) -> npt.NDArray[np.float64]:
    """Returns (n, classes) probabilities with their logits divided by `temperature`."""
    from scipy.special import softmax

    return np.asarray(softmax(_logits(probabilities) / temperature, axis=1))


def _logits(probabilities: npt.NDArray) -> npt.NDArray[np.float64]:
    return np.log(np.clip(probabilities.astype(np.float64), TINY, 1))


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose highest probability lies in one bin: their mean confidence, accuracy and number."""

    confidence: float
    accuracy: float
    count: int


def reliability(labels: npt.NDArray, probabilities: npt.NDArray) -> list[ReliabilityBin]:
    """Returns the filled bins of 15 equal ones over the confidence, the lowest first."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    # Bins are open on the left, closed on the right, as Guo 2017 has them.
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return [
        ReliabilityBin(float(confidence[b].mean()), float(right[b].mean()), int(b.sum()))
        for b in (bins == i for i in range(BINS))
        if b.any()
    ]


def calibration_error(labels: npt.NDArray, probabilities: npt.NDArray) -> float:
    """Returns the expected calibration error: the gap of confidence and accuracy over 15 equal bins."""
    bins = reliability(labels, probabilities)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / len(labels)


def accuracy_when_abstaining(
    labels: npt.NDArray, probabilities: npt.NDArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the share abstained, from 0 up, and the accuracy on the rest: the least sure go first."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    kept = np.arange(1, len(labels) + 1)
    accuracy = np.cumsum(right) / kept
    return (1 - kept / len(labels))[::-1], accuracy[::-1]


def decide(
    probabilities: npt.NDArray, class_names: Sequence[str], decision: Decision
) -> npt.NDArray[np.int64]:
    """Returns (n,) class ids for (n, classes) calibrated probabilities: the highest, but for a threshold."""
    if decision.threshold is None:
        return np.asarray(probabilities.argmax(axis=1), np.int64)
    positive = list(class_names).index(decision.positive)
    others = np.array(probabilities)
    others[:, positive] = -1
    is_positive = probabilities[:, positive] >= decision.threshold
    return np.where(is_positive, positive, others.argmax(axis=1))

"""How good a trained model is on images that it has not seen, and how sure that is."""

from dataclasses import dataclass
from time import perf_counter

import keras
import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from cnnzoo.backend import trace_prediction
from cnnzoo.data.pipeline import ImageSet
from cnnzoo.errors import InputError, kind_of
from cnnzoo.evaluation.statistics import wilson_interval


@dataclass(frozen=True, eq=False)
class Scores:
    """Predictions and what follows from them.

    Attributes:
        labels: (n,) true class ids.
        probabilities: (n, classes).
        accuracy: share of images whose most probable class is the true one.
        low, high: Wilson's 95 % interval of the accuracy (Wilson 1927), as if the images were independent.
            Of images that come from a few groups (photographs, runs of neighbouring files) it is far too
            narrow; `cnnzoo compare` computes its interval over groups.
        loss: mean cross-entropy in nats.
        confusion: (classes, classes) counts, a row per true class, a column per predicted class.
        precision, recall, f1: (classes,); 0 where a class was never predicted.
        seconds: time the predictions took.
    """

    labels: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float32]
    accuracy: float
    low: float
    high: float
    loss: float
    confusion: npt.NDArray[np.int64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]
    seconds: float

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(n,) ids of the most probable classes."""
        return self.probabilities.argmax(axis=1)


def evaluate(model: keras.Model, images: ImageSet) -> Scores:
    """Predicts every image of `images` once and scores the predictions.

    The interval takes the images to be independent; tiles of a few photographs are not.

    Raises:
        InputError: `images` is no side of what `load_datasets` returns, or the model gives no numbers.
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"evaluate takes a Keras model, not {kind_of(model)}")
    if not isinstance(images, ImageSet):
        raise InputError(
            f"evaluate takes a side of what load_datasets returns, as data.test; not {kind_of(images)}; "
            "for arrays use model.evaluate"
        )
    trace_prediction(model)
    start = perf_counter()
    probabilities = class_probabilities(model.predict(images.dataset(labels=False), verbose=0))
    seconds = perf_counter() - start
    if not np.isfinite(probabilities).all():
        raise InputError("the model gives no numbers: its weights are damaged, or its training diverged")
    return score(images.labels, probabilities, seconds=seconds)


def class_probabilities(outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Turns a sigmoid unit's P(class 1), (n, 1), into (n, 2); a softmax's (n, classes) stays as it is."""
    if outputs.shape[1] > 1:
        return outputs
    return np.concatenate([1 - outputs, outputs], axis=1)


def score(
    labels: npt.NDArray[np.int32], probabilities: npt.NDArray[np.float32], *, seconds: float = 0.0
) -> Scores:
    """Scores (n, classes) `probabilities` against (n,) `labels`."""
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    low, high = wilson_interval(int((predicted == labels).sum()), len(labels))
    # In float64 the rows sum to 1 closely enough for scikit-learn, which otherwise warns.
    exact = probabilities.astype(np.float64)
    return Scores(
        labels=labels,
        probabilities=probabilities,
        accuracy=float(accuracy_score(labels, predicted)),
        low=low,
        high=high,
        loss=float(log_loss(labels, exact / exact.sum(axis=1, keepdims=True), labels=classes)),
        confusion=confusion_matrix(labels, predicted, labels=classes),
        precision=precision,
        recall=recall,
        f1=f1,
        seconds=seconds,
    )


def auroc(labels: npt.NDArray, probabilities: npt.NDArray) -> float:
    """Returns the area under the ROC curve; for more than two classes the mean of each against the rest.

    NaN where a class is missing among `labels`.
    """
    classes = np.arange(probabilities.shape[1])
    if set(np.unique(labels)) != set(classes):
        return float("nan")
    if len(classes) == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in classes]))


def average_precision(labels: npt.NDArray, probabilities: npt.NDArray, positive: int) -> float:
    """Returns the average precision of class `positive` against the rest; NaN where it is missing."""
    wanted = labels == positive
    return (
        float(average_precision_score(wanted, probabilities[:, positive])) if wanted.any() else float("nan")
    )

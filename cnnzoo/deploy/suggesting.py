"""Which image files to label next, for a trained model to learn a new surface from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnnzoo.bars import track
from cnnzoo.data.pipeline import is_count
from cnnzoo.deploy.classifier import Classifier, checked, files_of, probabilities_of
from cnnzoo.deploy.verdicts import Prediction, verdicts
from cnnzoo.errors import InputError
from cnnzoo.evaluation.choosing import most_informative, projected
from cnnzoo.evaluation.several_views import one_view


def suggest(
    classifier: Classifier | str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    count: int = 50,
    batch_size: int = 32,
    progress: bool = False,
) -> tuple[list[Prediction], list[Prediction]]:
    """Chooses the image files whose labels would teach a model most: see `cnnzoo.evaluation.choosing`.

    Args:
        classifier: what `load_model` returns, or the .keras file to load.
        paths: image files, or one of them.
        count: images to choose.
        batch_size: images at a time.
        progress: show a bar on the terminal.

    Returns:
        The verdicts on the chosen ones, that which stands for most others first; and those of the files that
        are no images, with their errors.

    Raises:
        InputError: the classifier, the paths or the count can't be used.
    """
    if not is_count(count):
        raise InputError(f"{{count}} {count}: it must be a whole number, at least 1", count="count")
    classifier = checked(classifier, batch_size, "suggest")
    files = files_of(paths, "suggest")
    model = _with_features(classifier.model)
    features: list[npt.NDArray[np.float32]] = []

    def ask(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        behind, outputs = model.predict_on_batch(images)
        probabilities = probabilities_of(classifier, outputs)
        rows = np.asarray(behind, np.float32).reshape(len(images), -1)
        # Those that `verdicts` takes for answers.
        features.append(projected(rows)[np.isfinite(probabilities).all(axis=1)])
        return probabilities

    size = classifier.model.input_shape[1]
    asked = verdicts(classifier, size, ask, files, batch_size)
    seen = list(track(asked, len(files), "looking at images", unit="images", progress=progress))
    good = [verdict for verdict in seen if verdict.probabilities is not None]
    bad = [verdict for verdict in seen if verdict.error]
    if not good:
        return [], bad
    chosen = most_informative(
        np.concatenate(features),
        np.stack([verdict.probabilities for verdict in good if verdict.probabilities is not None]),
        count=count,
        unlike=np.array([verdict.unlike for verdict in good]),
    )
    return [good[i] for i in chosen], bad


def _with_features(model: keras.Model) -> keras.Model:
    """The model with one more output: what its last layer gets."""
    inner = one_view(model)
    history: Any = inner.outputs[0]._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    behind = node.input_tensors[0]
    if isinstance(history.operation, keras.layers.Activation):  # of scores that a layer before gave
        history = behind._keras_history
        behind = history.operation._inbound_nodes[history.node_index].input_tensors[0]
    if inner is not model:
        behind = keras.Model(inner.inputs[0], behind)(model.inputs[0])
    return keras.Model(model.inputs, [behind, model.outputs[0]])

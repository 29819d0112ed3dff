"""A threshold for a surface that the model has not seen, from its images alone: no label is used.

On a new surface the scores of sound images move: joints and rough stones look a little like cracks. So the
sound images, as the model itself tells them, are compared with the sound ones that it was validated on, and
the threshold follows part of the way. The share of cracked images does not matter, as they take no part;
statistics of a whole folder, such as those of batch norm taken anew (Li et al. 2016), call sound images
cracked where few are. Where cracks score lower than in training too, the threshold may move the wrong way,
and so small moves are not followed; results/surfaces says what it gains.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cnnzoo.errors import InputError
from cnnzoo.evaluation.calibration import Decision

# Cracks move less than what is sound; and within a quarter of the way to the threshold, sound images of other
# walls move without a reason to follow. How both were chosen: results/surfaces.
FOLLOWED = 0.5
LEFT_ALONE = 0.25
FEWEST_SOUND = 8  # images judged sound, below which a median says nothing
_ROUNDS = 50
_TINY = 1e-7  # float32 probabilities reach 0 and 1


def sound_level(labels: npt.NDArray, probabilities: npt.NDArray, positive: int) -> float | None:
    """Returns the median log-odds of class `positive` among the images of the other of two classes.

    None with more classes, or without such images.

    Args:
        labels: (n,) class ids.
        probabilities: (n, classes), calibrated.
        positive: id of the class that is to be found.
    """
    sound = labels != positive
    if probabilities.shape[1] != 2 or not sound.any():
        return None
    return float(np.median(log_odds(probabilities[sound, positive])))


def adapted(decision: Decision, probabilities: npt.NDArray, class_names: Sequence[str]) -> Decision:
    """Returns the decision with the threshold that suits a surface, given its images' probabilities.

    The median of the images judged sound may lie off `decision.sound` by a quarter of the way from there to
    the threshold: the threshold's log-odds move by half of what lies beyond, until that changes no verdict.
    The decision is unchanged where fewer than 8 images are judged sound at first.

    Args:
        decision: of the model, with `sound`.
        probabilities: (n, 2), calibrated; images of one surface.
        class_names: both of them.

    Raises:
        InputError: the decision doesn't say how sound images score.
    """
    from scipy.special import expit

    reference = sound_reference(decision, class_names)
    scores = log_odds(probabilities[:, list(class_names).index(decision.positive)])
    first = float(log_odds(np.array(0.5 if decision.threshold is None else decision.threshold)))
    threshold = first
    if (scores < first).sum() < FEWEST_SOUND:
        return decision
    for _ in range(_ROUNDS):
        sound = scores[scores < threshold]
        if len(sound) < FEWEST_SOUND:
            break
        moved = float(np.median(sound) - reference)
        beyond = max(0.0, abs(moved) - LEFT_ALONE * abs(first - reference))
        before, threshold = threshold, first + FOLLOWED * float(np.copysign(beyond, moved))
        if threshold == before:
            break
    return replace(decision, threshold=float(expit(threshold)))


def sound_reference(decision: Decision, class_names: Sequence[str]) -> float:
    """Returns `decision.sound`.

    Raises:
        InputError: it isn't known, or the classes are not two with a positive one.
    """
    if decision.sound is None or decision.positive not in class_names or len(class_names) != 2:
        raise InputError(
            "this model can't be adapted: its file doesn't say how sound images score. Train it again with "
            "this version of cnnzoo compare, on two classes of which one is the positive class (--positive)"
        )
    return decision.sound


def log_odds(probabilities: npt.NDArray) -> npt.NDArray[np.float64]:
    """Returns log(p / (1 - p)), of p kept a little away from 0 and 1."""
    from scipy.special import logit

    return np.asarray(logit(np.clip(np.asarray(probabilities, np.float64), _TINY, 1 - _TINY)))

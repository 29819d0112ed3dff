"""A threshold for a surface that the model has not seen, from its images alone: no label is used.

On a new surface the scores move. Where sound images do, since joints and rough stones look a little like
cracks, the sound images, as the model itself tells them, are compared with the sound ones that it was
validated on, and the threshold follows part of the way. Where cracks lie about as near to the threshold as
sound images do, or nearer, being finer than those learnt, it comes down to nearly halfway between the two.

Each class is judged by its median, so that the share of cracked images matters little, and none are needed
for the first half of this; statistics of a whole folder, such as those of batch norm taken anew (Li et al.
2016), call sound images cracked where few are. Where both classes move, the threshold may move the wrong way,
and so small moves are not followed. A smooth surface that is rough in places looks like one with faint
cracks: there it calls the rough places cracked. results/surfaces says what it gains.
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
# Sound images differ less among themselves than cracked ones do: so the threshold is a little nearer to them,
# as with the densities of discriminant analysis, but never nearer than so many of their own deviations.
PART_WAY = 0.45
DEVIATIONS = 5
FEWEST_SOUND = 8  # images judged sound, below which a median says nothing
FEWEST_CRACKED = 0.02  # share of all images judged cracked: of fewer, most may be false alarms
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
    They also come down, by as much as those of a threshold at 0 would to lie 0.45 of the way from the median
    of the images judged sound to that of those judged cracked, as long as that lowers it. It stays at least 5
    mean deviations above the median of the sound ones, of those below it; more where they are few. It comes
    down less where few images are judged cracked, and not at all where fewer than one in 50 is. A threshold
    that is lower already stays. The decision is unchanged where fewer than 8 images are judged sound.

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
    if (scores < first).sum() < FEWEST_SOUND:
        return decision
    threshold = _after_the_sound(scores, first, reference)
    threshold = min(threshold, max(threshold, 0.0) + _between_the_two(scores))
    return replace(decision, threshold=float(expit(threshold)))


def _after_the_sound(scores: npt.NDArray, first: float, reference: float) -> float:
    """The threshold that follows the sound images to where they have moved."""
    threshold = first
    for _ in range(_ROUNDS):
        sound = scores[scores < threshold]
        if len(sound) < FEWEST_SOUND:
            break
        moved = float(np.median(sound) - reference)
        beyond = max(0.0, abs(moved) - LEFT_ALONE * abs(first - reference))
        before, threshold = threshold, first + FOLLOWED * float(np.copysign(beyond, moved))
        if threshold == before:
            break
    return threshold


def _between_the_two(scores: npt.NDArray) -> float:
    """How far a threshold at log-odds of 0 comes down, to between the images that it takes for the two."""
    threshold = 0.0
    for _ in range(_ROUNDS):
        sound, cracked = scores[scores < threshold], scores[scores >= threshold]
        if len(sound) < FEWEST_SOUND or len(cracked) < max(1, FEWEST_CRACKED * len(scores)):
            break
        middle = float(np.median(sound))
        deviation = middle - float(sound[sound <= middle].mean())
        deviation *= 1 + 2 / len(sound) ** 0.5  # a few images may seem alike by chance
        nearest = middle + DEVIATIONS * deviation
        between = max(nearest, middle + PART_WAY * (float(np.median(cracked)) - middle))
        between *= len(cracked) / (len(cracked) + 1)  # as if one image more said that it stays
        if between >= threshold:
            break
        threshold = between
    return threshold


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

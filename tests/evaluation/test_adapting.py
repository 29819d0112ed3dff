import numpy as np
import pytest
from scipy.special import expit

from cnnzoo.errors import InputError
from cnnzoo.evaluation.adapting import adapted, sound_level
from cnnzoo.evaluation.calibration import Decision, decide

NAMES = ("sound", "crack")
LEARNT = Decision(positive="crack", sound=-4.0)


def probabilities(log_odds):
    """(n, 2) whose log-odds of the second class are these."""
    p = expit(np.asarray(log_odds, float))
    return np.stack([1 - p, p], axis=1)


def test_the_threshold_follows_sound_images_that_have_moved_far():
    # All sound, at -2 instead of -4. A quarter of the 4 to the threshold is left alone, half of the rest
    # is followed: 0.5, by hand.
    fitted = adapted(LEARNT, probabilities([-2.5, -2.0, -1.5] * 5), NAMES)
    assert fitted.threshold == pytest.approx(expit(0.5))
    # Where it learnt, and on walls that are much like it, nothing changes.
    for middle in (-4.0, -3.1, -4.9):
        near = probabilities(np.array([-0.5, 0.0, 0.5] * 5) + middle)
        assert adapted(LEARNT, near, NAMES).threshold == pytest.approx(0.5)


@pytest.mark.parametrize("images", [32, 100, 1000])
def test_the_share_of_cracked_images_hardly_matters(images):
    rng = np.random.default_rng(0)
    sound, cracked = rng.normal(-1.2, 1.0, 4000), rng.normal(3.0, 1.5, 4000)
    labels = np.repeat([0, 1], 4000)
    everything = probabilities(np.concatenate([sound, cracked]))

    def balanced_accuracy(decision):
        right = decide(everything, NAMES, decision) == labels
        return (right[labels == 0].mean() + right[labels == 1].mean()) / 2

    plain, gains = balanced_accuracy(Decision(positive="crack")), []
    for share in (0.5, 0.2, 0.05, 0.0):
        count = round(share * images)
        scores = np.concatenate([sound[: images - count], cracked[:count]])
        gains.append(balanced_accuracy(adapted(LEARNT, probabilities(scores), NAMES)) - plain)
    assert gains[0] > 0.015
    assert min(gains) > 0.9 * gains[0]


def test_a_threshold_for_a_recall_is_where_it_starts():
    strict = Decision(positive="crack", threshold=0.1, sound=-4.0)
    fitted = adapted(strict, probabilities([-3.0] * 10), NAMES)
    first = np.log(0.1 / 0.9)
    assert np.log(fitted.threshold / (1 - fitted.threshold)) == pytest.approx(
        first + 0.5 * (1 - 0.25 * (first + 4))
    )


def test_a_surface_smoother_than_that_of_training_lowers_the_threshold():
    fitted = adapted(LEARNT, probabilities([-6.5, -6.0, -5.5] * 5), NAMES)
    assert fitted.threshold == pytest.approx(expit(-0.5))


@pytest.mark.parametrize(
    ("sound", "cracked", "threshold"),
    [
        # 0.45 of the way from -4 to 1.
        ([-4.2, -4.0, -3.8], 1.0, -1.75),
        # Those below the median of -4 and on it are 0.5 off it in the mean, of 60 images: 5.6 * 0.5 * 1.258.
        ([-5.0, -4.0, -3.0], 1.0, -4 + 5.6 * 0.5 * (1 + 2 / 60**0.5)),
        # Cracks score as high as they did: the threshold is where it was.
        ([-4.2, -4.0, -3.8], 5.0, 0.0),
    ],
)
def test_the_threshold_comes_down_where_cracks_score_low(sound, cracked, threshold):
    spread = np.array([-0.5, 0.0, 0.5])
    for images in (4, 30):  # of the cracked ones, whose share does not matter
        scores = np.concatenate([sound * 20, np.resize(cracked + spread, images // 2 * 2 - 1)])
        fitted = adapted(LEARNT, probabilities(scores), NAMES)
        assert np.log(fitted.threshold / (1 - fitted.threshold)) == pytest.approx(threshold, abs=1e-6)


def test_a_false_alarm_among_many_sound_images_does_not_bring_the_threshold_down():
    scores = np.array([-4.2, -4.0, -3.8] * 20 + [0.5])
    assert adapted(LEARNT, probabilities(scores), NAMES).threshold == pytest.approx(0.5)


def test_too_few_sound_images_say_nothing():
    scores = [-1.0] * 7 + [4.0] * 30
    assert adapted(LEARNT, probabilities(scores), NAMES) == LEARNT
    assert adapted(LEARNT, np.zeros((0, 2)), NAMES) == LEARNT


@pytest.mark.parametrize(
    ("decision", "names"),
    [(Decision(positive="crack"), NAMES), (Decision(), NAMES), (LEARNT, ("sound", "crack", "moss"))],
)
def test_a_model_that_does_not_know_how_sound_images_score_is_refused(decision, names):
    with pytest.raises(InputError, match=r"can't be adapted.*--positive"):
        adapted(decision, np.full((20, len(names)), 1 / len(names)), names)


def test_the_sound_level_is_the_median_of_the_other_class():
    p = probabilities([-3.0, -1.0, -2.0, 5.0])
    assert sound_level(np.array([0, 0, 0, 1]), p, 1) == pytest.approx(-2.0)
    assert sound_level(np.array([1, 1, 1, 1]), p, 1) is None
    assert sound_level(np.array([0, 1]), np.full((2, 3), 1 / 3), 1) is None
    # Nothing infinite from probabilities that float32 rounded to 0 or 1.
    assert np.isfinite(sound_level(np.array([0, 0]), np.array([[1.0, 0.0], [0.0, 1.0]]), 1))

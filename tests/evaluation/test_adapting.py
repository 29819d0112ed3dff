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


def log_odds_of(scores, decision=LEARNT):
    """Those of the threshold that fits images with these log-odds."""
    fitted = adapted(decision, probabilities(scores), NAMES).threshold
    return np.log(fitted / (1 - fitted))


@pytest.mark.parametrize(
    ("sound", "cracked", "threshold"),
    [
        # 0.45 of the way from -4 to 1.
        ([-4.2, -4.0, -3.8], 1.0, -1.75),
        # Of 60 images, those up to the median of -4 are 0.5 below it in the mean.
        ([-5.0, -4.0, -3.0], 1.0, -4 + 5 * 0.5 * (1 + 2 / 60**0.5)),
        # Cracks lie well farther from the threshold than sound images do.
        ([-4.2, -4.0, -3.8], 5.0, 0.0),
    ],
)
@pytest.mark.parametrize("images", [3, 30, 300])  # cracked ones, whose share does not matter
def test_the_threshold_comes_down_where_cracks_score_low(sound, cracked, threshold, images):
    scores = [*sound * 20, *np.resize([cracked - 0.5, cracked, cracked + 0.5], images)]
    assert log_odds_of(scores) == pytest.approx(threshold * images / (images + 1), abs=1e-6)


def test_images_that_the_lower_threshold_finds_are_taken_into_account():
    # At first the cracks at -0.5 are judged sound, as the 60 sound ones are: down to -1.75 * 10 / 11. Then
    # the median of all cracks is 0.25: 0.45 of the way from -4 to there.
    scores = [-4.2, -4.0, -3.8] * 20 + [1.0] * 10 + [-0.5] * 10
    assert log_odds_of(scores) == pytest.approx(-2.0875 * 20 / 21)


def test_a_threshold_of_ones_own_comes_down_as_far_and_a_low_one_stays():
    scores = [-4.2, -4.0, -3.8] * 20 + [1.0] * 30
    for first, after in ((2.0, 2.0 - 1.75 * 30 / 31), (-3.0, -3.0)):
        own = Decision(positive="crack", threshold=float(expit(first)), sound=-4.0)
        assert log_odds_of(scores, own) == pytest.approx(after)


def test_cracks_and_sound_images_may_both_move():
    # Sound ones by 1.2: 0.2 beyond what is left alone, of which half is followed. No jump where that begins.
    for middle, followed in ((-3.02, 0.0), (-2.98, 0.01), (-2.8, 0.1)):
        scores = [*np.resize([middle - 0.1, middle, middle + 0.1], 60), *[1.0] * 59]
        between = middle + 0.45 * (1.0 - middle)
        assert log_odds_of(scores) == pytest.approx(followed + between * 59 / 60, abs=1e-6)


def test_false_alarms_among_sound_images_bring_the_threshold_down_a_little_or_not_at_all():
    sound = [-4.2, -4.0, -3.8] * 20
    assert log_odds_of([*sound, 0.5]) == pytest.approx(0)  # less than one in fifty
    # One of 31 may be a crack: half of 0.45 of the way.
    assert log_odds_of([*sound[:30], 0.5]) == pytest.approx((-4 + 0.45 * 4.5) / 2)


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

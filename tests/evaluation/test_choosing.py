"""What is suggested for labelling stands for the rest: checked on clouds of points, whose number is known."""

import numpy as np
import pytest

from cnnzoo.evaluation.choosing import MOST_FEATURES, most_informative, projected

CLOUDS = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])


@pytest.fixture
def clouds():
    """Four far-apart clouds of 50 points, and the number of the cloud of each."""
    of = np.repeat(np.arange(4), 50)
    return np.random.default_rng(0).normal(CLOUDS[of], 0.1).astype(np.float32), of


def sure(of, *, unsure=()):
    """Probabilities of two classes: of the clouds named, as even as can be."""
    p = np.where(np.isin(of, unsure), 0.5, 0.99)
    return np.stack([p, 1 - p], 1)


def test_each_cloud_is_asked_about_before_one_is_asked_about_twice(clouds):
    points, of = clouds
    chosen = most_informative(points, sure(of, unsure=[1]), count=4)
    assert sorted(of[chosen]) == [0, 1, 2, 3]
    assert of[chosen[0]] == 1  # what the model is unsure of comes first


def test_more_are_asked_about_where_the_model_is_unsure(clouds):
    points, of = clouds
    chosen = most_informative(points, sure(of, unsure=[2, 3]), count=40)
    assert len(set(chosen.tolist())) == 40
    assert np.isin(of[chosen], [2, 3]).sum() > 28  # of 40, where 20 would be as many as there are


def test_what_is_unlike_the_training_images_comes_before_what_is_like_them(clouds):
    points, of = clouds
    chosen = most_informative(points, sure(of), count=4, unlike=of == 3)
    assert of[chosen[0]] == 3


def test_the_most_uncertain_alone_would_all_be_of_one_cloud(clouds):
    points, of = clouds
    probabilities = sure(of, unsure=[0])
    most = np.argsort(-np.minimum(*probabilities.T), kind="stable")[:10]
    assert set(of[most]) == {0}
    assert set(of[most_informative(points, probabilities, count=10)]) == {0, 1, 2, 3}


def test_images_that_are_all_the_same_are_each_chosen_once():
    chosen = most_informative(np.ones((20, 3), np.float32), np.full((20, 2), 0.5), count=5)
    assert len(set(chosen.tolist())) == 5


def test_all_are_chosen_where_there_are_fewer_than_asked_for(clouds):
    points, of = clouds
    chosen = most_informative(points[:7], sure(of[:7]), count=50)
    assert sorted(chosen.tolist()) == list(range(7))


def test_many_features_become_few_of_about_the_same_distances():
    features = np.random.default_rng(0).normal(size=(40, 5000)).astype(np.float32)
    few = projected(features)
    assert few.shape == (40, MOST_FEATURES)
    pairs = np.triu_indices(40, 1)
    before, after = (np.linalg.norm(f[:, None] - f[None], axis=2)[pairs] for f in (features, few))
    assert np.abs(after / before - 1).max() < 0.25
    # In batches as at once: what is compared was projected alike.
    assert np.allclose(np.concatenate([projected(features[:8]), projected(features[8:])]), few, atol=1e-3)

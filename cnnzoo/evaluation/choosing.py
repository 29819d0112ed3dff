"""Which images to label next: those that a model is unsure of, each standing for others that look alike.

CLUE (Prabhu et al. 2021): the images are clustered by the model's features with its uncertainty as weight,
and the one nearest to each centre is taken. The most uncertain images alone are much worse than random ones
while there are few labels: they show the same thing again and again.
"""

import warnings

import numpy as np
import numpy.typing as npt

# Beside the entropy in nats: what is certain, and what looks like no training image, counts a little too.
CERTAIN, UNLIKE = 0.05, 0.1
MOST_FEATURES = 256  # more are projected at random (Johnson and Lindenstrauss 1984)


def most_informative(
    features: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float64],
    *,
    count: int,
    unlike: npt.NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> npt.NDArray[np.intp]:
    """Returns the positions of `count` images whose labels would teach most, the first of most others.

    Args:
        features: (n, dimensions), what the model's last layer gets.
        probabilities: (n, classes), calibrated.
        count: images to choose; all where there are fewer.
        unlike: (n,) whether each looks like no training image, where that is known.
        seed: of the clustering.
    """
    from scipy.stats import entropy
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler

    weights = CERTAIN + entropy(probabilities, axis=1)
    if unlike is not None:
        weights = weights + UNLIKE * unlike
    if count >= len(features):
        return np.argsort(-weights, kind="stable")
    scaled = StandardScaler().fit_transform(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of images that are all the same
        clusters = KMeans(count, n_init=1, random_state=seed).fit(scaled, sample_weight=weights)
    stands_for = np.bincount(clusters.labels_, weights, minlength=count)
    chosen: dict[int, None] = {}
    for cluster in np.argsort(-stands_for, kind="stable"):
        away = np.linalg.norm(scaled - clusters.cluster_centers_[cluster], axis=1)
        nearest = np.argsort(away, kind="stable")
        chosen[next(int(i) for i in nearest if int(i) not in chosen)] = None
    return np.array(list(chosen), np.intp)


def projected(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns (n, dimensions) features, of which there are at most 256: so many images fit into memory."""
    from sklearn.random_projection import GaussianRandomProjection

    if features.shape[1] <= MOST_FEATURES:
        return features
    projection = GaussianRandomProjection(MOST_FEATURES, random_state=0)
    return np.asarray(projection.fit_transform(features), np.float32)

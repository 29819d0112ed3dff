"""Whether an image looks like those that a model was trained on.

A network is as sure of what it has never seen. What tells another surface, or another camera, is how light,
how coloured and how rough an image is at each scale. So it is these statistics of which the distance to the
training images is measured (Mahalanobis; for networks Lee et al. 2018), and no features of the network:
its pooled features keep what tells crack from sound, and little of what tells one wall from another.
`results/README.md` compares them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.limits import in_threads

STATISTICS = 21
MOST_LOOKED_AT = 4000  # images, drawn at random: more change a mean of so few numbers no more
FEWEST = 100  # validation images, below which no share of them can be left outside
OUTSIDE = 0.01  # share of the validation images that lies beyond the limit
FEW_UNLIKE = 0.05  # share of unlike images that is not worth a word: one in a hundred is by chance
_BANDS = 5
_LEAST_SPREAD = 0.05  # of a statistic that is the same in all training images, as the colour of gray ones
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


@dataclass(frozen=True)
class Likeness:
    """What training images look like.

    Attributes:
        mean: of the 21 statistics.
        precision: inverse of their covariance, 21 rows of 21.
        limit: distance that 99 % of the validation images lie within.
    """

    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    limit: float

    def distances(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Returns how far each of (n, height, width, 3) RGB images is from the training images, in limits.

        Above 1 it is unlike them.
        """
        return _distances(_looks(images), np.array(self.mean), np.array(self.precision)) / self.limit


def likeness_of(
    training: npt.NDArray[np.uint8], validation: npt.NDArray[np.uint8], *, seed: int = 0
) -> Likeness | None:
    """Returns what (n, height, width, 3) RGB training images look like; None with too few to validate by.

    Args:
        training: as the network gets them, not augmented.
        validation: of the same size; they decide the limit.
        seed: of the draw of at most 4,000 of each.
    """
    from sklearn.covariance import LedoitWolf

    if len(validation) < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    seen, others = (_looks(_some(images, rng)) for images in (training, validation))
    mean, spread = seen.mean(axis=0), np.maximum(seen.std(axis=0), _LEAST_SPREAD)
    scaled = LedoitWolf(assume_centered=True).fit((seen - mean) / spread).precision_
    precision = scaled / np.outer(spread, spread)
    limit = float(np.quantile(_distances(others, mean, precision), 1 - OUTSIDE))
    return Likeness(tuple(mean.tolist()), tuple(map(tuple, precision.tolist())), limit)


def _some(images: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    return images[np.sort(rng.permutation(len(images))[:MOST_LOOKED_AT])]


def _distances(
    looks: npt.NDArray[np.float64], mean: npt.NDArray[np.float64], precision: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    away = looks - mean
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", away, precision, away)))


def _looks(images: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float64]:
    return np.array(list(in_threads(looks, images))).reshape(-1, STATISTICS)


def looks(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Returns (21,) statistics of an RGB image, whatever its size.

    Of luma, red less luma and blue less luma each the mean, the spread, and the spread of five bands between
    Gaussians, an octave each (Burt and Adelson 1983); spreads as logarithms.
    """
    levels = image.astype(np.float32)
    luma = levels @ _LUMA
    found: list[float] = []
    for channel in (luma, levels[..., 0] - luma, levels[..., 2] - luma):
        found += [float(channel.mean()), _log(channel)]
        for _ in range(_BANDS):
            coarse = cv2.pyrDown(channel)
            found.append(_log(channel - cv2.pyrUp(coarse, dstsize=channel.shape[::-1])))
            channel = np.asarray(coarse, np.float32)
    return np.array(found)


def _log(values: npt.NDArray[np.float32]) -> float:
    return float(np.log(values.std() + 0.1))

"""What is wrong with a folder of images before anything is trained: twins, order, labels, exposure, focus.

The groups that an audit gives must each stay whole on one side of a split: images of one group show the same
piece of surface, or come from the same run of neighbours in a class whose files are in the order in which
they were cut from photographs.
"""

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.bars import track
from cnnzoo.data.audit.findings import Audit, Oddity, Suspect, audit_file
from cnnzoo.data.audit.groups import components, find_runs, join
from cnnzoo.data.audit.summary import TRUSTED_ACCURACY
from cnnzoo.data.audit.texture import texture_features
from cnnzoo.data.audit.transformed import TransformedIndex
from cnnzoo.data.audit.twins import SIDE, Found, Twin, TwinIndex, same_file
from cnnzoo.data.images import resize_image
from cnnzoo.data.manifest import Manifest
from cnnzoo.limits import in_threads

FOLDS = 5
OUTLIER = 5.0  # modified z-score (Iglewicz and Hoaglin 1993: 3.5)

_LARGE = 512  # pixels; a larger image is shrunk before its focus is measured


def audit_manifest(manifest: Manifest, *, cached: bool = True, progress: bool = True) -> Audit:
    """Looks at every image of `manifest` for what makes a comparison dishonest or a label worth a look.

    Args:
        manifest: of the images.
        cached: take the audit of the same images from the cache, and leave it there.
        progress: show bars on the terminal.

    Raises:
        InputError: a file can no longer be read, or has changed.
    """
    file = audit_file(manifest)
    if cached and (audit := Audit.load(file)):
        return audit
    measured = _measure(manifest, progress=progress)
    contents = [image.sha256 for image in manifest.images]
    labels = np.array([image.label for image in manifest.images])
    found = measured.index.find(labels=labels, progress=progress)
    twins = _merged([*found.twins, *same_file(contents)])
    transformed = measured.transformed.find(twins, labels=labels, progress=progress)
    twins = _merged([*transformed.twins, *twins])
    runs, ordered = find_runs(manifest, measured.colours)
    groups = join(components(len(contents), twins), runs)
    suspects, accuracy, given = _label_suspects(manifest, measured.features, groups)
    audit = Audit(
        twins=tuple(twins),
        groups=tuple(groups.tolist()),
        ordered=ordered,
        suspects=tuple(suspects),
        label_accuracy=accuracy,
        oddities=tuple(_oddities(manifest, measured)),
        tightened=found.tightened,
        doubtful=_unnamed(found.doubtful, twins),
        given=given,
        transformed_tightened=transformed.tightened,
    )
    if cached:
        audit.save(file)
    return audit


def twins_between(manifest: Manifest, other: Manifest, *, progress: bool = True) -> Found:
    """Finds images of `other` that show what images of `manifest` show.

    Returns:
        Twins, `first` a position in `manifest.images`, `second` one in `other.images`; doubtful pairs alike.

    Raises:
        InputError: a file can no longer be read, or has changed.
    """
    count, total = len(manifest.images), len(manifest.images) + len(other.images)
    index, transformed = TwinIndex(total), TransformedIndex(total)

    def add(position: int) -> None:
        first = position < count
        with manifest.reading(position) if first else other.reading(position - count) as image:
            gray = _gray(resize_image(image, SIDE))
            index.add(position, gray, image.shape)
            transformed.add(position, _gray(_at_most(image, _LARGE)), gray)

    cv2.setNumThreads(1)  # the parallelism is over images
    done = in_threads(add, range(total))
    for _ in track(done, total, "reading images", unit="images", progress=progress):
        pass
    contents = [image.sha256 for m in (manifest, other) for image in m.images]
    found = index.find(range(count, total), progress=progress)
    twins = _merged([*found.twins, *same_file(contents)])
    more = transformed.find(twins, range(count, total), progress=progress)
    twins = _merged([*more.twins, *twins])

    def between(pairs: Iterable[Twin]) -> tuple[Twin, ...]:
        return tuple(replace(t, second=t.second - count) for t in pairs if t.first < count <= t.second)

    return Found(between(twins), found.tightened, between(_unnamed(found.doubtful, twins)))


def _unnamed(doubtful: Iterable[Twin], twins: Iterable[Twin]) -> tuple[Twin, ...]:
    """The doubtful pairs that are no copies of a file: those are certain."""
    certain = {(twin.first, twin.second) for twin in twins}
    return tuple(twin for twin in doubtful if (twin.first, twin.second) not in certain)


def _merged(twins: list[Twin]) -> list[Twin]:
    """One twin for each pair, in order; of two for the same pair the last."""
    pairs = {(twin.first, twin.second): twin for twin in twins}
    return [pairs[pair] for pair in sorted(pairs)]


@dataclass(frozen=True, eq=False)
class _Measured:
    """What one reading of every image gives: n rows each."""

    index: TwinIndex
    transformed: TransformedIndex
    features: npt.NDArray[np.float32]
    colours: npt.NDArray[np.float32]  # lightness, two colour differences, deviation of lightness
    sharpness: npt.NDArray[np.float32]  # variance of the Laplacian


def _measure(manifest: Manifest, *, progress: bool) -> _Measured:
    count = len(manifest.images)
    index, transformed = TwinIndex(count), TransformedIndex(count)
    colours, sharpness = np.empty((count, 4), np.float32), np.empty(count, np.float32)
    features: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * count

    def measure(position: int) -> None:
        with manifest.reading(position) as image:
            small, shape = resize_image(image, SIDE), image.shape
            detail = _gray(_at_most(image, _LARGE))
        gray = _gray(small)
        index.add(position, gray, shape)
        transformed.add(position, detail, gray)
        features[position] = texture_features(gray.astype(np.float32))
        red, green, blue = (_median(small, channel) for channel in range(3))
        light = (red + green + blue) / 3
        colours[position] = light, blue - light, red - light, gray.std()
        sharpness[position] = cv2.Laplacian(detail, cv2.CV_32F).var()

    cv2.setNumThreads(1)  # the parallelism is over images
    done = in_threads(measure, range(count))
    for _ in track(done, count, "measuring images", unit="images", progress=progress):
        pass
    return _Measured(index, transformed, np.stack(features), colours, sharpness)


def _gray(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _median(image: npt.NDArray[np.uint8], channel: int) -> float:
    """The median of a channel by its histogram: twenty times as fast as by sorting."""
    counts = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().cumsum()
    middle = image.shape[0] * image.shape[1] / 2
    return float(np.searchsorted(counts, [np.floor(middle + 0.5), np.floor(middle + 1)]).mean())


def _at_most(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(scale * length)) for length in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _label_suspects(
    manifest: Manifest, features: npt.NDArray, groups: npt.NDArray
) -> tuple[list[Suspect], float | None, tuple[float, ...]]:
    """Suspects by confident learning (Northcutt 2021, cleanlab) on out-of-fold probabilities.

    With them the accuracy and the probability of each label. Where the classifier behind them is weak its
    doubts say nothing, and none are given.
    """
    with warnings.catch_warnings():
        # In a notebook without widgets the bars of tqdm, which cleanlab imports, ask for them.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from cleanlab.filter import find_label_issues
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    labels = np.array([image.label for image in manifest.images])
    if any(len(np.unique(groups[labels == label])) < 2 * FOLDS for label in np.unique(labels)):
        return [], None, ()
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    classes = len(np.unique(labels))
    if any(len(np.unique(labels[rest])) < classes for rest, _ in folds.split(features, labels, groups)):
        return [], None, ()
    # Beside any other program its threads wait for each other: 25 s with two, 3 s with one, on 8,000 images.
    with threadpool_limits(1, user_api="openmp"):
        probabilities = cross_val_predict(
            HistGradientBoostingClassifier(random_state=0),
            features, labels, groups=groups, cv=folds, method="predict_proba",
        )  # fmt: skip
    best = probabilities.argmax(axis=1)
    accuracy = float((best == labels).mean())
    if accuracy < TRUSTED_ACCURACY:
        return [], accuracy, ()
    found = find_label_issues(
        labels, probabilities, filter_by="low_normalized_margin",
        return_indices_ranked_by="self_confidence", n_jobs=1,
    )  # fmt: skip
    given = probabilities[np.arange(len(labels)), labels]
    suspects = [Suspect(int(i), int(best[i]), float(given[i])) for i in found]
    return suspects, accuracy, tuple(given.round(4).tolist())


def _oddities(manifest: Manifest, measured: _Measured) -> list[Oddity]:
    light, contrast = measured.colours[:, 0], measured.colours[:, 3]
    exposure = _outlyingness(light, least=2.0)
    focus = _outlyingness(np.log(measured.sharpness + 1e-3), least=0.1)
    flatness = _outlyingness(np.log(contrast + 1e-3), least=0.1)
    found = [Oddity(i, "dark", float(z)) for i, z in enumerate(exposure) if z < -OUTLIER]
    found += [Oddity(i, "bright", float(z)) for i, z in enumerate(exposure) if z > OUTLIER]
    found += [Oddity(i, "blurred", float(z)) for i, z in enumerate(focus) if z < -OUTLIER]
    found += [Oddity(i, "flat", float(z)) for i, z in enumerate(flatness) if z < -OUTLIER]
    sizes = Counter((image.width, image.height) for image in manifest.images)
    (usual, count), *_ = sizes.most_common(1)
    if count >= 0.9 * len(manifest.images):
        found += [
            Oddity(i, "size", image.width * image.height / (usual[0] * usual[1]))
            for i, image in enumerate(manifest.images)
            if (image.width, image.height) != usual
        ]
    return found


def _outlyingness(values: npt.NDArray, *, least: float) -> npt.NDArray[np.float64]:
    """The modified z-score: the distance from the median in units of the median distance, or of `least`."""
    distance = values - np.median(values)
    spread = max(float(np.median(np.abs(distance))), least)
    return np.asarray(0.6745 * distance / spread, np.float64)

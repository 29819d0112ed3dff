"""Which images must stay together on one side of a split."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnnzoo.data.manifest import Manifest

if TYPE_CHECKING:
    from cnnzoo.data.audit.twins import Twin

MIN_ORDERED = 50  # images of a class, for its order to be judged
ORDER_CORRELATION = 0.2  # of neighbours' colour statistics, from which on a class counts as ordered
ORDER_DEVIATIONS = 3.0  # and over that of shuffled files, in its standard deviations
FEWEST_RUNS = 12  # of a class: every tenth goes to the test images, and copies may join some


def components(count: int, twins: "Sequence[Twin]") -> npt.NDArray[np.int32]:
    """A number for each image, the same for all that a chain of twins connects."""
    return chained(count, np.array([(twin.first, twin.second) for twin in twins], int).reshape(-1, 2))


def chained(count: int, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """A number for each image, the same for all that a chain of (n, 2) `pairs` connects."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1])


def find_runs(manifest: Manifest, colours: npt.NDArray) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Numbers the runs of neighbours in classes that are in the order of their photographs; -1 elsewhere.

    Such a class shows in the correlation of neighbours' colour statistics. It is cut where they change, by
    Ward's clustering of neighbours, into runs of twice the distance at which the correlation has halved, or
    shorter ones where those would be too few to split. Folders that were joined are judged one by one.
    """
    from scipy.sparse import diags_array
    from sklearn.cluster import AgglomerativeClustering

    runs = np.full(len(manifest.images), -1)
    ordered: dict[str, int] = {}
    for name, here in _orders(manifest):
        here.sort(key=lambda i: _natural(manifest.images[i].path))
        if len(here) < MIN_ORDERED:
            continue
        varying = colours[here].std(axis=0) > 1e-3  # of gray images no colour does
        if not varying.any():
            continue
        scaled = colours[here][:, varying] - colours[here][:, varying].mean(axis=0)
        scaled /= colours[here][:, varying].std(axis=0)
        near = _correlation(scaled, 1)
        if near < max(ORDER_CORRELATION, ORDER_DEVIATIONS / len(here) ** 0.5):
            continue
        lags = range(2, len(here) // 4)
        length = 2 * next((lag for lag in lags if _correlation(scaled, lag) < near / 2), len(here) // 8)
        length = min(length, len(here) // FEWEST_RUNS)
        chain = diags_array([np.ones(len(here) - 1)], offsets=[1], shape=(len(here), len(here)))
        count = len(here) // length
        found = AgglomerativeClustering(count, connectivity=chain + chain.T).fit_predict(scaled)
        runs[here] = _cut_long(found, 2 * length) + runs.max() + 1
        ordered[name] = length
    return runs, ordered


def _orders(manifest: Manifest) -> Iterator[tuple[str, list[int]]]:
    """The images of each class, and of each folder that was joined, with what people call them."""
    sources = manifest.sources or (0,) * len(manifest.images)
    for source in sorted(set(sources)):
        for label, name in enumerate(manifest.class_names):
            images = enumerate(manifest.images)
            here = [i for i, image in images if image.label == label and sources[i] == source]
            if here:
                folder = Path(manifest.images[here[0]].path).parent.as_posix()
                yield (folder if manifest.sources else name), here


def _cut_long(runs: npt.NDArray, longest: int) -> npt.NDArray[np.int64]:
    """Renumbers runs of neighbours; one over `longest`, where nothing changes, becomes equal pieces."""
    starts = np.flatnonzero(np.diff(runs, prepend=-1))
    lengths = np.diff(starts, append=len(runs))
    pieces = [len(part) for n in lengths for part in np.array_split(np.arange(n), -(-n // longest))]
    return np.repeat(np.arange(len(pieces)), pieces)


def _natural(path: str) -> list[tuple[int, str]]:
    """Sorts `2.jpg` before `10.jpg`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]


def _correlation(scaled: npt.NDArray, lag: int) -> float:
    return float((scaled[lag:] * scaled[:-lag]).mean())


def join(components: npt.NDArray, runs: npt.NDArray) -> npt.NDArray[np.int64]:
    """Joins the components of a run; a component of several runs goes to the one that has most of it.

    To join the runs instead would end with one group: copies lie far apart in the order of files.
    """
    votes: dict[int, Counter[int]] = {}
    for component, run in zip(components.tolist(), runs.tolist(), strict=True):
        if run >= 0:
            votes.setdefault(component, Counter())[run] += 1
    offset = int(components.max()) + 1
    chosen = {
        component: offset + min(counts, key=lambda run: (-counts[run], run))
        for component, counts in votes.items()
    }
    groups = [chosen.get(component, component) for component in components.tolist()]
    return np.asarray(np.unique(groups, return_inverse=True)[1], np.int64)

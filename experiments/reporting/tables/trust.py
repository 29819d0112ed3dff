"""What the records say of trust: whether unlike images are noticed, and whether a promised recall is kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cnnzoo.evaluation.promise import threshold_for_promise
from experiments.reporting.rows import Row
from experiments.runs.predictions import Predictions, read_predictions, read_validation

REGROUPINGS = 1000


@dataclass(frozen=True)
class Kept:
    """Images of one data set on which the verdict is taken: their share, and the accuracy on them.

    `accuracy` is None where none is left.
    """

    share: float
    accuracy: float | None


@dataclass(frozen=True)
class Promises:
    """What became of a recall over regroupings of validation and test images: shares of regroupings.

    Attributes:
        promised: it could be promised.
        broken: of those, the test images had less.
        broken_unpromised: of the others, the test images had less; None where there are none.
        broken_before: by the highest threshold that reaches it on validation.
    """

    promised: float
    broken: float | None
    broken_unpromised: float | None
    broken_before: float


class Trust:
    """The finished runs of a row, with what each left of validation, test and other images."""

    def __init__(self, row: Row) -> None:
        self.row = row

    @cached_property
    def _test(self) -> list[Predictions]:
        return [*self._read("")]

    def _read(self, other: str) -> Iterator[Predictions]:
        if self.row.folder is None:
            return
        for record in self.row.runs:
            found = read_predictions(self.row.folder, record, other)
            if found is not None and found.distances is not None:
                yield found

    def told_apart(self, other: str, by: str = "distance") -> float:
        """The AUROC with which own test images are told from another data set, mean of the runs.

        By distance, or by the probability of the verdict, as one would without it.
        """
        from sklearn.metrics import roc_auc_score

        found = [
            roc_auc_score(
                np.repeat([0, 1], [len(own.labels), len(others.labels)]),
                np.concatenate([_strangeness(own, by), _strangeness(others, by)]),
            )
            for own, others in zip(self._test, self._read(other), strict=True)
        ]
        return float(np.mean(found))

    def unlike(self, other: str = "") -> float:
        """The share of another data set's images, or of the test images, that are said to be unlike."""
        found = self._read(other) if other else self._test
        return float(np.mean([np.mean(_of(each) > 1) for each in found]))

    def kept(self, other: str = "", *, share: float = 1.0, like: bool = False) -> Kept:
        """The most certain images of a data set, or of the test images: of all, or of those alike alone.

        Certain is what has at least the probability that the surest `share` of the validation images have.
        """
        shares, right = [], []
        if self.row.folder is None:
            return Kept(0.0, None)
        for record, each in zip(self.row.runs, [*self._read(other)], strict=True):
            validation = read_validation(self.row.folder, record)
            if validation is None:
                continue
            sure = validation.calibrated.max(axis=1)
            least = np.quantile(sure, 1 - share) if share < 1 else 0.0
            here = each.calibrated.max(axis=1) >= least
            here &= (_of(each) <= 1) | (not like)
            shares.append(here.mean())
            right += each.right[here].tolist()
        return Kept(float(np.mean(shares)), float(np.mean(right)) if right else None)

    def promises(self, recall: float, *, alone: bool = False) -> Promises:
        """Deals the groups of validation and test images anew, half and half, and asks what becomes of it.

        `alone` deals single images instead, as if each were a photograph of its own. The threshold is not
        kept from rising above that of the plain verdict, as that of a run is: this only finds more.
        """
        promised, broken, before = [], [], []
        runs = self.row.runs
        for number, record in enumerate(runs):
            if self.row.folder is None:
                continue
            sides = (read_validation(self.row.folder, record), read_predictions(self.row.folder, record))
            label = list(record.data.class_names).index(record.data.positive)
            scores, groups = _of_class([side for side in sides if side is not None], label)
            groups = np.arange(len(scores)).astype(str) if alone else groups
            rng = np.random.default_rng(number)
            for _ in range(REGROUPINGS // len(runs)):
                seen = _half(groups, rng)
                found = threshold_for_promise(np.ones(seen.sum(), bool), scores[seen], groups[seen], recall)
                promised.append(found.promised)
                broken.append(np.mean(scores[~seen] >= found.threshold) < recall)
                highest = np.sort(scores[seen])[::-1][int(np.ceil(recall * seen.sum())) - 1]
                before.append(np.mean(scores[~seen] >= highest) < recall)
        made, failed = np.array(promised), np.array(broken)
        return Promises(
            promised=float(made.mean()),
            broken=float(failed[made].mean()) if made.any() else None,
            broken_unpromised=float(failed[~made].mean()) if not made.all() else None,
            broken_before=float(np.mean(before)),
        )


def _of(found: Predictions) -> npt.NDArray[np.float64]:
    return np.zeros(len(found.labels)) if found.distances is None else found.distances


def _strangeness(found: Predictions, by: str) -> npt.NDArray[np.float64]:
    return _of(found) if by == "distance" else -found.calibrated.max(axis=1)


def _of_class(sides: list[Predictions], label: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    """Scores and groups of the images of one class."""
    scores = np.concatenate([side.calibrated[side.labels == label, label] for side in sides])
    groups = np.concatenate([np.array(side.groups)[side.labels == label] for side in sides])
    return scores, groups


def _half(groups: npt.NDArray[np.str_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Whether each image is on the first of two sides, among which whole groups are dealt."""
    names, of = np.unique(groups, return_inverse=True)
    return np.asarray((rng.permutation(len(names)) < len(names) / 2)[of], bool)

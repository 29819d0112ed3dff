"""The test images that a recipe gets wrong: pictures of the worst from the run, a gallery for the report."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from experiments.reporting.rows import Row
from experiments.runs.left import mistakes_file


@dataclass(frozen=True)
class Mistake:
    """A test image that at least one run of a row gets wrong.

    `seeds` of the row's runs call it `predicted`, with `probability` in the mean, after calibration;
    `why` says so in words, with the threshold where one decided.
    `doubtful`: its label is worth a second look, by the audit. `hard`: no run of all gets it right.
    `image` and `map` are JPEGs in base64, empty where no run left them: the picture, and where in it the
    verdict comes from (Grad-CAM).
    """

    path: str
    actual: str
    predicted: str
    probability: float
    seeds: int
    doubtful: bool
    hard: bool
    why: str = ""
    image: str = ""
    map: str = ""

    @property
    def kind(self) -> str:
        return f"Actual {self.actual}, predicted {self.predicted}"


@dataclass(frozen=True)
class ClassScores:
    """A line of a classification report; `support` is the number of test images."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Decisions:
    """What the runs of a row decide on its test images: with the temperature and the threshold of each."""

    row: Row

    @cached_property
    def probabilities(self) -> list[npt.NDArray[np.float64]]:
        """(images, classes), calibrated, for each seed; empty without predictions."""
        return [each.calibrated for each in self.row.predictions]

    @cached_property
    def decided(self) -> list[npt.NDArray[np.int64]]:
        """(images,) class ids for each seed."""
        return [each.decided for each in self.row.predictions]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self.row.predictions[0].labels

    @property
    def threshold(self) -> float | None:
        """The mean over the seeds of the threshold behind the verdicts; None where one has none."""
        points = [result.operating_point for result in self.row.results]
        if not self.decided or any(point is None for point in points):
            return None
        return self.row.operating("threshold")

    @property
    def confusion(self) -> list[list[int]]:
        """Counts over all seeds, a line per actual class: of the verdicts, else of the records."""
        count = len(self.row.class_names)
        if not self.decided:
            return np.sum([result.confusion for result in self.row.results], axis=0).tolist()
        labels = np.tile(self.labels, len(self.decided))
        return confusion_matrix(labels, np.concatenate(self.decided), labels=range(count)).tolist()

    @property
    def class_report(self) -> list[ClassScores]:
        """A line for each class, then the macro and the weighted average, as scikit-learn reports them.

        Precision, recall and F1 of all seeds together; the support is that of one.
        """
        counts, seeds = np.array(self.confusion), len(self.row.results)
        classes = np.arange(len(counts))
        actual, predicted = (side.ravel() for side in np.indices(counts.shape))
        weights = counts.ravel()
        rows = []
        for average in (None, "macro", "weighted"):
            precision, recall, f1, _ = precision_recall_fscore_support(
                actual, predicted, labels=classes, sample_weight=weights, average=average, zero_division=0
            )
            rows += list(zip(np.ravel(precision), np.ravel(recall), np.ravel(f1), strict=True))
        names = [*self.row.class_names, "macro average", "weighted average"]
        support = [*counts.sum(axis=1), counts.sum(), counts.sum()]
        return [
            ClassScores(name, float(precision), float(recall), float(f1), int(images) // seeds)
            for name, (precision, recall, f1), images in zip(names, rows, support, strict=True)
        ]

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """(seeds, images)."""
        return np.stack([verdict != self.labels for verdict in self.decided])

    @property
    def always_wrong(self) -> set[str]:
        """The test images that every run gets wrong."""
        return {self.row.predictions[0].paths[i] for i in np.flatnonzero(np.all(self.wrong, axis=0))}


def _pictures(row: Row) -> list[dict[str, tuple[str, str]]]:
    """The pictures that the runs of each seed left, by image; none where they are not as they left them."""
    found: dict[int, dict[str, tuple[str, str]]] = {record.seed: {} for record in row.finished}
    for record in row.runs:
        file = mistakes_file(record.run_name, record.identity)
        if file not in row.not_as_recorded:
            found[record.seed] |= _read_pictures((row.folder or Path()) / file)
    return list(found.values())


def _read_pictures(path: Path) -> dict[str, tuple[str, str]]:
    try:
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), dict[str, tuple[str, str]])
    except (OSError, ValueError, RecursionError):  # msgspec's is a ValueError too
        return {}


def galleries(decisions: Sequence[Decisions]) -> dict[str, list[Mistake]]:
    """Returns the mistakes of each row by its name: of the most seeds first, of them the most confident."""
    tested = [decided for decided in decisions if decided.row.predictions]
    always: dict[Hashable, list[set[str]]] = {}
    for decided in tested:
        always.setdefault(decided.row.test_set, []).append(decided.always_wrong)
    hard = {key: set.intersection(*sets) for key, sets in always.items() if len(sets) > 1}
    suspects: dict[str, set[str]] = {}
    for decided in decisions:
        data = decided.row.first.data
        found = data.audit.suspects if data.audit and data.audit.labels_judged else ()
        suspects.setdefault(data.fingerprint, set()).update(found)
    galleries: dict[str, list[Mistake]] = {decided.row.name: [] for decided in decisions}
    for decided in tested:
        row = decided.row
        galleries[row.name] = _gallery(
            decided, suspects[row.first.data.fingerprint], hard.get(row.test_set, set())
        )
    return galleries


def _gallery(verdicts: Decisions, suspects: set[str], hard: set[str]) -> list[Mistake]:
    row = verdicts.row
    pictures, paths, names = _pictures(row), row.predictions[0].paths, row.class_names
    found = []
    for i in np.flatnonzero(verdicts.wrong.any(axis=0)):
        votes = [int(verdict[i]) for verdict in verdicts.decided if verdict[i] != verdicts.labels[i]]
        predicted = max(sorted(set(votes)), key=votes.count)
        # A map speaks of one verdict: it must be that of a run that came to it.
        runs = [
            run for run, verdict in zip(pictures, verdicts.decided, strict=True) if verdict[i] == predicted
        ]
        found_pictures = [run[paths[i]] for run in runs if paths[i] in run]
        image, map_ = max(found_pictures, key=lambda pair: bool(pair[1]), default=("", ""))
        found.append(
            Mistake(
                path=paths[i],
                actual=names[verdicts.labels[i]],
                predicted=names[predicted],
                probability=float(np.mean([p[i, predicted] for p in verdicts.probabilities])),
                seeds=votes.count(predicted),
                doubtful=paths[i] in suspects,
                hard=paths[i] in hard,
                why=_why(verdicts, int(i), predicted),
                image=image,
                map=map_,
            )
        )
    return sorted(found, key=lambda mistake: (-mistake.seeds, -mistake.probability, mistake.path))


def _why(verdicts: Decisions, i: int, predicted: int) -> str:
    """The probability behind a mistake, of the runs that made it, and the threshold where that decided."""
    row, names = verdicts.row, verdicts.row.class_names
    runs = [run for run, decided in enumerate(verdicts.decided) if decided[i] == predicted]
    mean = "mean " if len(runs) > 1 else ""
    positive = row.first.data.positive
    involved = positive in (names[predicted], names[verdicts.labels[i]])
    points = [row.results[run].operating_point for run in runs]
    if not involved or any(point is None for point in points):
        probability = np.mean([verdicts.probabilities[run][i, predicted] for run in runs])
        return f"{mean}probability of {names[predicted]} {probability:.3f}"
    label = names.index(positive)
    probability = float(np.mean([verdicts.probabilities[run][i, label] for run in runs]))
    threshold = float(np.mean([point["threshold"] for point in points if point]))
    # As many digits as show which is larger.
    digits = next((n for n in (3, 4, 5) if f"{probability:.{n}f}" != f"{threshold:.{n}f}"), 6)
    side = "at or above" if predicted == label else "below"
    return (
        f"{mean}probability of {positive} {probability:.{digits}f}, {side} the {mean}threshold "
        f"{threshold:.{digits}f}"
    )

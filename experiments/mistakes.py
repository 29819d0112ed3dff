"""The test images that a recipe gets wrong: pictures of the worst from the run, a gallery for the report."""

import base64
import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from cnnzoo.data.images import encode_jpeg
from cnnzoo.errors import InputError
from cnnzoo.evaluation.calibration import Decision, decide, with_temperature
from experiments.records import RunResult, mistakes_file, write_whole
from experiments.table import TRUSTED_ACCURACY, Row

if TYPE_CHECKING:
    import keras

    from cnnzoo.data.pipeline import ImageSet
    from cnnzoo.evaluation.scores import Scores

T = TypeVar("T")

SHOWN = 24  # mistakes of a row, and pictures of a run
SIDE = 128  # pixels of a picture
QUALITY = 80  # of its JPEG


@dataclass(frozen=True)
class Mistake:
    """A test image that at least one run of a row gets wrong.

    `seeds` of the row's runs call it `predicted`, with `probability` in the mean, after calibration.
    `doubtful`: the audit finds its label likely wrong. `hard`: no run of the whole comparison gets it right.
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
    image: str = ""
    map: str = ""

    @property
    def kind(self) -> str:
        return f"{self.actual} taken for {self.predicted}"


@dataclass(frozen=True)
class Verdicts:
    """What the runs of a row decide on its test images: with the temperature and the threshold of each."""

    row: Row

    @cached_property
    def probabilities(self) -> list[npt.NDArray[np.float64]]:
        """(images, classes), calibrated, for each seed; empty without predictions."""
        pairs = zip(self.row.predictions, self.row.results, strict=False)
        return [with_temperature(each.probabilities, result.temperature) for each, result in pairs]

    @cached_property
    def decided(self) -> list[npt.NDArray[np.int64]]:
        """(images,) class ids for each seed."""
        names, positive = self.row.class_names, self.row.first.data.get("positive", "")
        return [
            decide(probabilities, names, _decision(result, positive))
            for probabilities, result in zip(self.probabilities, self.row.results, strict=False)
        ]

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
    def by_class(self) -> list[tuple[str, float | None, float, int]]:
        """Name, precision, recall and number of images of each class; no precision where none is found."""
        counts = np.array(self.confusion)
        found, actual, right = counts.sum(axis=0), counts.sum(axis=1), counts.diagonal()
        return [
            (name, right[i] / found[i] if found[i] else None, right[i] / max(1, actual[i]), int(actual[i]))
            for i, name in enumerate(self.row.class_names)
        ]

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """(seeds, images)."""
        return np.stack([verdict != self.labels for verdict in self.decided])


def _decision(result: RunResult, positive: str) -> Decision:
    point = result.operating_point or {}
    return Decision(result.temperature, positive, point.get("threshold"))


def save_pictures(
    path: Path,
    model: "keras.Model",
    images: "ImageSet",
    scores: "Scores",
    class_names: Sequence[str],
    decision: Decision,
) -> None:
    """Writes the worst mistakes of a run with their Grad-CAM: {path of the image: [JPEG, JPEG]}."""
    calibrated = with_temperature(scores.probabilities, decision.temperature)
    verdicts = decide(calibrated, class_names, decision)
    wrong = np.flatnonzero(verdicts != scores.labels)
    wrong = wrong[np.argsort(-calibrated[wrong, verdicts[wrong]], kind="stable")]
    kinds = [(scores.labels[i], verdicts[i]) for i in wrong]
    worst = np.array(some_of_each_kind(wrong.tolist(), kinds), np.int64)
    found: dict[str, list[str]] = {}
    if len(worst):
        shown = images.images[worst]
        for i, image, map_ in zip(worst, shown, _maps(model, shown, verdicts[worst]), strict=True):
            found[images.paths[i]] = [_jpeg(image), map_]
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(found))


def some_of_each_kind(items: Sequence[T], kinds: Sequence[Hashable]) -> list[T]:
    """At most `SHOWN` in the order given: the first of each kind, then the second of each, and so on."""
    seen: Counter[Hashable] = Counter()
    turns = []
    for place, kind in enumerate(kinds):
        turns.append((seen[kind], place))
        seen[kind] += 1
    chosen = {place for _, place in sorted(turns)[:SHOWN]}
    return [item for place, item in enumerate(items) if place in chosen]


def _maps(model: "keras.Model", images: npt.NDArray[np.uint8], class_ids: npt.NDArray[np.int64]) -> list[str]:
    """Grad-CAM over each image; empty where the model's features have a single place, and no map."""
    from cnnzoo.evaluation.explain import grad_cam, overlay

    try:
        maps = grad_cam(model, images, class_ids)
    except InputError:
        return [""] * len(images)
    # Where a threshold made the verdict, the network may see nothing that speaks for it: no map then.
    return [
        _jpeg(overlay(image, map_)) if map_.any() else "" for image, map_ in zip(images, maps, strict=True)
    ]


def _jpeg(image: npt.NDArray[np.uint8]) -> str:
    import cv2

    if image.shape[0] > SIDE:
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(encode_jpeg(image, QUALITY)).decode()


def _pictures(row: Row) -> list[dict[str, list[str]]]:
    """The pictures that each run of a row left, by image."""
    found: list[dict[str, list[str]]] = []
    for record in row.finished:
        path = (row.folder or Path()) / mistakes_file(record.run_name, record.identity)
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            found.append({})
    return found


def galleries(rows: Sequence[Row]) -> list[list[Mistake]]:
    """Returns the mistakes of each row: those of the most seeds first, of them the most confident."""
    always: dict[Hashable, list[set[str]]] = {}
    for row in rows:
        if row.predictions:
            always.setdefault(row.test_set, []).append(_always_wrong(row))
    hard = {key: set.intersection(*sets) for key, sets in always.items() if len(sets) > 1}
    suspects: dict[str, set[str]] = {}
    for row in rows:
        suspects.setdefault(_data(row), set()).update(_suspects(row))
    return [
        _gallery(row, suspects[_data(row)], hard.get(row.test_set, set())) if row.predictions else []
        for row in rows
    ]


def _data(row: Row) -> str:
    return str(row.first.data.get("fingerprint"))


def _suspects(row: Row) -> list[str]:
    audit: dict[str, Any] = row.first.data.get("audit") or {}
    return audit.get("suspects", []) if (audit.get("label_accuracy") or 0) >= TRUSTED_ACCURACY else []


def _always_wrong(row: Row) -> set[str]:
    """The test images that every run of a row gets wrong."""
    return {row.predictions[0].paths[i] for i in np.flatnonzero(np.all(Verdicts(row).wrong, axis=0))}


def _gallery(row: Row, suspects: set[str], hard: set[str]) -> list[Mistake]:
    verdicts = Verdicts(row)
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
        image, map_ = max(found_pictures, key=lambda pair: bool(pair[1]), default=["", ""])
        found.append(
            Mistake(
                path=paths[i],
                actual=names[verdicts.labels[i]],
                predicted=names[predicted],
                probability=float(np.mean([p[i, predicted] for p in verdicts.probabilities])),
                seeds=votes.count(predicted),
                doubtful=paths[i] in suspects,
                hard=paths[i] in hard,
                image=image,
                map=map_,
            )
        )
    return sorted(found, key=lambda mistake: (-mistake.seeds, -mistake.probability, mistake.path))

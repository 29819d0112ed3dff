"""What trained networks say of labels beside the audit: verdicts on images that they never trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnnzoo.data.audit.findings import Audit, Suspect
from cnnzoo.data.audit.summary import TRUSTED_ACCURACY
from cnnzoo.errors import InputError, printable
from experiments.cli.say import say
from experiments.runs.predictions import Predictions, read_predictions
from experiments.runs.records import latest_records, read_records

if TYPE_CHECKING:
    from cnnzoo.data.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Of the `tested` images, in order, the mean probabilities of the `runs` that tested each."""

    runs: int
    weak: int  # runs that are right too seldom for their doubts to count
    tested: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


def read_test_verdicts(folders: Sequence[Path], manifest: "Manifest") -> Verdicts:
    """Reads what the runs in folders of `compare` say of their test images.

    Raises:
        InputError: a folder holds no runs, or none of them on these images.
    """
    places = {image.path: i for i, image in enumerate(manifest.images)}
    sums = np.zeros((len(places), len(manifest.class_names)))
    counts = np.zeros(len(places))
    runs = weak = 0
    for folder in folders:
        for predictions in _predictions(folder, manifest):
            if predictions.right.mean() < TRUSTED_ACCURACY:
                weak += 1
                continue
            known = [(places[path], i) for i, path in enumerate(predictions.paths) if path in places]
            images, rows = np.array(known, int).reshape(-1, 2).T
            np.add.at(sums, images, predictions.calibrated[rows])
            np.add.at(counts, images, 1)
            runs += 1
    tested = np.flatnonzero(counts)
    return Verdicts(runs, weak, tested, sums[tested] / counts[tested, None])


def _predictions(folder: Path, manifest: "Manifest") -> list[Predictions]:
    records = [record for record in latest_records(read_records(folder)) if record.ok]
    ours = [record for record in records if record.data.fingerprint == manifest.fingerprint]
    if not ours:
        seen = printable(records[-1].data.root) if records else ""
        what = f"its runs are on other images ({seen})" if seen else "no run in it has finished"
        raise InputError(
            f"--verdicts {printable(folder)}: {what}; give the results of a comparison of exactly the "
            f"{len(manifest.images):,} images of {printable(manifest.root)}, with --limit as it was there"
        )
    found = [predictions for record in ours if (predictions := read_predictions(folder, record))]
    if not found:
        raise InputError(
            f"--verdicts {printable(folder)}: the predictions of its runs are gone; its folder predictions "
            "must lie beside runs.jsonl"
        )
    return found


def with_verdicts(manifest: "Manifest", audit: Audit, verdicts: Verdicts) -> Audit:
    """Returns the audit with the images that it or the networks doubt, ranked by the doubts of both.

    The score is the mean of the probabilities that the two give the label, as cleanlab's ensembles have it;
    of an image that no network tested, the audit's alone.
    """
    labels = np.array([image.label for image in manifest.images])
    tested = verdicts.tested
    given = np.full(len(labels), np.nan)
    given[tested] = verdicts.probabilities[np.arange(len(tested)), labels[tested]]
    scores = np.nanmean(np.stack([given, np.array(audit.given)]), axis=0) if audit.given else given
    suggested = {suspect.image: suspect.suggested for suspect in audit.suspects}
    # cleanlab's filter "predicted_neq_given"; the audit's own one finds no label error at all among some
    # thousand test images that good networks get right but for ten.
    best = verdicts.probabilities.argmax(axis=1)
    doubted = best != labels[tested]
    suggested |= dict(zip(tested[doubted].tolist(), best[doubted].tolist(), strict=True))
    ranked = sorted(suggested, key=lambda image: (scores[image], image))
    suspects = tuple(Suspect(image, suggested[image], float(scores[image])) for image in ranked)
    return replace(audit, suspects=suspects)


def say_verdicts(folders: Sequence[Path], manifest: "Manifest", verdicts: Verdicts) -> None:
    """Prints how many runs were heard, and on how many images."""
    where = ", ".join(map(printable, folders))
    if verdicts.weak:
        say(
            f"  Left out of the verdicts: {verdicts.weak:,} run{'s' * (verdicts.weak != 1)} right on fewer "
            f"than {100 * TRUSTED_ACCURACY:.0f} % of the test images"
        )
    if verdicts.runs:
        say(
            f"  Verdicts of {verdicts.runs:,} run{'s' * (verdicts.runs != 1)} in {where} on "
            f"{len(verdicts.tested):,} of {len(manifest.images):,} images, by networks new to them"
        )

"""results/README.md from its template and the records beside it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnzoo.data.audit.summary import AuditFacts
from cnnzoo.data.table import read_own
from cnnzoo.evaluation.adapting import adapted
from cnnzoo.evaluation.calibration import Decision, decide, with_temperature
from cnnzoo.models.shipped import shipped_card
from experiments.reporting.comparison import Comparison
from experiments.reporting.pairs import Pair, p_text, pairs_of
from experiments.reporting.rows import Row
from experiments.reporting.sentences import audit_lines
from experiments.reporting.tables.markdown import markdown
from experiments.reporting.tables.trust import Trust
from experiments.style.templates import environment
from experiments.style.text import human_time, interval_of, number

FOLDER = Path(__file__).parents[3] / "results"

TEMPLATE = "README.md.j2"
MEASUREMENTS = "audit/measurements.jsonl"
WRONG_LABELS = "crack_net/wrong_labels.csv"
LABELS = "surfaces/suggested/labels.jsonl"
MAPS, MAP_SPEEDS = "maps/maps.jsonl", "maps/speed.jsonl"
_DRAWS = 100  # folders that stand for all of one size and share of cracks


class Results:
    """The runs of one folder below results/, as the template asks for them."""

    def __init__(self, folder: Path) -> None:
        self.comparison = Comparison.of([folder])
        self.rows = self.comparison.rows

    def __getitem__(self, name: str) -> Row:
        return {row.name: row for row in self.rows}[name]

    def pair(self, first: str, second: str) -> Pair:
        """What distinguishes two rows."""
        return pairs_of([self[first], self[second]])[0]

    @property
    def table(self) -> str:
        """The table of comparison.md."""
        return "\n".join(line for line in markdown(self.comparison).splitlines() if line.startswith("| "))

    @property
    def surfaces_table(self) -> str:
        """The table of comparison.md over surfaces, each left out of training in turn."""
        lines = markdown(self.comparison).splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("| left out"))
        return "\n".join(lines[first : lines.index("", first)])

    @property
    def sentence(self) -> str:
        """What the comparison concludes."""
        return self.comparison.conclusions[0]

    @property
    def audit(self) -> AuditFacts | None:
        return self.rows[0].first.data.audit

    @property
    def audit_line(self) -> str:
        return audit_lines(self.rows)[0]


def render(folder: Path = FOLDER) -> str:
    """Returns results/README.md: every number in it comes from the records."""
    templates = environment(folder, markdown=True)
    templates.filters |= {"number": number, "time": human_time, "interval": interval_of, "p": p_text}
    return templates.get_template(TEMPLATE).render(
        results=lambda name: Results(folder / name),
        measured=lambda test: _measured(folder, test),
        wrong_labels=read_own(folder / WRONG_LABELS),
        set_right=_set_right,
        mistakes=_mistakes,
        trials=lambda name: read_own(folder / name / "trials.csv"),
        balanced=lambda row, other, **how: float(np.mean(_balanced(row, other, **how))),
        balanced_each=_balanced,
        draws=_DRAWS,
        few_labels=lambda wall, name, size: _few_labels(folder, wall, name, size),
        shipped_card=shipped_card,
        at_share=_at_share,
        trust=Trust,
        taught=lambda: _taught(folder / LABELS),
        maps=_lines(folder / MAPS),
        map_speeds=_lines(folder / MAP_SPEEDS),
    )


def _measured(folder: Path, test: str) -> list[dict[str, Any]]:
    """What a slow test measured, from `pytest --record`."""
    return [values for values in _lines(folder / MEASUREMENTS) if values["test"] == test]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _set_right(row: Row, wrong: Sequence[dict[str, str]]) -> list[float]:
    """The test accuracy of each seed with the wrong labels set right."""
    names = row.first.data.class_names
    right = {entry["path"]: names.index(entry["right"]) for entry in wrong}
    return [
        float(np.mean([
            right.get(path, label) == best
            for path, label, best in zip(
                seed.paths, seed.labels, seed.probabilities.argmax(axis=1), strict=True
            )
        ]))
        for seed in row.predictions
    ]  # fmt: skip


def _balanced(row: Row, other: str, *, fitted: bool = False) -> list[float]:
    """The mean of the classes' recalls on another data set, of each seed; a class without images has none."""
    found = [result.others[other] for result in row.results]
    recalls = [(each["adapted"] if fitted else each)["recall"].values() for each in found]
    return [float(np.mean(list(values))) for values in recalls]


def _few_labels(folder: Path, wall: str, name: str, size: int) -> str:
    row = Results(folder / "surfaces/tuned" / wall)[f"{name}-{size}"]
    return f"{number(row.average('test_accuracy'), 3)} ({interval_of(row.interval)})"


def _at_share(row: Row, other: str, share: float, images: int | None) -> tuple[float, float]:
    """What adapting gives where so many images are at hand, a share of them cracked; None takes all.

    Returns:
        Balanced accuracy and share of false alarms on the whole data set, means over seeds and draws.
    """
    found = []
    for record, seed in zip(row.finished, row.read(other), strict=True):
        result, names = record.result, record.data.class_names
        if result is None:
            continue
        label = list(names).index(record.data.positive)
        decision = Decision(result.temperature, record.data.positive, sound=result.sound)
        calibrated = with_temperature(seed.probabilities, decision.temperature)
        cracked = seed.labels == label
        for draw in range(_DRAWS):
            at_hand = _draw_folder(cracked, share, images, np.random.default_rng(draw))
            verdicts = decide(calibrated, names, adapted(decision, calibrated[at_hand], names)) == label
            false, recall = verdicts[~cracked].mean(), verdicts[cracked].mean()
            found.append(((1 - false + recall) / 2, false))
    balanced, alarms = np.mean(found, axis=0)
    return float(balanced), float(alarms)


def _draw_folder(
    cracked: npt.NDArray[np.bool_], share: float, images: int | None, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Draws images of which a share is cracked: so many, or as many as there are at that share."""
    bad, sound = rng.permutation(np.flatnonzero(cracked)), rng.permutation(np.flatnonzero(~cracked))
    most = min(len(sound) / (1 - share), len(bad) / share if share else np.inf)
    count = int(most) if images is None else images
    of_bad = round(share * count)
    return np.concatenate([bad[:of_bad], sound[: count - of_bad]])


@dataclass(frozen=True)
class _Taught:
    """What labels chosen in one way taught: balanced accuracy of each seed, by number of labels."""

    way: str
    by_labels: dict[int, list[float]]

    def needed(self, accuracy: float) -> list[str]:
        """The first number of labels at which each seed reaches an accuracy."""
        most = max(self.by_labels)
        each = zip(*self.by_labels.values(), strict=True)
        reached = [
            [n for n, found in zip(self.by_labels, seed, strict=True) if found >= accuracy] for seed in each
        ]
        return [str(numbers[0]) if numbers else f"over {most}" for numbers in reached]


def _taught(file: Path) -> list[_Taught]:
    """Reads what `experiments.benchmarks.parts.suggesting` measured, of the seeds that are complete."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    sizes = sorted({line["labels"] for line in lines})
    found = {(line["way"], line["seed"], line["labels"]): line["balanced_accuracy"] for line in lines}
    ways = list(dict.fromkeys(line["way"] for line in lines))
    seeds = sorted({line["seed"] for line in lines})
    seeds = [seed for seed in seeds if all((way, seed, size) in found for way in ways for size in sizes)]
    return [
        _Taught(way, {size: [found[way, seed, size] for seed in seeds] for size in sizes}) for way in ways
    ]


def _mistakes(row: Row) -> dict[str, int]:
    """Each test image that a seed got wrong, by its published label, and by how many seeds; most first."""
    count: Counter[str] = Counter()
    for seed in row.predictions:
        count.update(path for path, right in zip(seed.paths, seed.right, strict=True) if not right)
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))

"""`python -m experiments.benchmarks.parts.mapping`: crack maps against masks that people drew, and rivals.

All thresholds come from drawn surfaces, whose cracks are known; the photographs set none. `--choose` finds
them anew. The rivals are what one would do instead: OpenCV's black hat, smoothed and cleaned of specks, and
Grad-CAM of the whole photograph shrunk to the model's input.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cnnzoo.backend import import_keras
from cnnzoo.data.images import encode_jpeg, read_image, resize_image
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.data.sources.drawn.surfaces import KINDS, draw_surface_tile
from cnnzoo.errors import InputError, printable
from cnnzoo.files import append_line
from experiments.cli.arguments import Parser, make_folders
from experiments.cli.process import exit_code, quiet_stderr
from experiments.cli.say import say
from experiments.mapping.drawings import LINE

if TYPE_CHECKING:
    from cnnzoo.deploy.photograph import CrackMap

FILE = "maps.jsonl"
TOLERANCE = 5  # pixels, as the field's papers have it on the pavement set
OF_DIAGONAL = 0.02  # the other tolerance, share of the photograph's diagonal
CELL = 64  # pixels
DRAWN_SIDE, DRAWN_COUNT = 512, 24  # pixels and number of drawn photographs; every sixth has no crack
CHOOSING_SEED, DRAWN_SEED = 8, 9  # of those that choose thresholds and of those that are reported
# Chosen by `--choose` on 24 drawn surfaces of all kinds and 24 of concrete.
BLACK_HAT, GRAD_CAM = 52, 0.4
HATS = range(8, 80, 4)
HINDSIGHT = "OpenCV black hat, best threshold in hindsight"
_HAT, _SPECK = 15, 60  # pixels: side of the black hat's element, area of the smallest crack

Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]
Sample = tuple[Picture, Mask]  # RGB, where the crack is
Way = Callable[[Picture], tuple[npt.NDArray, Mask]]  # gives a score of each pixel, and the cracks


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog="python -m experiments.benchmarks.parts.mapping",
        description="Pixel precision, recall and F1 of crack maps on photographs with masks.",
    )
    parser.add_argument("--photos", type=Path, metavar="DIR", help="folders of NAME.jpg and NAME_mask.png")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=FILE.keras",
        help="a model beside the crack_net that comes with cnnzoo (repeatable)",
    )
    parser.add_argument("--choose", action="store_true", help="find the rivals' thresholds on drawn surfaces")
    parser.add_argument("--out", type=Path, default=Path("maps"), metavar="DIR", help="(default: maps)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Appends a line for each set and way to OUT/maps.jsonl that it lacks. Returns the exit code."""
    options = parse_arguments(arguments)
    models = {"crack_net": "crack_net"} | dict(_named(word) for word in options.model)
    with quiet_stderr():
        import_keras()
        from cnnzoo.deploy.photograph import CrackMapper
    from experiments.runs.environment import describe_environment

    if options.choose:
        _choose()
        return 0
    make_folders(options.out, [""])
    mappers = {name: CrackMapper(file) for name, file in models.items()}
    ways: dict[str, Way] = {name: _by_map(mapper) for name, mapper in mappers.items()}
    ways["OpenCV black hat"] = lambda picture: _cut(black_hat(picture), BLACK_HAT)
    for name, mapper in mappers.items():
        ways[f"Grad-CAM, {name}"] = _by_grad_cam(mapper)
    sets = {"drawn concrete": drawn_concrete(DRAWN_SEED)}
    if options.photos is not None:
        sets |= {folder.name: list(_photographs(folder)) for folder in sorted(options.photos.iterdir())}
    about = {"environment": describe_environment()}
    file = options.out / FILE
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    made = {(line["set"], line["way"]) for line in map(json.loads, lines)}
    for name, samples in sets.items():
        masks = [mask for _, mask in samples]
        for way in (*ways, HINDSIGHT):
            if (name, way) in made:
                continue
            started = time.perf_counter()
            if way == HINDSIGHT:
                found = _best_black_hat(samples)
            else:
                found = [ways[way](picture) for picture, _ in samples]
            seconds = (time.perf_counter() - started) / len(samples)
            scores = measured(masks, found)
            line = {"set": name, "way": way, "photographs": len(samples), **scores, "seconds": seconds}
            append_line(file, json.dumps({**line, **about}))
            say(f"{name}, {way}: F1 {scores['f1']:.3f}, {seconds:.1f} s a photograph")
            if name == "drawn concrete" and way in mappers:
                _sheet(options.out / f"drawn-{way}.jpg", samples, [cracks for _, cracks in found])
    return 0


def _named(word: str) -> tuple[str, str]:
    name, equals, file = word.partition("=")
    if not (name and equals and file):
        raise InputError(f"--model {printable(word)}: write NAME=FILE.keras")
    return name, file


def _best_black_hat(samples: Sequence[Sample]) -> list[tuple[npt.NDArray, Mask]]:
    """By the threshold that suits these very photographs best, which nobody knows before."""
    masks, hats = [mask for _, mask in samples], [black_hat(picture) for picture, _ in samples]
    each = [[_cut(hat, threshold) for hat in hats] for threshold in HATS]
    return max(each, key=lambda found: _agreement(masks, [cracks for _, cracks in found])["f1"])


def _by_map(mapper: Any) -> Way:
    def ask(picture: Picture) -> tuple[npt.NDArray, Mask]:
        found: CrackMap = mapper.map(picture)
        return found.heat, found.cracks

    return ask


def _by_grad_cam(mapper: Any) -> Way:
    return lambda picture: _cut(grad_cam_of(mapper, picture), GRAD_CAM)


def _cut(scores: npt.NDArray, threshold: float) -> tuple[npt.NDArray, Mask]:
    """The score of each pixel, and what is above a threshold, cleaned of specks."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((scores >= threshold).astype(np.uint8))
    kept = stats[:, cv2.CC_STAT_AREA] >= _SPECK
    kept[0] = False
    return scores, kept[labels]


def black_hat(picture: Picture) -> Picture:
    """What is darker than its surroundings and narrow: the usual first step without a network."""
    gray = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 1)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_HAT, _HAT))
    return np.asarray(cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, element))


def grad_cam_of(mapper: Any, picture: Picture) -> npt.NDArray[np.float32]:
    """Grad-CAM of the whole photograph, for the class that is looked for, at its resolution."""
    from cnnzoo.evaluation.explain import grad_cam

    classifier = mapper.classifier
    small = resize_image(picture, classifier.model.input_shape[1])
    cam = grad_cam(classifier.model, small[None], classifier.class_names.index(mapper.positive))[0]
    return np.asarray(cv2.resize(cam, picture.shape[1::-1]), np.float32)


def measured(masks: Sequence[Mask], found: Sequence[tuple[npt.NDArray, Mask]]) -> dict[str, float]:
    """Returns precision, recall and F1 at both tolerances, average precision, and the AUROC of cells."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores: dict[str, float] = {}
    cracks = [each for _, each in found]
    for suffix, tolerance in (("", TOLERANCE), ("_2_percent", None)):
        for name, value in _agreement(masks, cracks, tolerance).items():
            scores[f"{name}{suffix}"] = value
    # Every third pixel in each direction is enough, of masks as wide as the tolerance allows.
    wide = np.ones((2 * TOLERANCE + 1, 2 * TOLERANCE + 1), np.uint8)
    truth = np.concatenate([cv2.dilate(mask.astype(np.uint8), wide)[::3, ::3].ravel() for mask in masks])
    score = np.concatenate([heat[::3, ::3].ravel() for heat, _ in found])
    scores["average_precision"] = float(average_precision_score(truth, score))
    cells = np.concatenate([_cells(mask) for mask in masks])
    scores["cell_auroc"] = float(roc_auc_score(cells, np.concatenate([_cells(heat) for heat, _ in found])))
    return scores


def _agreement(
    masks: Sequence[Mask], cracks: Sequence[Mask], tolerance: float | None = TOLERANCE
) -> dict[str, float]:
    """Precision, recall and F1 of all pixels; the tolerance is in pixels, None for `OF_DIAGONAL`."""
    counts = [
        hits(said, mask, tolerance or OF_DIAGONAL * float(np.hypot(*mask.shape)))
        for mask, said in zip(masks, cracks, strict=True)
    ]
    right, said, seen, true = np.sum(counts, axis=0).tolist()
    precision, recall = right / max(1, said), seen / max(1, true)
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return {"precision": precision, "recall": recall, "f1": f1}


def hits(cracks: Mask, mask: Mask, tolerance: float) -> tuple[int, int, int, int]:
    """Counts pixels: cracks within `tolerance` of the mask, cracks, mask within it of the cracks, mask."""
    right, seen = (
        int((one & (cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, 5) <= tolerance)).sum())
        if other.any()
        else 0
        for one, other in ((cracks, mask), (mask, cracks))
    )
    return right, int(cracks.sum()), seen, int(mask.sum())


def _cells(values: npt.NDArray) -> npt.NDArray:
    """The highest value of each whole cell."""
    rows, columns = (side // CELL for side in values.shape)
    whole = values[: rows * CELL, : columns * CELL]
    return whole.reshape(rows, CELL, columns, CELL).max(axis=(1, 3)).ravel()


def drawn_concrete(seed: int) -> list[Sample]:
    """Draws photographs of concrete, every sixth without a crack."""
    return [draw_tile(rng, crack=crack, size=DRAWN_SIDE) for rng, crack, _ in _dealt(seed)]


def drawn_surfaces(seed: int) -> list[Sample]:
    """Draws photographs of all kinds of surfaces in turn, every sixth without a crack."""
    return [
        draw_surface_tile(rng, crack=crack, kind=kind, size=DRAWN_SIDE) for rng, crack, kind in _dealt(seed)
    ]


def _dealt(seed: int) -> Iterator[tuple[np.random.Generator, bool, str]]:
    """What decides each drawn photograph, whether it has a crack, and its kind of surface."""
    for number, kind in zip(range(DRAWN_COUNT), cycle(KINDS), strict=False):
        yield np.random.default_rng([seed, number]), number % 6 != 5, kind


def _photographs(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.glob("*.jpg")):
        mask = read_image(path.with_name(f"{path.stem}_mask.png"))[..., 0] > 127
        yield read_image(path), mask


def _choose() -> None:
    """Prints F1 on drawn surfaces by the rivals' thresholds."""
    from cnnzoo.deploy.photograph import CrackMapper

    samples = [*drawn_concrete(CHOOSING_SEED), *drawn_surfaces(CHOOSING_SEED)]
    masks, mapper = [mask for _, mask in samples], CrackMapper("crack_net")
    hats = [black_hat(picture) for picture, _ in samples]
    cams = [grad_cam_of(mapper, picture) for picture, _ in samples]
    grid: list[tuple[str, list[npt.NDArray], Iterable[float]]] = [
        ("black hat", hats, HATS),
        ("Grad-CAM", cams, np.arange(0.1, 1, 0.1)),
    ]
    for what, scores, thresholds in grid:
        for threshold in thresholds:
            f1 = _agreement(masks, [_cut(each, threshold)[1] for each in scores])["f1"]
            say(f"{what} from {threshold:.1f} on: F1 {f1:.3f}")


def _sheet(path: Path, samples: Sequence[Sample], found: Sequence[Mask]) -> None:
    """Draws the best, the median and the worst of the cracked ones: the mask white, the map in its colour."""
    f1 = [
        _agreement([mask], [cracks])["f1"] if mask.any() else -1.0
        for (_, mask), cracks in zip(samples, found, strict=True)
    ]
    order = [index for index in np.argsort(f1)[::-1] if f1[index] >= 0]
    rows = []
    for index in (order[0], order[len(order) // 2], order[-1]):
        picture, mask = samples[index]
        both = np.zeros_like(picture)
        both[mask] = 255
        both[found[index]] = LINE
        rows.append(np.hstack([picture, both]))
    sheet = cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    path.write_bytes(encode_jpeg(sheet, 85))


if __name__ == "__main__":
    sys.exit(exit_code(main))

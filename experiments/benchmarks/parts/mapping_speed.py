"""`python -m experiments.benchmarks.parts.mapping_speed`: tiles per second of a crack map and of its model.

Each map is of one drawn photograph, with tiles of the size that the model learnt from, or as `cnnzoo map`
does it by itself, with the sizes that it tries. Beside it the model answers for as many tiles that are ready,
in batches of the same size: one after the other, and as many at once as a map looks at, which none
can beat. They are timed in turn, and the ratios are those of the medians.
"""

import argparse
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnzoo.backend import import_keras
from cnnzoo.data.sources.concrete import draw_tile
from cnnzoo.files import append_line
from cnnzoo.limits import in_threads
from experiments.cli.arguments import Parser, make_folders
from experiments.cli.process import exit_code, quiet_stderr
from experiments.cli.say import say

FILE = "speed.jsonl"
PIECE = 1000  # pixels: side of what is drawn, and repeated to a photograph
MODELS = {"crack_net": 160, "mobilenet_v2": 160, "resnet50": 128}  # and the sides of their input


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog="python -m experiments.benchmarks.parts.mapping_speed",
        description="Tiles per second of cnnzoo map, beside those of the model alone.",
    )
    parser.add_argument("--megapixels", type=int, default=12, metavar="N", help="of the photograph")
    parser.add_argument("--search", action="store_true", help="with all sizes of tiles that a map tries")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of each (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("maps"), metavar="DIR", help="(default: maps)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Appends a line for each model to OUT/speed.jsonl. Returns the exit code."""
    options = parse_arguments(arguments)
    make_folders(options.out, [""])
    with quiet_stderr():
        import_keras()
    from experiments.runs.environment import describe_environment

    photograph = draw_photograph(options.megapixels)
    for name, side in MODELS.items():
        found = measured(name, side, photograph, options.repeats, search=options.search)
        line = {"model": name, "megapixels": options.megapixels, "search": options.search, **found}
        append_line(options.out / FILE, json.dumps({**line, "environment": describe_environment()}))
        mapped, alone, together = (line[f"{what}_seconds"] for what in ("map", "model", "model_at_once"))
        say(
            f"{name}: {line['tiles']:,} tiles, {mapped:.2f} s as a map; by the model alone {alone:.2f} s, "
            f"{together:.2f} s with batches at once"
        )
    return 0


def draw_photograph(megapixels: int) -> npt.NDArray[np.uint8]:
    """Draws concrete with cracks, four pixels wide for each three that it is high."""
    piece, _ = draw_tile(np.random.default_rng(0), crack=True, size=PIECE)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    times = (-(-height // PIECE), -(-width // PIECE), 1)
    return np.ascontiguousarray(np.tile(piece, times)[:height, :width])


def measured(
    name: str, side: int, photograph: npt.NDArray[np.uint8], repeats: int, *, search: bool = False
) -> dict[str, Any]:
    """Times maps of a photograph and the model of a name alone, from random weights but for crack_net."""
    from cnnzoo.deploy.classifier import Classifier, load_model
    from cnnzoo.deploy.photograph import CrackMapper
    from cnnzoo.evaluation.calibration import Decision
    from cnnzoo.evaluation.several_views import one_view
    from cnnzoo.models.catalogue import create_model

    if name == "crack_net":
        classifier = load_model(name)
    else:
        model = create_model(name, input_shape=(side, side, 3), num_classes=2)
        classifier = Classifier(model, ("plain", "crack"), Decision(positive="crack"), (227, 227))
    usual = (classifier.image_pixels or (side,))[0]
    mapper, batches = CrackMapper(classifier, tile=None if search else usual), list[int]()
    look = mapper._looker.look

    def counted(tiles: npt.NDArray[np.uint8]) -> Any:
        batches.append(len(tiles))
        return look(tiles)

    mapper._looker.look = counted  # type: ignore[method-assign]
    mapper.map(photograph)
    ready = np.random.default_rng(0).integers(0, 256, (max(batches), side, side, 3), dtype=np.uint8)
    sizes, alone = list(batches), one_view(classifier.model)

    def answer(at_once: int = 1) -> None:
        deque(
            in_threads(lambda size: alone.predict_on_batch(ready[:size]), sizes, at_once, at_once), maxlen=0
        )

    answer()  # as the map before: once, for graphs to be traced
    timed: list[Callable[[], object]] = [lambda: mapper.map(photograph), answer]
    if (at_once := mapper._looker.at_once) > 1:
        timed.append(lambda: answer(at_once))
    times = zip(*([_seconds(each) for each in timed] for _ in range(repeats)), strict=True)
    maps, models, *together = map(statistics.median, times)
    return {
        "tiles": sum(sizes),
        "map_seconds": maps,
        "model_seconds": models,
        "model_at_once_seconds": together[0] if together else models,
    }


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""`python -m experiments.predict MODEL.keras IMAGE_OR_FOLDER…`: what a trained model says of image files."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.errors import InputError
from experiments.cli.arguments import Parser
from experiments.cli.process import called, exit_code, quiet_stderr

if TYPE_CHECKING:
    from cnnzoo.deploy.classifier import Prediction

FIGURE_IMAGES = 48


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("predict"),
        description="Name the class of image files of any size and mode, with its calibrated probability. "
        "A model trained with --recall decides by its threshold.",
        epilog="Exit code: 0 every file was an image, 1 some were not (they are named), 2 an argument can't "
        "be used.",
    )
    parser.add_argument("model", metavar="MODEL.keras", help="as cnnzoo compare writes it")
    parser.add_argument(
        "images",
        metavar="IMAGE_OR_FOLDER",
        nargs="+",
        type=Path,
        help="files, or folders with all below them",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FIGURE.png", help=f"draw the first {FIGURE_IMAGES} images and verdicts"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row per file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a verdict per file. Returns the exit code."""
    options = parse_arguments(arguments)
    files = list(_files(options.images))
    for path in (options.out, options.csv):
        if path is not None and not path.resolve().parent.is_dir():
            raise InputError(f"{path}: its folder does not exist")
    with quiet_stderr():
        from cnnzoo.deploy.classifier import load_model, predict

        classifier = load_model(options.model)
    decision = classifier.decision
    if decision.threshold is not None:
        print(f"{decision.positive} from probability {decision.threshold:.4f} on", file=sys.stderr)
    verdicts = list(_printed(predict(classifier, files)))
    if options.csv is not None:
        _write_csv(options.csv, verdicts, classifier.class_names)
    if options.out is not None:
        _draw(options.out, verdicts)
    return 1 if any(verdict.error for verdict in verdicts) else 0


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    from cnnzoo.data.manifest import is_litter

    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.is_file() and not is_litter(file.name))
            if not below:
                raise InputError(f"{path}: the folder holds no file")
            yield from below
        elif path.exists():
            yield path
        else:
            raise InputError(f"{path}: no such file or folder")


def _printed(verdicts: "Iterable[Prediction]") -> "Iterator[Prediction]":
    for verdict in verdicts:
        if verdict.error:
            print(f"error: {verdict.error}", file=sys.stderr, flush=True)
        else:
            print(f"{verdict.path}\t{verdict.class_name}\t{verdict.probability:.4f}", flush=True)
        yield verdict


def _write_csv(path: Path, verdicts: "Sequence[Prediction]", class_names: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "probability", *(f"p_{name}" for name in class_names), "error"])
        for verdict in verdicts:
            if verdict.probabilities is None:
                writer.writerow([verdict.path, "", "", *("" for _ in class_names), verdict.error])
            else:
                row = [f"{p:.6f}" for p in verdict.probabilities]
                writer.writerow([verdict.path, verdict.class_name, f"{verdict.probability:.6f}", *row, ""])


def _draw(path: Path, verdicts: "Sequence[Prediction]") -> None:
    from cnnzoo.data.images import read_image, resize_image
    from experiments.style.contact_sheet import draw_sheet

    shown = [verdict for verdict in verdicts if not verdict.error][:FIGURE_IMAGES]
    if not shown:
        raise InputError(f"{path}: not drawn, none of the files is an image")
    draw_sheet(
        path,
        [resize_image(read_image(verdict.path), 227) for verdict in shown],
        [f"{verdict.path.name[:22]}\n{verdict.class_name} {verdict.probability:.3f}" for verdict in shown],
    )
    good = sum(not verdict.error for verdict in verdicts)
    print(f"{path}: {len(shown)} of {good} images drawn")


if __name__ == "__main__":
    sys.exit(exit_code(main))

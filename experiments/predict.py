"""`python -m experiments.predict MODEL.keras IMAGE_OR_FOLDER…`: what a trained model says of image files."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cnnzoo.backend import check_backend, import_keras
from cnnzoo.data.table import write_table
from cnnzoo.deploy.exports.runtimes import READABLE, Exported, load_exported
from cnnzoo.deploy.verdicts import Prediction
from cnnzoo.deploy.verdicts import verdicts as verdicts_on
from cnnzoo.errors import InputError, printable
from experiments.cli.arguments import Parser
from experiments.cli.asked import SHIPPED, add_images, files_to_ask_about, with_model
from experiments.cli.process import called, exit_code, quiet_stderr, quoted, to_type
from experiments.cli.say import say
from experiments.cli.stopping import tell_if_stopped

if TYPE_CHECKING:
    from cnnzoo.deploy.classifier import Classifier

BATCH = 32  # images at a time
FIGURE_IMAGES = 48
NAME_LENGTH = 28  # characters above an image
FIGURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("predict"),
        usage="%(prog)s [-h] [--adapt] [--out FIGURE.png] [--csv FILE] [MODEL.keras] IMAGE_OR_FOLDER ...",
        description="Name the class of image files of any size and mode, with its calibrated probability. "
        "Without a model, the crack_net that comes with cnnzoo answers crack or no crack. "
        "A model trained with --recall decides by its threshold.",
        epilog="Exit code: 0 every file was an image, 1 some were not (they are named), 2 an argument can't "
        "be used.",
    )
    add_images(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FIGURE.png", help=f"draw the first {FIGURE_IMAGES} images and verdicts"
    )
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="first fit the threshold to these images, of one surface, which need no labels: for a surface "
        "that the model was not trained on",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row per file")
    return with_model(parser.parse_intermixed_args(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a verdict per file. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped("the verdicts above stand; nothing else is written")
    files, unread = files_to_ask_about(options, "predict")
    _check_outputs(options)
    asker = _asker(options.model)
    known = asker.known
    say(_about(known), warning=True)
    if options.model is not None and known.origin.warning:
        say(f"warning: {known.origin.warning}", warning=True)
    if options.model is None:
        own = f"to train one on your own images: {to_type('compare')}"
        say(f"Answered by the {SHIPPED} that comes with cnnzoo: Positive is a crack; {own}", warning=True)
    bad = (Prediction(path, error=f"{printable(path)}: {reason}") for path, reason in unread)
    found = _adapted(asker, files) if options.adapt else asker.verdicts(files)
    verdicts = list(_printed(chain(bad, found)))
    _warn_of_large_ones(verdicts, known.image_pixels or (asker.size, asker.size))
    # An exported file can't be asked what suggest asks.
    asked = Path("MODEL.keras") if isinstance(known, Exported) else options.model
    _warn_of_unlike_ones(verdicts, [*filter(None, [asked]), *options.images])
    if options.csv is not None:
        _write_csv(options.csv, verdicts, known.class_names)
    if options.out is not None:
        _draw(options.out, verdicts)
    return 1 if any(verdict.error for verdict in verdicts) else 0


class _Asker(NamedTuple):
    """A model of any kind, the side of its input in pixels, and what it says of files."""

    known: "Classifier | Exported"
    size: int
    verdicts: "Callable[[Sequence[Path]], Iterator[Prediction]]"


def _asker(model: Path | None) -> _Asker:
    """Loads a model; an exported one without Keras, which takes seconds to import."""
    if model is not None and model.suffix in READABLE and model.is_file():
        exported = load_exported(model)
        size, ask = exported.size, exported.ask
        return _Asker(exported, size, lambda files: verdicts_on(exported, size, ask, files, BATCH))
    check_backend()
    with quiet_stderr():
        import_keras()
        from cnnzoo.deploy.classifier import load_model, predict

        classifier = load_model(model or SHIPPED)
    return _Asker(classifier, int(classifier.model.input_shape[1]), partial(predict, classifier))


def _check_outputs(options: argparse.Namespace) -> None:
    """Checks before any work what would fail after it."""
    for path in (options.out, options.csv):
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise InputError(f"{path}: {'a folder' if path.is_dir() else 'its folder does not exist'}")
    if options.out is not None and options.out.suffix.lower() not in FIGURE_SUFFIXES:
        raise InputError(f"--out {options.out}: a picture ends in {', '.join(FIGURE_SUFFIXES)}")


def _about(classifier: "Classifier | Exported") -> str:
    decision = classifier.decision
    names = [
        f"{printable(name)}{' (positive)' * (name == decision.positive)}" for name in classifier.class_names
    ]
    line = f"Classes: {', '.join(names)}"
    if decision.threshold is not None:
        line += (
            f". {printable(decision.positive)} is answered from a probability of {decision.threshold:.4f} on"
        )
    return line


def _adapted(asker: _Asker, files: Sequence[Path]) -> "Iterator[Prediction]":
    """The verdicts by a threshold that fits all the images, which are all read before the first."""
    from cnnzoo.bars import track
    from cnnzoo.deploy.verdicts import adapted_to, decided
    from cnnzoo.evaluation.adapting import FEWEST_SOUND, sound_reference

    classifier = asker.known
    sound_reference(classifier.decision, classifier.class_names)
    verdicts = list(track(asker.verdicts(files), len(files), "looking at the surface", progress=True))
    fitted = adapted_to(classifier, verdicts)
    positive, threshold = printable(fitted.decision.positive), fitted.decision.threshold
    if fitted.decision == classifier.decision:
        say(
            f"Not adapted: fewer than {FEWEST_SOUND} of the images are judged not to be {positive}, too few "
            "to see how sound ones of this surface score",
            warning=True,
        )
    else:
        say(f"Adapted: {positive} is answered from a probability of {threshold:.4g} on", warning=True)
    return (decided(verdict, fitted) for verdict in verdicts)


def _printed(verdicts: "Iterable[Prediction]") -> "Iterator[Prediction]":
    for verdict in verdicts:
        if verdict.error:
            say(f"error: {printable(verdict.error)}", warning=True)
        else:
            # One line a file, whatever its name holds; the CSV has it as it is.
            name = printable(verdict.class_name)
            print(f"{printable(verdict.path)}\t{name}\t{verdict.probability:.4f}", flush=True)
        yield verdict


def _warn_of_large_ones(verdicts: "Sequence[Prediction]", usual: tuple[int, int]) -> None:
    """Says that a crack in a large photograph shrinks with it, and what to do."""
    large = [verdict for verdict in verdicts if verdict.times_larger]
    if not large:
        return
    width, height = usual
    most = max(large, key=lambda verdict: verdict.times_larger)
    say(
        f"warning: {len(large):,} of {len(verdicts):,} images are much larger than those that this model "
        f"learnt from ({printable(most.path)}: {most.times_larger:.0f} times {width} x {height} pixels). "
        "They were shrunk, and a crack in them too, which may be missed: cut them into tiles of about that "
        "size, for example with ImageMagick:\n"
        f"  magick {quoted(most.path)} -crop {width}x{height} +repage tile_%04d.png",
        warning=True,
    )


def _warn_of_unlike_ones(verdicts: "Sequence[Prediction]", words: Sequence[Path]) -> None:
    """Says how many images are unlike what the model learnt from, and what to do; nothing for a few.

    `words` are those that named model and images.
    """
    from cnnzoo.evaluation.likeness import FEW_UNLIKE

    known = [verdict for verdict in verdicts if verdict.distance is not None]
    unlike = [verdict for verdict in known if verdict.unlike]
    if len(unlike) <= FEW_UNLIKE * len(known):
        return
    most = max(unlike, key=lambda verdict: verdict.distance or 0)
    share = 100 * len(unlike) / len(known)
    say(
        f"warning: {share:.0f} % of these images are unlike those that this model was trained on "
        f"({printable(most.path)} most of all); its verdicts on them are not to be trusted. Label 50 and "
        f"train with them: {to_type('suggest')} {quoted(*words)}",
        warning=True,
    )


def _write_csv(path: Path, verdicts: "Sequence[Prediction]", class_names: Sequence[str]) -> None:
    each = [f"p_{name}" for name in class_names]
    titles = ["path", "class", "probability", *each, "error", "times_larger", "distance"]
    write_table(path, titles, [_csv_line(verdict, len(class_names)) for verdict in verdicts])


def _csv_line(verdict: "Prediction", classes: int) -> list[object]:
    if verdict.probabilities is None:
        return [verdict.path, "", "", *[""] * classes, verdict.error, "", ""]
    each = [f"{p:.6f}" for p in verdict.probabilities]
    larger = f"{verdict.times_larger:.1f}" if verdict.times_larger else ""
    distance = "" if verdict.distance is None else f"{verdict.distance:.3f}"
    return [verdict.path, verdict.class_name, f"{verdict.probability:.6f}", *each, "", larger, distance]


def _draw(path: Path, verdicts: "Sequence[Prediction]") -> None:
    from cnnzoo.data.images import read_image, resize_image
    from experiments.style.contact_sheet import draw_sheet
    from experiments.style.text import shorten

    shown = [verdict for verdict in verdicts if not verdict.error][:FIGURE_IMAGES]
    if not shown:
        raise InputError(f"{path}: not drawn, none of the files is an image")
    draw_sheet(
        path,
        [resize_image(read_image(verdict.path), 227) for verdict in shown],
        [f"{shorten(v.path.name, NAME_LENGTH)}\n{shorten(v.class_name)} {v.probability:.3f}" for v in shown],
    )
    good = sum(not verdict.error for verdict in verdicts)
    say(f"{printable(path)}: {len(shown)} of {good} images drawn")


if __name__ == "__main__":
    sys.exit(exit_code(main))

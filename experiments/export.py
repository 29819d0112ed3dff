"""`python -m experiments.export MODEL.keras --format FORMAT`: a model for other programs, compared."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cnnzoo import __version__
from cnnzoo.backend import check_backend, import_keras
from cnnzoo.deploy.exports.runtimes import SUFFIXES
from cnnzoo.deploy.parts import OURS
from cnnzoo.errors import InputError, printable
from cnnzoo.files import replaced_whole
from experiments.cli.arguments import Parser, existing_name
from experiments.cli.asked import SHIPPED
from experiments.cli.process import called, exit_code, quiet_stderr
from experiments.cli.say import say
from experiments.cli.stopping import tell_if_stopped

if TYPE_CHECKING:
    from cnnzoo.deploy.classifier import Classifier
    from cnnzoo.deploy.exports.compare import Comparison

MOST_CHANGED = 0.005  # share of the verdicts
COMPARED, REPRESENTATIVE, DRAWN = 1000, 200, 240  # images, at most
LIST = ".comparison.json"


class Images(NamedTuple):
    """Images that both files are asked about, with their classes where they are known, and what they are."""

    compared: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    representative: npt.NDArray[np.uint8]
    what: str


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("export"),
        description="Write a trained model as a file for other programs: uint8 RGB images of its size in, "
        "calibrated probabilities out, all else inside. The file is then run in its own runtime on images, "
        "and what it says is compared with the model; a file that says something else is refused.",
        epilog="Exit code: 0 the file was written, 2 an argument can't be used or the file was refused.",
    )
    parser.add_argument(
        "model",
        nargs="?",
        type=existing_name,
        metavar="MODEL.keras",
        help="as cnnzoo compare writes it (default: the crack_net that comes with cnnzoo)",
    )
    parser.add_argument("--format", required=True, choices=SUFFIXES, help="format of the file")
    parser.add_argument(
        "--data",
        type=existing_name,
        metavar="DIR",
        help=f"a folder per class, of which up to {COMPARED:,} images are compared; litert-int8 takes "
        f"{REPRESENTATIVE} others for the ranges of its numbers (default: {DRAWN} tiles that cnnzoo draws)",
    )
    parser.add_argument(
        "--out", type=existing_name, metavar="FILE", help="(default: the name of the model and of the format)"
    )
    parser.add_argument(
        "--most-changed",
        type=float,
        default=MOST_CHANGED,
        metavar="SHARE",
        help=f"share of verdicts that may change before the file is refused (default: {MOST_CHANGED})",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes and compares a file. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped("nothing was written")
    check_backend()
    if not 0 <= options.most_changed <= 1:
        raise InputError(f"--most-changed {options.most_changed}: it must be from 0 to 1")
    out = _out(options)
    with quiet_stderr():
        import_keras()
        from cnnzoo.deploy.classifier import load_model
        from cnnzoo.deploy.exports.compare import compare_export
        from cnnzoo.deploy.exports.write import write_export
        from cnnzoo.models.shipped import shipped_file

        classifier = load_model(options.model or SHIPPED)
        file = options.model if options.model and options.model.is_file() else shipped_file(SHIPPED)
    if classifier.origin.warning and options.model is not None:
        say(f"warning: {classifier.origin.warning}", warning=True)
    images = _drawn(classifier) if options.data is None else _of(options.data, classifier)
    unproven = out.with_name(f".unproven-{os.getpid()}-{out.name}")
    try:
        with quiet_stderr():
            write_export(classifier, unproven, options.format, images.representative)
            found = compare_export(classifier, file, unproven, options.format, images.compared, images.labels)
        _say_what_changed(found, images.what)
        if found.changed_share > options.most_changed:
            raise InputError(_refused(found, options))
        _put(unproven, out, options.format)
    finally:
        _remove(unproven)
    listed = out.with_name(f"{out.name}{LIST}")
    about = {"format": options.format, "images": images.what, "cnnzoo": __version__}
    with replaced_whole(listed) as unfinished:
        unfinished.write_text(json.dumps(about | asdict(found), indent=1))
    say(f"{printable(out)} written; {printable(listed)} has these numbers")
    return 0


def _out(options: argparse.Namespace) -> Path:
    """Where the file goes."""
    suffix, form = SUFFIXES[options.format], options.format
    stem = Path(options.model or SHIPPED).stem
    default = f"{stem}-int8{suffix}" if form == "litert-int8" else f"{stem}{suffix or '-saved_model'}"
    out = Path(options.out or default)
    if out.is_symlink() or not out.name:
        raise InputError(f"--out {printable(out)}: a link or no name of a file; choose another name")
    if suffix and out.suffix != suffix:
        raise InputError(f"--out {printable(out)}: a file of the format {form} ends in {suffix}")
    if not out.resolve().parent.is_dir():
        raise InputError(f"--out {printable(out)}: its folder does not exist")
    if out.is_dir() and (suffix or not (out / "assets.extra" / OURS).is_file()):
        raise InputError(f"--out {printable(out)}: a folder that holds something else; choose another name")
    if not suffix and out.is_file():
        raise InputError(f"--out {printable(out)}: a SavedModel is a folder, this is a file")
    beside = out.with_suffix(".bin")
    if form == "openvino" and beside.exists() and not out.exists():
        raise InputError(
            f"--out {printable(out)}: {printable(beside)} would be overwritten; choose another name"
        )
    if not os.access(out.resolve().parent, os.W_OK):
        raise InputError(f"--out {printable(out)}: nothing can be written to its folder")
    return out


def _of(data: Path, classifier: "Classifier") -> Images:
    """Images of a folder; where it has sides, those for the ranges are from its training side alone."""
    from cnnzoo.data.images import load_images
    from cnnzoo.data.manifest import build_manifest

    manifest = build_manifest(data, skip_bad=True)
    order = np.random.default_rng(0).permutation(len(manifest.images)).tolist()
    training = [i for i in order if manifest.images[i].side == "train"] if manifest.already_split else order
    first = training[:REPRESENTATIVE] if len(order) > 2 * REPRESENTATIVE else training[: len(training) // 3]
    taken = set(training if manifest.already_split else first)
    rest = [i for i in order if i not in taken][:COMPARED]
    if not rest or not first:
        raise InputError(f"--data {printable(data)}: too few images to compare with")
    size = int(classifier.model.input_shape[1])
    known = set(manifest.class_names) <= set(classifier.class_names)
    places = [classifier.class_names.index(name) for name in manifest.class_names] if known else []
    compared, representative = (
        load_images([manifest.root / manifest.images[i].path for i in part], size) for part in (rest, first)
    )
    labels = np.array([places[manifest.images[i].label] for i in rest], np.int64) if known else None
    return Images(compared, labels, representative, f"images of {data}")


def _drawn(classifier: "Classifier") -> Images:
    from cnnzoo.data.images import resize_image
    from cnnzoo.data.sources.drawn.surfaces import KINDS, draw_surface_tile

    kinds, size = list(KINDS), int(classifier.model.input_shape[1])
    tiles = []
    for number in range(DRAWN):
        rng = np.random.default_rng([0, number])
        tile, _ = draw_surface_tile(rng, crack=number % 2 == 1, kind=kinds[number // 2 % len(kinds)])
        tiles.append(resize_image(tile, size))
    images, third = np.stack(tiles), DRAWN // 3
    return Images(images[third:], None, images[:third], "tiles that cnnzoo drew")


def _say_what_changed(found: "Comparison", what: str) -> None:
    accuracy = ""
    if found.accuracy is not None:
        accuracy = f"; accuracy {found.accuracy_before:.4f} before, {found.accuracy:.4f} now"
    say(
        f"On {found.images:,} {what}: verdicts changed on {found.changed:,}, probabilities by "
        f"{found.largest_difference:.2g} at most{accuracy}\n"
        f"Size {found.bytes / 1e6:.2f} MB (before {found.bytes_before / 1e6:.2f}); one image "
        f"{found.milliseconds_1:.2f} ms ({found.milliseconds_1_before:.2f}), 32 images "
        f"{found.milliseconds_32:.1f} ms ({found.milliseconds_32_before:.1f})"
    )


def _refused(found: "Comparison", options: argparse.Namespace) -> str:
    way = {
        "litert-int8": "use --format litert, which keeps all digits, or --data with images like those that "
        "it is for",
    }.get(options.format, "please report it")
    share = f"{found.changed:,} of {found.images:,} verdicts changed ({100 * found.changed_share:.2f} %)"
    return f"not written: {share}, more than --most-changed {options.most_changed}: {way}"


def _put(unproven: Path, out: Path, form: str) -> None:
    if form == "openvino":
        unproven.with_suffix(".bin").replace(out.with_suffix(".bin"))
    older = out.with_name(f"{unproven.name}.older")
    if out.is_dir():
        out.replace(older)
    unproven.replace(out)
    if older.is_dir():
        shutil.rmtree(older)


def _remove(unproven: Path) -> None:
    if unproven.is_dir():
        shutil.rmtree(unproven)
    unproven.unlink(missing_ok=True)
    unproven.with_suffix(".bin").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""`python -m experiments.map MODEL.keras PHOTOGRAPH_OR_FOLDER…`: where in photographs the cracks are."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.backend import check_backend, import_keras
from cnnzoo.errors import InputError, printable
from cnnzoo.files import sha256_of
from experiments.cli.alone import alone_in
from experiments.cli.arguments import Parser
from experiments.cli.asked import SHIPPED, add_images, files_to_ask_about, with_model
from experiments.cli.process import called, exit_code, quiet_stderr
from experiments.cli.say import say
from experiments.cli.stopping import tell_if_stopped

if TYPE_CHECKING:
    from cnnzoo.deploy.photograph import CrackMapper
    from cnnzoo.evaluation.calibration import Decision
    from experiments.mapping.measures import Photograph
    from experiments.mapping.result import Result


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("map"),
        usage="%(prog)s [-h] [--out DIR] [--tile PIXELS] [--overlap F] [--threshold T | --recall R] "
        "[--adapt] [--mm-per-pixel MM] [MODEL.keras] PHOTOGRAPH_OR_FOLDER ...",
        description="Map the cracks in whole photographs, of any size up to 100 megapixels, by a model of "
        "tiles. For each one: the photograph with outlined cracks, a heat map, outlines as GeoJSON, and "
        "number, lengths and widths of its cracks in photographs.csv; for all, a page. The same command goes "
        "on after a stop.",
        epilog="Exit code: 0 every file was mapped, 1 some were not (they are named), 2 an argument can't be "
        "used.",
    )
    add_images(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("maps"), metavar="DIR", help="folder to write to (default: maps)"
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="side of what one look of the model covers, in pixels of the photograph (default: several are "
        "tried, and the one is taken at which the model tells places apart most)",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        default=0.5,
        metavar="F",
        help="share of a tile that the next one covers too, from 0 to below 1 (default: 0.5)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="probability from which on a tile counts as cracked: a lower one finds more "
        "(default: the model's)",
    )
    parser.add_argument(
        "--recall",
        type=float,
        metavar="R",
        help="or the threshold at which the model found this share of the cracked images that it was "
        "validated on; another surface may need a lower one",
    )
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="first fit the threshold to all the photographs, of one surface, which need no labels: for a "
        "surface that the model was not trained on",
    )
    parser.add_argument(
        "--mm-per-pixel", type=float, metavar="MM", help="millimetres that a pixel shows: adds lengths in mm"
    )
    return with_model(parser.parse_intermixed_args(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Maps photographs. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped(f"what was mapped is in {printable(options.out)}; the same command goes on")
    check_backend()
    if options.mm_per_pixel is not None and not 0 < options.mm_per_pixel < float("inf"):
        raise InputError(f"--mm-per-pixel {options.mm_per_pixel}: it must be above 0")
    given = [name for name in ("adapt", "threshold", "recall") if getattr(options, name) not in (None, False)]
    if len(given) > 1:
        raise InputError(f"--{given[0]} and --{given[1]} each give a threshold: leave one of them out")
    files, unread = files_to_ask_about(options, "map")
    files = list({path.resolve(): path for path in files}.values())
    with quiet_stderr():
        import_keras()
        from cnnzoo.deploy.photograph import CrackMapper
        from cnnzoo.models.shipped import shipped_file

        model = options.model or Path(SHIPPED)
        mapper = CrackMapper(
            model, tile=options.tile, overlap=options.overlap, threshold=options.threshold, progress=True
        )
    if options.recall is not None:
        mapper.threshold = _threshold_for(options.recall, mapper.classifier.decision, model)
    if mapper.classifier.origin.warning and options.model is not None:
        say(f"warning: {mapper.classifier.origin.warning}", warning=True)
    from experiments.mapping.result import Result, Settings, make_folder

    make_folder(options.out)
    if options.adapt:
        before = mapper.threshold
        mapper.adapt(files)
        say(
            f"Adapted: a tile counts as cracked from a probability of {mapper.threshold:.4g} on (before: "
            f"{before:.4g})"
        )
    digest = sha256_of(model if model.is_file() else shipped_file(SHIPPED))
    with alone_in(options.out, "map"):
        settings = Settings(digest, options.tile, options.overlap, mapper.threshold)
        result = Result.opened(options.out, settings)
        for path, reason in unread:
            result.add_error(path, f"{path}: {reason}")
            say(f"error: {printable(path)}: {reason}", warning=True)
        _map_all(result, mapper, files, options)
    return 1 if any(photograph.error for photograph in result.photographs) else 0


def _threshold_for(recall: float, decision: "Decision", model: Path) -> float:
    if not 0 < recall <= 1:
        raise InputError(f"--recall {recall}: it must be above 0, and at most 1")
    threshold = decision.threshold_for(recall)
    if threshold is None:
        known = ", ".join(f"{known:g}" for known, _ in decision.recalls)
        raise InputError(
            f"--recall {recall}: {printable(model)} "
            + (f"knows thresholds for {known}" if known else "knows no thresholds for recalls: train it anew")
            + "; or give one by --threshold"
        )
    return threshold


def _map_all(
    result: "Result", mapper: "CrackMapper", files: Sequence[Path], options: argparse.Namespace
) -> None:
    from experiments.mapping.page import write_page
    from experiments.mapping.result import PAGE, TABLE

    result.write_csv(options.mm_per_pixel)
    for number, path in enumerate(files, start=1):
        _map(result, mapper, path, f"photograph {number:,} of {len(files):,}")
        result.write_csv(options.mm_per_pixel)
    name = f"the {SHIPPED} that comes with cnnzoo" if options.model is None else str(options.model)
    write_page(result.out, result.everything, model=name, millimetres=options.mm_per_pixel)
    say(f"{printable(result.out / PAGE)}: all of them, worst first; {TABLE} has the measures")


def _map(result: "Result", mapper: "CrackMapper", path: Path, title: str) -> None:
    import cv2  # not before: --help asks for none of it

    try:
        digest = sha256_of(path)
        found = None if result.known(path, digest) else mapper.map(path, title=title)
    except (InputError, OSError, MemoryError, cv2.error) as error:
        reason = str(error) if isinstance(error, InputError) else f"{path}: {error or 'not enough memory'}"
        reason = reason if str(path) in reason else f"{path}: {reason}"
        result.add_error(path, reason)
        say(f"error: {printable(reason)}", warning=True)
        return
    # Outside: a full disk is no fault of the photograph, and ends the command.
    said = "mapped before" if found is None else _summary(result.add(path, digest, found))
    print(f"{printable(path)}\t{said}", flush=True)


def _summary(photograph: "Photograph") -> str:
    from experiments.style.text import plural

    if not photograph.lengths:
        return "no crack"
    count = plural(len(photograph.lengths), "crack")
    return (
        f"{count}, {sum(photograph.lengths):,.0f} pixels long in all, "
        f"{100 * photograph.share:.2f} % of the surface, seen in tiles of {photograph.tile} pixels"
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))

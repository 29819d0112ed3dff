"""`python -m experiments.bench`: how fast all of it is, beside what it could be and what others reach."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cnnzoo.backend import check_backend
from cnnzoo.errors import InputError, printable, suggest
from cnnzoo.files import write_whole
from cnnzoo.gpu import Gpu, gpus
from experiments.benchmarks.registry import FEW, PARTS, Part, Request
from experiments.cli.alone import alone_in
from experiments.cli.apart import apart
from experiments.cli.arguments import Parser, check_apart, check_at_least_one, existing_name, make_folders
from experiments.cli.process import called, exit_code, quiet_stderr, quoted
from experiments.cli.say import say
from experiments.cli.stopping import tell_if_stopped
from experiments.recipes.lookup import find_recipes
from experiments.recipes.published import FAST, USUAL


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    usual = ", ".join(part.name for part in PARTS.values() if not part.on_request)
    asked = ", ".join(part.name for part in PARTS.values() if part.on_request)
    parser = Parser(
        prog=called("bench"),
        description="Measure how fast cnnzoo is on this machine: each figure beside its limit and beside "
        "what one would use instead, timed in turns in the same run.",
        epilog=f"Parts: {usual}; with --only alone, as they take long: {asked}. "
        "Exit code: 0 the table was made, also where something could not be measured (the row says why); "
        "2 an argument or the data can't be used.",
    )
    parser.add_argument("--only", metavar="PART,PART", help="measure these parts alone")
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="which parts to measure (default: cpu)"
    )
    _add_what_is_trained(parser)
    _add_what_is_beside(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks"), help="folder for the table (default: benchmarks)"
    )
    return parser.parse_args(arguments)


def _add_what_is_trained(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="synthetic",
        metavar="DIR",
        help="a folder with a folder of images per class, or synthetic (default)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help=f"images per class (default: {FEW}; all of them where accuracy is measured)",
    )
    parser.add_argument("--recipes", default=",".join(USUAL | FAST), help="by commas (default: all of them)")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="epochs per phase, at most, where accuracy is measured"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="file (.h5) with pretrained weights of a model's backbone; without it they are random, which "
        "takes as long; may be repeated",
    )


def _add_what_is_beside(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--baseline",
        type=existing_name,
        metavar="FILE",
        help="compare with benchmarks.jsonl of an earlier run, or the folder that it is in",
    )
    parser.add_argument(
        "--runs",
        type=existing_name,
        action="append",
        default=[],
        metavar="DIR",
        help="what compare wrote (--out), to read seconds and accuracies from; may be repeated",
    )
    parser.add_argument(
        "--python",
        type=existing_name,
        metavar="FILE",
        help="interpreter with PyTorch or ultralytics, to measure them too (default: this command's own)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures part by part and writes the table. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped(f"parts that are measured are kept in {printable(options.out)}")
    check_backend()
    parts, request = _parts(options), _request(options)
    if options.device == "gpu":
        _check_gpu()
    from experiments.benchmarks.baseline import Baseline
    from experiments.benchmarks.rows import FILE as RECORDS
    from experiments.benchmarks.rows import append_measurement, latest, read_measurements
    from experiments.benchmarks.run import measure_part
    from experiments.benchmarks.table import FILE, markdown, terminal

    # Read first: it may be what lies in the folder that is written to.
    baseline = Baseline(latest(read_measurements(options.baseline))) if options.baseline else None
    make_folders(options.out, [""])
    command = f"{called('bench')} {quoted(*(sys.argv[1:] if arguments is None else arguments))}".strip()
    with alone_in(options.out, "bench"):
        measured = []
        for number, part in enumerate(parts, 1):
            say(f"[{number}/{len(parts)}] {part.name}: {part.about}")
            measured.append(measure_part(part, request, command))
            append_measurement(options.out, measured[-1])
        everything = latest(read_measurements(options.out / RECORDS))
        write_whole(options.out / FILE, markdown(everything, baseline))
    _print(terminal(measured, baseline), baseline.sentences(measured) if baseline else [])
    say(f"\nThe table is in {options.out / FILE}, every measurement in {options.out / RECORDS}.")
    return 0


def _print(table: object, sentences: Sequence[str]) -> None:
    from rich.console import Console

    from experiments.benchmarks.table import WIDTH

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print()
    console.print(table)
    for text in sentences:
        say(text)


def _parts(options: argparse.Namespace) -> list[Part]:
    """The parts that were asked for, else those of the device that don't take long."""
    of_device = {name: part for name, part in PARTS.items() if part.device == options.device}
    if options.only is None:
        return [part for part in of_device.values() if not part.on_request]
    names = options.only.split(",")
    for name in names:
        if name not in of_device:
            raise InputError(
                f"--only {options.only}: no part {name!r} for --device {options.device}; "
                f"{suggest(name, of_device)}"
            )
    return [of_device[name] for name in dict.fromkeys(names)]


def _check_gpu() -> None:
    """Asks in a process of its own: JAX would keep most of the GPU's memory for this one, which needs none.

    Raises:
        InputError: there is no GPU.
    """
    backend, found = apart(_backend_and_gpus)
    if not found:
        raise InputError(
            f"--device gpu: {backend} sees no GPU here; choose --device cpu, or a backend that is installed "
            "for the GPU (KERAS_BACKEND=jax)"
        )


def _backend_and_gpus() -> tuple[str, list[Gpu]]:
    with quiet_stderr():
        import keras

        return keras.backend.backend(), gpus()


def _request(options: argparse.Namespace) -> Request:
    from experiments.recipes.starting_weights import given_weights

    check_at_least_one(options, "limit", "epochs")
    check_apart(options.out, [Path(options.data)])
    if options.python is not None and not options.python.is_file():
        raise InputError(f"--python {options.python}: no such file; name an interpreter, as yolo/bin/python")
    recipes = find_recipes(options.recipes.split(","))
    return Request(
        data=options.data,
        limit=options.limit,
        recipes=tuple(recipe.name for recipe in recipes),
        weights=given_weights(options.weights, recipes),
        out=options.out,
        runs=tuple(options.runs),
        python=options.python,
        epochs=options.epochs,
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))

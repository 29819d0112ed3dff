"""`python -m experiments.tune`: search the arguments of a model and its training with keras-tuner."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.backend import check_backend
from cnnzoo.errors import InputError, printable
from experiments.cli.alone import alone_in
from experiments.cli.arguments import (
    Parser,
    add_data_options,
    add_ray_option,
    check_at_least_one,
    check_groups,
    data_values,
    make_folders,
)
from experiments.cli.process import called, exit_code, quiet_stderr
from experiments.cli.stopping import tell_if_stopped

if TYPE_CHECKING:
    from experiments.search.spec import SearchRequest

FOLDERS = ("search", "logs", "figures")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("tune"),
        description="Search the arguments of a model and of its training with keras-tuner, on training and "
        "validation images alone: the test images stay for compare. The lowest validation loss wins, for "
        "accuracy is soon the same for all. The same command again goes on where it stopped.",
        epilog="Exit code: 0 every trial finished, 1 some failed (the table says why), 2 an argument or the "
        "data can't be used.",
    )
    parser.add_argument("--model", required=True, help="the name of a model, as in cnnzoo.list_models()")
    add_data_options(parser)
    parser.add_argument(
        "--tuner",
        choices=("bayesian", "hyperband", "random"),
        default="bayesian",
        help="bayesian (default): a third of the trials at random, then where a Gaussian process expects "
        "most; hyperband: many trials of few epochs, the best anew with more, each from the start; random",
    )
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="trials, at most (default: 20)")
    parser.add_argument(
        "--epochs", type=int, default=10, metavar="N", help="of a trial, at most (default: 10)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the search and of every training (default: 0)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("tuned"), help="folder for the results (default: tuned)"
    )
    parser.add_argument(
        "--trial-minutes",
        type=float,
        default=60,
        metavar="M",
        help="a trial that takes longer is ended and counts as failed (default: 60)",
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="file (.h5) with pretrained weights of the model's backbone, or MODEL=random",
    )
    add_ray_option(parser, "trials")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares the data, runs the trials that are missing, reports. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped(f"finished trials are kept in {printable(options.out)}; the same command goes on")
    _check(options)

    from experiments.search.start import run_search

    request = _request(options)
    make_folders(options.out, FOLDERS)
    with quiet_stderr():
        from experiments.search.tuner import role
    if options.ray and role() != "alone":
        raise InputError("--ray: hands out the trials itself; unset KERASTUNER_ORACLE_IP and the like")
    # A worker may share the folder of its chief, which alone writes records and state.
    with nullcontext() if role() == "worker" else alone_in(options.out, "tune"):
        run_search(request)
        if role() == "worker":
            return 0
        from experiments.search.report import report

        return report(request)


def _request(options: argparse.Namespace) -> "SearchRequest":
    from experiments.runs.sides import DataRequest
    from experiments.search.spec import SearchRequest

    return SearchRequest(
        model=options.model,
        data=DataRequest(**data_values(options)),
        tuner=options.tuner,
        trials=options.trials,
        epochs=options.epochs,
        seed=options.seed,
        minutes=options.trial_minutes,
        weights=tuple(options.weights),
        ray=options.ray,
    )


def _check(options: argparse.Namespace) -> None:
    check_backend()
    check_at_least_one(options, "trials", "epochs", "limit")
    if not options.trial_minutes > 0:
        raise InputError(f"--trial-minutes {options.trial_minutes:g}: it must be above 0")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: it must be at least 0")
    check_groups(options)
    with quiet_stderr():
        from cnnzoo.models.catalogue import model_info

        model_info(options.model)


if __name__ == "__main__":
    sys.exit(exit_code(main))

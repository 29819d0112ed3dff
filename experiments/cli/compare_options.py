"""What `compare` can't do, said before any work."""

import argparse
import math

from cnnzoo.errors import InputError
from experiments.cli.arguments import check_at_least_one, check_groups

MOST_FOLDS = 20


def check_options(options: argparse.Namespace) -> None:
    """Checks what one option says against the others.

    Raises:
        InputError: a number can't be, or two options exclude each other.
    """
    from cnnzoo.limits import usable_cores

    check_at_least_one(options, "limit", "epochs", "jobs")
    if options.ray and options.jobs > 1:
        raise InputError("--jobs shares out this machine, --ray a cluster: leave one of them out")
    if options.jobs > (cores := usable_cores()):
        raise InputError(f"--jobs {options.jobs}: each run needs a core; give at most {cores}")
    _check_leave_one_out(options)
    _check_folds(options)
    if options.budget is not None and not 0 < options.budget < math.inf:
        raise InputError(f"--budget {options.budget:g}: give a number of minutes above 0, as in 30")
    if options.budget is not None and options.train_sizes != "all":
        raise InputError("--budget compares recipes on all training images: leave --train-sizes out")
    for name in ("recall", "precision"):
        share = getattr(options, name)
        if share is not None and not 0 < share <= 1:
            raise InputError(f"--{name} {share}: give a share above 0 and at most 1, as in 0.99")
    check_groups(options)


def _check_leave_one_out(options: argparse.Namespace) -> None:
    if not options.leave_one_out:
        return
    if len(options.data or ()) < 2:
        raise InputError("--leave-one-out: name two folders or more, each with its own --data")
    if options.split:
        raise InputError("--leave-one-out decides what is tested: leave --split out")
    if options.budget is not None:
        raise InputError("--budget compares recipes on one split: leave it or --leave-one-out out")


def _check_folds(options: argparse.Namespace) -> None:
    if options.folds is None:
        return
    if not 2 <= options.folds <= MOST_FOLDS:
        raise InputError(f"--folds {options.folds}: give a number from 2 to {MOST_FOLDS}, as in 5")
    for name, given in (
        ("--leave-one-out", options.leave_one_out),
        ("--train-sizes", options.train_sizes != "all"),
        ("--budget", options.budget is not None),
    ):
        if given:
            raise InputError(f"--folds decides what is trained and tested on: leave it or {name} out")

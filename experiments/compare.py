"""`python -m experiments.compare`: train recipes on a folder of images and tabulate what came of it."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.backend import check_backend
from cnnzoo.errors import InputError, printable
from experiments.cli.alone import alone_in
from experiments.cli.arguments import (
    SYNTHETIC,
    Parser,
    add_data_options,
    add_ray_option,
    data_values,
    make_folders,
    read_seeds,
    read_train_sizes,
)
from experiments.cli.compare_options import check_options
from experiments.cli.process import called, exit_code, quoted
from experiments.cli.stopping import tell_if_stopped
from experiments.recipes.lookup import find_recipes
from experiments.recipes.published import FAST, OTHER_SURFACES, RECIPES, USUAL
from experiments.recipes.recipe import Recipe
from experiments.runs import left

if TYPE_CHECKING:
    from experiments.cluster.driver import Cluster
    from experiments.live.view import View
    from experiments.runs.data_plan import DataPlan, Part
    from experiments.runs.records import RunRecord
    from experiments.runs.sides import DataRequest
    from experiments.runs.spec import RunSpec

# A phase of the large networks; the small ones train as long as their recipes say.
DEMONSTRATION_EPOCHS = {"random": 2, "pretrained": 5}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("compare"),
        description="Train CNN recipes on a folder of images and compare accuracy, time and size. "
        "Without arguments: a demonstration on small tiles of synthetic concrete. "
        "The same command again goes on where it stopped and trains nothing twice.",
        epilog="Exit code: 0 every run finished, 1 some failed (the table says why), 2 an argument or the "
        "data can't be used.",
    )
    add_data_options(parser)
    parser.add_argument(
        "--recipes",
        default=",".join(USUAL),
        help="by commas: recipes, names of models, or recipe files (.json) such as cnnzoo tune writes. "
        f"Recipes: {', '.join(USUAL)} (default: these); with frozen layers computed once: "
        f"{', '.join(FAST)}; for other surfaces than those trained on: {', '.join(OTHER_SURFACES)}",
    )
    parser.add_argument("--seeds", default="0", help="whole numbers, by commas; a run for each (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default: out)")
    _add_test_options(parser)
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs per phase, at most")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores (default: 1)"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="file (.h5) with pretrained weights of a model's backbone, or MODEL=random; may be repeated",
    )
    add_ray_option(parser, "runs")
    parser.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="train for so long in all: in rounds of equal time for every recipe, the better half goes on",
    )
    quieter = parser.add_mutually_exclusive_group()
    quieter.add_argument("--quiet", action="store_true", help="print errors alone: no progress, no table")
    quieter.add_argument(
        "--json",
        action="store_true",
        help="print JSON for scripts, an object a line: plan, epochs, runs, summary",
    )
    return parser.parse_args(arguments)


def _add_test_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--also",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="another folder with the same classes to test on, never to train on; may be repeated",
    )
    parser.add_argument(
        "--leave-one-out",
        action="store_true",
        help="with several --data: train on all folders but one and test on that one, each in turn, to see "
        "which recipe is best on a surface that it never saw",
    )
    parser.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="cut the images into K parts, photographs whole, and test on each part a network trained on the "
        "others: K runs for each recipe and seed, and every image is tested",
    )
    parser.add_argument(
        "--train-sizes",
        default="all",
        metavar="50,100,all",
        help="numbers of training images, by commas; a run for each (default: all)",
    )
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument(
        "--recall",
        type=float,
        metavar="R",
        help="choose, on validation, the threshold that finds this share of the positive class, as in 0.99, "
        "on new photographs too, with a probability of 95 %%; never a higher one than without",
    )
    wanted.add_argument(
        "--precision",
        type=float,
        metavar="P",
        help="choose the threshold above which this share of what is called positive is so, likewise",
    )
    parser.add_argument(
        "--positive",
        metavar="CLASS",
        help="the class to be found (default: of two classes the one whose name says so, as crack, damaged, "
        "positive or 1)",
    )
    parser.add_argument(
        "--robustness", action="store_true", help="test under blur, noise, exposure, JPEG, rotation and scale"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Plans, runs what is missing, reports. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped(
        f"finished runs are kept in {printable(options.out)}, and the one under way up to its last save; "
        "the same command goes on"
    )
    # Behind the options, so that --help answers at once; so it is in the functions below.
    with ExitStack() as held:
        return _compare(options, held)


def _compare(options: argparse.Namespace, held: ExitStack) -> int:
    from experiments.live.choose import view_for
    from experiments.live.json_lines import emit
    from experiments.runs.dispatch import records_in
    from experiments.runs.records import settled

    with view_for(quiet=options.quiet, as_json=options.json) as view:
        specs = _run(options, view, held)
    from experiments.reporting.tables.terminal import print_table
    from experiments.reporting.write import summary, write_report

    comparison = write_report(options.out)
    if options.json:
        emit("summary", **summary(comparison, options.out))
    elif not options.quiet:
        print_table(comparison, options.out)
    wanted = {spec.identity for spec in specs}
    return 0 if wanted <= settled(records_in(options.out)).keys() else 1


def _run(options: argparse.Namespace, view: "View", held: ExitStack) -> "list[RunSpec]":
    """Makes the runs that are missing, the folder for itself, which `held` keeps; returns all asked for."""
    from experiments.cluster.driver import cluster_at
    from experiments.recipes.starting_weights import given_weights, starting_weights
    from experiments.runs.data_plan import prepare_data
    from experiments.runs.spec import with_hashes

    check_backend()
    recipes = _recipes(options)
    seeds, request = read_seeds(options.seeds), _request(options)
    check_options(options)
    given = given_weights(options.weights, recipes)
    make_folders(options.out, left.FOLDERS)
    held.enter_context(alone_in(options.out, "compare"))
    cluster = held.enter_context(cluster_at(options.ray)) if options.ray else None
    if cluster:
        view.say(f"Ray: {cluster}")
    plan = prepare_data(request, view.say)
    _check_drawn(recipes, plan)
    weights = starting_weights(recipes, given, view.say)
    specs = with_hashes(
        _spec(recipe, seed, weights[recipe.name], part, plan, options)
        for part in plan.parts
        for seed in seeds
        for recipe in recipes
    )
    if options.budget is None:
        _make(specs, options, view, cluster)
        return specs
    from experiments.search.halving import run_rounds

    def run_round(specs: "list[RunSpec]", title: str) -> "list[RunRecord]":
        view.say(title)
        return _make(specs, options, view, cluster)

    return run_rounds(specs, options.budget, cluster.at_once if cluster else options.jobs, run_round)


def _check_drawn(recipes: Sequence[Recipe], plan: "DataPlan") -> None:
    data = plan.parts[0].data
    drawn = [recipe.name for recipe in recipes if recipe.drawn]
    if drawn and (len(data.class_names) != 2 or not data.positive):
        raise InputError(
            f"--recipes: {drawn[0]} trains on drawn cracks too, so one of two classes must be cracks: name "
            "it with --positive, or leave the recipe out"
        )


def _make(
    specs: "list[RunSpec]", options: argparse.Namespace, view: "View", cluster: "Cluster | None"
) -> "list[RunRecord]":
    """Makes those of the runs that are missing, and returns the record of each."""
    from experiments.live.jobs import Job
    from experiments.runs.dispatch import make, records_in, run_missing, still_whole

    records = still_whole(records_in(options.out), specs, options.out, view.say)
    jobs = [Job(spec, f"[{n}/{len(specs)}] {spec.run_name}") for n, spec in enumerate(specs, 1)]
    with view.running(jobs, records, options.out):
        if cluster:
            ours = partial(make, ask=cluster.ask)
            run_missing(jobs, records, options.out, view, at_once=cluster.at_once, make=ours)
        else:
            run_missing(jobs, records, options.out, view, at_once=options.jobs)
    last = {record.identity: record for record in records_in(options.out)}
    return [last[spec.identity] for spec in specs]


def _recipes(options: argparse.Namespace) -> list[Recipe]:
    recipes = find_recipes(options.recipes.split(","))
    if not _demonstration(options):
        return recipes
    from cnnzoo.data.sources.synthetic import TILE

    return [recipe.for_tiles(TILE) if RECIPES.get(recipe.name) == recipe else recipe for recipe in recipes]


def _demonstration(options: argparse.Namespace) -> bool:
    return (options.data or [SYNTHETIC]) == [SYNTHETIC]


def _request(options: argparse.Namespace) -> "DataRequest":
    from experiments.runs.sides import DataRequest

    return DataRequest(
        **data_values(options),
        positive=options.positive,
        needs_positive="--recall" if options.recall else "--precision" if options.precision else "",
        also=tuple(options.also),
        train_sizes=read_train_sizes(options.train_sizes),
        leave_one_out=options.leave_one_out,
        folds=options.folds or 0,
    )


def _spec(
    recipe: Recipe,
    seed: int,
    weights: tuple[str, str],
    part: "Part",
    plan: "DataPlan",
    options: argparse.Namespace,
) -> "RunSpec":
    from experiments.runs.spec import RunSpec

    return RunSpec(
        recipe=recipe,
        seed=seed,
        epochs=_epochs(recipe, weights[1], options),
        weights=weights[0],
        weights_file=weights[1],
        manifest=str(plan.manifest_file),
        split=str(part.split_file),
        others=plan.others,
        recall=options.recall,
        precision=options.precision,
        robustness=options.robustness,
        out=str(options.out),
        command=f"{called('compare')} {quoted(*sys.argv[1:])}".strip(),
        demonstration=_demonstration(options),
        data=part.data,
        at_once=options.jobs,
    )


def _epochs(recipe: Recipe, weights_file: str, options: argparse.Namespace) -> int | None:
    """The epochs of a phase, at most; None for as many as the recipe has."""
    if options.epochs is None and _demonstration(options) and recipe.pretrained and recipe.name in RECIPES:
        return DEMONSTRATION_EPOCHS["pretrained" if weights_file else "random"]
    return options.epochs


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""`python -m experiments.compare`: train recipes on a folder of images and tabulate what came of it."""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from datetime import UTC, datetime
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

from cnnzoo.errors import InputError
from experiments.commands import (
    Parser,
    add_data_options,
    called,
    check_at_least_one,
    check_groups,
    exit_code,
    how_it_ended,
    make_folders,
    own_module,
    quiet_stderr,
)
from experiments.events import listen
from experiments.jobs import Job
from experiments.plan import Part, Plan, Say, prepare_data, say
from experiments.recipe import Recipe
from experiments.recipes import RECIPES, find_recipes
from experiments.records import RUNS_FILE, RunRecord, append_record, from_json, read_records, run_name
from experiments.run import RunSpec, record_for
from experiments.views import View, view_for

# A phase of the large networks; the small ones train as long as their recipes say.
DEMONSTRATION_EPOCHS = {"random": 2, "pretrained": 5}
FOLDERS = ("models", "figures", "predictions", "logs")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("compare"),
        description="Train CNN recipes on a folder of images and compare accuracy, time and size. "
        "Without arguments: a demonstration on small tiles of drawn concrete. "
        "The same command again goes on where it stopped and trains nothing twice.",
        epilog="Exit code: 0 every run finished, 1 some failed (the table says why), 2 an argument or the "
        "data can't be used.",
    )
    add_data_options(parser)
    parser.add_argument(
        "--recipes",
        default=",".join(RECIPES),
        help="by commas: recipes (default: %(default)s), names of models, or recipe files (.json) such as "
        "cnnzoo tune writes",
    )
    parser.add_argument("--seeds", default="0", help="whole numbers, by commas; a run for each (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default: out)")
    parser.add_argument(
        "--also",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="another folder with the same classes to test on, never to train on; may be repeated",
    )
    parser.add_argument(
        "--train-sizes",
        default="all",
        metavar="50,100,all",
        help="numbers of training images, by commas; a run for each (default: all)",
    )
    parser.add_argument(
        "--recall",
        type=float,
        metavar="R",
        help="choose, on validation, the threshold that finds this share of the positive class, as in 0.99",
    )
    parser.add_argument("--positive", metavar="CLASS", help="the positive class (default: the last by name)")
    parser.add_argument(
        "--robustness", action="store_true", help="test under blur, noise, exposure, JPEG, rotation and scale"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs per phase, at most")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="MODEL=FILE",
        help="file (.h5) with pretrained weights of a model's backbone, or MODEL=random; may be repeated",
    )
    quieter = parser.add_mutually_exclusive_group()
    quieter.add_argument("--quiet", action="store_true", help="print errors alone: no progress, no table")
    quieter.add_argument(
        "--json",
        action="store_true",
        help="print JSON for scripts, an object a line: plan, epochs, runs, summary",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plans, runs what is missing, reports. Returns the exit code."""
    options = parse_arguments(arguments)
    with view_for(options) as view:
        return _compare(options, view)


def _compare(options: argparse.Namespace, view: View) -> int:
    recipes = find_recipes(options.recipes.split(","))
    seeds = _seeds(options.seeds)
    sizes = _train_sizes(options.train_sizes)
    _check_numbers(options)
    options.demonstration = options.data == "synthetic"
    if options.demonstration:
        from cnnzoo.data.sources.synthetic import TILE

        recipes = [r.for_tiles(TILE) if RECIPES.get(r.name) == r else r for r in recipes]
    given = given_weights(options.weights, recipes)
    make_folders(options.out, FOLDERS)
    plan = prepare_data(options, sizes, view.say)
    weights = starting_weights(recipes, given, view.say)
    specs = [
        _spec(recipe, seed, weights[recipe.name], part, plan, options)
        for part in plan.parts
        for seed in seeds
        for recipe in recipes
    ]
    specs = _named_apart(specs, options.out)
    _run_missing(specs, options.out, view)
    return _report(specs, options.out, view)


def _check_numbers(options: argparse.Namespace) -> None:
    check_at_least_one(options, "limit", "epochs")
    if options.recall is not None and not 0 < options.recall <= 1:
        raise InputError(f"--recall {options.recall}: a share above 0 and at most 1 is wanted, as in 0.99")
    check_groups(options)


def _train_sizes(text: str) -> list[int | None]:
    """Numbers of training images, None for all of them, the largest last."""
    try:
        sizes = [None if part == "all" else int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--train-sizes {text}: numbers of images or `all`, separated by commas, are wanted"
        ) from None
    if len(set(sizes)) < len(sizes) or any(size is not None and size < 1 for size in sizes):
        raise InputError(f"--train-sizes {text}: each must be at least 1 and stand there once")
    return sorted(sizes, key=lambda size: (size is None, size or 0))


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--seeds {text}: whole numbers separated by commas are wanted, as in 0,1,2"
        ) from None
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {text}: each seed must be 0 or more and stand there once")
    return seeds


def given_weights(pairs: Sequence[str], recipes: Sequence[Recipe]) -> dict[str, str]:
    """Reads `--weights MODEL=FILE`: the file, or "random", by model.

    Raises:
        InputError: a pair is none, or names a model without pretrained weights or no file.
    """
    given = {}
    models = sorted({recipe.model for recipe in recipes if recipe.pretrained})
    for pair in pairs:
        model, equals, file = pair.partition("=")
        if not equals or not file:
            raise InputError(f"--weights {pair}: MODEL=FILE is wanted, as in mobilenet_v2=weights.h5")
        if model not in models:
            raise InputError(f"--weights {pair}: no chosen recipe takes weights for {model!r}; {models} do")
        if file != "random" and not Path(file).is_file():
            raise InputError(f"--weights {pair}: no such file")
        given[model] = file
    return given


def starting_weights(
    recipes: Sequence[Recipe], given: dict[str, str], say: Say = say
) -> dict[str, tuple[str, str]]:
    """Returns how the record names what a recipe starts from, and its file: none for random weights."""

    from cnnzoo.files import sha256_of

    weights = {recipe.name: ("random", "") for recipe in recipes}
    out_of_reach: set[str] = set()
    # Keras, which fetches, stays out of this process: its memory would be held through all runs.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for recipe in recipes:
            file = given.get(recipe.model, "")
            if not recipe.pretrained or file == "random" or recipe.model in out_of_reach:
                continue
            if file:
                weights[recipe.name] = (
                    f"{Path(file).name} (sha256 {sha256_of(file)[:12]})",
                    str(Path(file).resolve()),
                )
                continue
            try:
                fetched = pool.submit(_fetch_weights, recipe).result()
                weights[recipe.name] = "imagenet", str(fetched)
            except InputError as error:
                # One answer speaks for all files of a model: a network that hangs is not asked again.
                out_of_reach.add(recipe.model)
                say(
                    f"{recipe.model}: random weights instead of ImageNet's, and all layers trained: {error}",
                    warning=True,
                )
    return weights


def _fetch_weights(recipe: Recipe) -> Path:
    with quiet_stderr():
        import keras  # noqa: F401

        from cnnzoo.models.catalogue import download_published
    shape = (recipe.image_size, recipe.image_size, 3)
    # Keras shows how far a download is on stdout, which may be for JSON alone.
    with redirect_stdout(sys.stderr):
        return download_published(recipe.model, input_shape=shape, **recipe.arguments)


def _spec(
    recipe: Recipe,
    seed: int,
    weights: tuple[str, str],
    part: Part,
    plan: Plan,
    options: argparse.Namespace,
) -> RunSpec:
    spec = RunSpec(
        identity="",
        run_name=run_name(recipe.name, seed, part.data),
        recipe=recipe,
        seed=seed,
        epochs=_epochs(recipe, weights[1], options),
        weights=weights[0],
        weights_file=weights[1],
        manifest=str(plan.manifest_file),
        split=str(part.split_file),
        others=tuple(plan.others),
        recall=options.recall,
        robustness=options.robustness,
        out=str(options.out),
        command=f"{called('compare')} {shlex.join(sys.argv[1:])}".strip(),
        demonstration=options.demonstration,
        data=part.data,
    )
    return replace(spec, identity=_identity(spec))


def _epochs(recipe: Recipe, weights_file: str, options: argparse.Namespace) -> int | None:
    """The epochs of a phase, at most; None for as many as the recipe has."""
    if options.epochs is None and options.demonstration and recipe.pretrained and recipe.name in RECIPES:
        return DEMONSTRATION_EPOCHS["pretrained" if weights_file else "random"]
    return options.epochs


def _identity(spec: RunSpec) -> str:
    """A hash of all that decides a run's outcome; two runs that share it need not both be made."""
    parts = {
        "recipe": spec.resolved_recipe().as_dict(),
        "name": spec.recipe.name,
        "seed": spec.seed,
        "weights": spec.weights,
        "data": spec.data["fingerprint"],
        "split": spec.data["split"],
        "others": {name: other["fingerprint"] for name, other in spec.data["others"].items()},
        "positive": spec.data["positive"],
        "recall": spec.recall,
        "robustness": spec.robustness,
    }
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _named_apart(specs: Sequence[RunSpec], out: Path) -> list[RunSpec]:
    """Gives a run a longer name where another one, on another split say, has its files under that name."""
    records = read_records(out) if (out / RUNS_FILE).exists() else []
    owners = {record.run_name: record.identity for record in reversed(records)}
    longer = [replace(spec, run_name=f"{spec.run_name}-{spec.identity[:8]}") for spec in specs]
    return [
        spec if owners.get(spec.run_name, spec.identity) == spec.identity else other
        for spec, other in zip(specs, longer, strict=True)
    ]


def _run_missing(specs: Sequence[RunSpec], out: Path, view: View) -> None:
    records = read_records(out) if (out / RUNS_FILE).exists() else []
    done = {record.identity: record for record in records if record.ok}
    jobs = [Job(spec, f"[{n}/{len(specs)}] {spec.run_name}") for n, spec in enumerate(specs, 1)]
    with view.running(jobs, records, out):
        for job in jobs:
            if job.spec.identity in done:
                view.already_done(job, done[job.spec.identity])
                continue
            view.started(job)
            record = _run(job, out, view)
            append_record(out, record)
            view.ended(job, record)


def _run(job: Job, out: Path, view: View) -> RunRecord:
    """Makes one run in a process of its own, which gives its memory back whatever happens in it."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    spec_file = out / "logs" / f"{job.name}.json"
    record_file, log = spec_file.with_suffix(".record.json"), spec_file.with_suffix(".log")
    record_file.unlink(missing_ok=True)
    spec_file.write_text(json.dumps(asdict(job.spec)), encoding="utf-8")
    try:
        command = own_module("experiments.run", spec_file, "--events")
        code = listen(command, lambda event: view.heard(job, event), log)
        if record_file.exists():
            return from_json(record_file.read_text(encoding="utf-8"))
    finally:
        spec_file.unlink(missing_ok=True)
        record_file.unlink(missing_ok=True)
    reason = how_it_ended(code) + (f"; {log} has what it printed" if log.exists() else "")
    return record_for(job.spec, status=f"failed: {reason}", started=started)


def _report(specs: Sequence[RunSpec], out: Path, view: View) -> int:
    from experiments.report import write_report

    view.reported(write_report(out), out)
    wanted = {spec.identity for spec in specs}
    return 0 if wanted <= {record.identity for record in read_records(out) if record.ok} else 1


if __name__ == "__main__":
    sys.exit(exit_code(main))

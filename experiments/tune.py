"""`python -m experiments.tune`: search the arguments of a model and its training with keras-tuner."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.errors import InputError
from experiments.commands import (
    INTERRUPTED,
    Parser,
    add_data_options,
    called,
    check_at_least_one,
    check_groups,
    exit_code,
    make_folders,
    quiet_stderr,
)
from experiments.records import write_whole

if TYPE_CHECKING:
    from experiments.plan import Part, Plan
    from experiments.workers import Search

FOLDERS = ("search", "logs", "figures")
SETTINGS_FILE = Path("search") / "settings.json"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("tune"),
        description="Search the arguments of a model and of its training with keras-tuner, on training and "
        "validation images alone: the test images stay for compare. The lowest validation loss wins, for "
        "accuracy is soon the same for all. The same command again goes on where it stopped.",
        epilog="Over several machines: give each the same command and data, and set KERASTUNER_ORACLE_IP, "
        "KERASTUNER_ORACLE_PORT and KERASTUNER_TUNER_ID (chief, worker1, …). Exit code: 0 every trial "
        "finished, 1 some failed (the table says why), 2 an argument or the data can't be used.",
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
    # What compare asks for and a search has no use for.
    parser.set_defaults(also=[], positive=None)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares the data, runs the trials that are missing, reports. Returns the exit code."""
    options = parse_arguments(arguments)
    _check(options)
    from experiments.plan import prepare_data

    make_folders(options.out, FOLDERS)
    plan = prepare_data(options, [None])
    with quiet_stderr():
        from experiments.workers import role

    part = plan.parts[0]
    files = _weights(options)
    search = _search(options, plan, part, files)
    settings = _settings(options, part, search, files)
    _same_search(options.out, settings)
    try:
        complete = _run(options, search, settings, role())
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    if role() == "worker":
        return 0
    from experiments.tune_report import report

    return report(options, complete=complete)


def _check(options: argparse.Namespace) -> None:
    check_at_least_one(options, "trials", "epochs", "limit")
    if not options.trial_minutes > 0:
        raise InputError(f"--trial-minutes {options.trial_minutes:g}: it must be above 0")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: it must be at least 0")
    check_groups(options)
    with quiet_stderr():
        from cnnzoo.models.catalogue import model_info

        model_info(options.model)


def _weights(options: argparse.Namespace) -> dict[int, tuple[str, str]]:
    """What the model starts from at each image size: how it is named, and a file or "" for random."""
    from experiments.compare import given_weights, starting_weights
    from experiments.recipes import for_model
    from experiments.spaces import declared

    recipe = for_model(options.model)
    given = given_weights(options.weights, [recipe])
    (sizes,) = [
        hp.values for hp in declared(options.model, pretrained=False).space if hp.name == "image_size"
    ]
    recipes = [replace(recipe, name=f"{recipe.name}-{size}", image_size=size) for size in sizes]
    found = starting_weights(recipes, given) if recipe.pretrained else {}
    return {one.image_size: found.get(one.name, ("random", "")) for one in recipes}


def _search(
    options: argparse.Namespace, plan: "Plan", part: "Part", files: dict[int, tuple[str, str]]
) -> "Search":
    from experiments.workers import Search

    sides = json.loads(part.split_file.read_text(encoding="utf-8"))
    # A trial is told of no test image.
    sides_file = part.split_file.with_name(f"{part.split_file.stem}-without-test.json")
    kept = {side: sides[side] for side in ("train", "validation")}
    sides_file.write_text(json.dumps(kept), encoding="utf-8")
    pretrained = all(file for _, file in files.values())
    return Search(
        model=options.model,
        epochs=options.epochs,
        pretrained=pretrained,
        seed=options.seed,
        weights={size: file for size, (_, file) in files.items()} if pretrained else {},
        manifest=plan.manifest_file,
        sides=sides_file,
        out=options.out,
        minutes=options.trial_minutes,
    )


def _settings(
    options: argparse.Namespace, part: "Part", search: "Search", files: dict[int, tuple[str, str]]
) -> dict[str, Any]:
    """All that makes two searches one; the number of trials may grow."""
    from experiments.spaces import declared, fingerprint

    return {
        "model": options.model,
        "tuner": options.tuner,
        "epochs": options.epochs,
        "seed": options.seed,
        "images": part.data["fingerprint"],
        "split": part.data["split"],
        "weights": sorted({name for name, _ in files.values()}) if search.pretrained else ["random"],
        "space": fingerprint(declared(options.model, pretrained=search.pretrained)),
    }


def _same_search(out: Path, settings: dict[str, Any]) -> None:
    """Refuses a folder with another search in it: keras-tuner would go on with that one without a word."""
    path = out / SETTINGS_FILE
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name, value in settings.items() if before.get(name) != value]
        if changed:
            raise InputError(
                f"--out {out}: holds a search with other {', '.join(changed)}; choose another folder"
            )
        return
    write_whole(path, json.dumps(settings, indent=2))


def _run(options: argparse.Namespace, search: "Search", settings: dict[str, Any], role: str) -> bool:
    """Returns False where the trials were left unfinished: a chief whose workers all went."""
    from experiments.journal import Journal
    from experiments.oracles import make_oracle
    from experiments.spaces import declared
    from experiments.workers import TrialTuner, address, serve_workers, work_for_chief

    identity = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    space = declared(options.model, pretrained=search.pretrained)
    space.Fixed("search/identity", identity)
    journal = Journal(options.out, trials=options.trials)
    with quiet_stderr():
        oracle = make_oracle(
            options.tuner, space, journal, trials=options.trials, epochs=options.epochs, seed=options.seed
        )
        tuner = TrialTuner(oracle, search)
    if role == "worker":
        work_for_chief(tuner, identity)
    elif role == "chief":
        print(f"{options.trials} trials for the workers that ask at {address()}", flush=True)
        return serve_workers(oracle)
    else:
        journal.greet()
        tuner.search()
    return True


if __name__ == "__main__":
    sys.exit(exit_code(main))

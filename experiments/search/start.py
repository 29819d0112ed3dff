"""Setting a search up, and running its trials."""

import json
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cnnzoo.errors import InputError, printable
from cnnzoo.files import write_whole
from experiments.cli.process import quiet_stderr
from experiments.cli.say import say
from experiments.cluster.driver import Cluster, cluster_at
from experiments.recipes.lookup import for_model
from experiments.recipes.starting_weights import given_weights, starting_weights
from experiments.runs.child import ask
from experiments.runs.data_plan import DataPlan, prepare_data
from experiments.runs.spec import hashes_of
from experiments.search.records import TRIALS_FILE
from experiments.search.spec import Search, SearchRequest

SETTINGS_FILE = Path("search") / "settings.json"
ORACLE_FILE = Path("search") / "oracle.json"

Starts = dict[int, tuple[str, str]]  # by image size: how the weights are named, and a file or "" for random


def run_search(request: SearchRequest) -> None:
    """Prepares the data and runs the trials that are missing.

    Raises:
        InputError: the data, the weights or the folder can't be used.
    """
    with cluster_at(request.ray) if request.ray else nullcontext() as cluster:
        plan = prepare_data(request.data)
        files = _weights_by_size(request)
        search = _search(request, plan, files)
        settings = _settings(request, plan, search, files)
        _check_same_search(request.data.out, settings)
        _run_trials(request, search, settings, cluster)


def _weights_by_size(request: SearchRequest) -> Starts:
    """What the model starts from at each image size that is searched."""
    from experiments.search.space import declared

    recipe = for_model(request.model)
    given = given_weights(request.weights, [recipe])
    (sizes,) = [
        hp.values for hp in declared(request.model, pretrained=False).space if hp.name == "image_size"
    ]
    recipes = [replace(recipe, name=f"{recipe.name}-{size}", image_size=size) for size in sizes]
    found = starting_weights(recipes, given) if recipe.pretrained else {}
    return {one.image_size: found.get(one.name, ("random", "")) for one in recipes}


def _search(request: SearchRequest, plan: DataPlan, files: Starts) -> Search:
    split_file = plan.parts[0].split_file
    sides = json.loads(split_file.read_text(encoding="utf-8"))
    # A trial is told of no test image.
    sides_file = split_file.with_name(f"{split_file.stem}-without-test.json")
    write_whole(sides_file, json.dumps({side: sides[side] for side in ("train", "validation")}))
    pretrained = all(file for _, file in files.values())
    weights = {size: file for size, (_, file) in files.items()} if pretrained else {}
    read = {str(plan.manifest_file), str(sides_file), *weights.values()}
    return Search(
        model=request.model,
        epochs=request.epochs,
        pretrained=pretrained,
        seed=request.seed,
        weights=weights,
        manifest=plan.manifest_file,
        sides=sides_file,
        out=request.data.out,
        minutes=request.minutes,
        inputs=hashes_of(sorted(read)),
    )


def _settings(request: SearchRequest, plan: DataPlan, search: Search, files: Starts) -> dict[str, Any]:
    """All that makes two searches one; the number of trials may grow."""
    from experiments.search.space import declared, fingerprint

    data = plan.parts[0].data
    settings = {
        "model": request.model,
        "tuner": request.tuner,
        "epochs": request.epochs,
        "seed": request.seed,
        "images": data.fingerprint,
        "split": data.split.as_dict(),
        "weights": sorted({name for name, _ in files.values()}) if search.pretrained else ["random"],
        "space": fingerprint(declared(request.model, pretrained=search.pretrained)),
    }
    return json.loads(json.dumps(settings))  # as it comes back from the file


def _check_same_search(out: Path, settings: dict[str, Any]) -> None:
    """Refuses a folder with another search in it: keras-tuner would go on with that one without a word."""
    path = out / SETTINGS_FILE
    if not any((out / file).exists() for file in (SETTINGS_FILE, ORACLE_FILE, TRIALS_FILE)):
        write_whole(path, json.dumps(settings, indent=2))
        return
    before = _read_settings(path)
    changed = [name for name, value in settings.items() if before.get(name) != value]
    if changed:
        raise InputError(
            f"--out {out}: holds a search with other {', '.join(changed)}; choose another folder"
        )


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        before = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        raise InputError(
            f"--out {printable(path)}: gone or damaged; nobody can tell which search is in that folder; "
            "choose another one"
        )
    return before


def _run_trials(
    request: SearchRequest, search: Search, settings: dict[str, Any], cluster: Cluster | None
) -> None:
    with quiet_stderr():
        from experiments.search.journal import Journal
        from experiments.search.oracles import make_oracle
        from experiments.search.space import declared
        from experiments.search.tuner import TrialTuner, role, search_at_once, work_for_chief

    identity = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    space = declared(request.model, pretrained=search.pretrained)
    space.Fixed("search/identity", identity)
    journal = Journal(search.out, trials=request.trials)
    own_role = role()
    with quiet_stderr():
        oracle = make_oracle(
            request.tuner, space, journal, trials=request.trials, epochs=request.epochs, seed=request.seed
        )
        tuner = TrialTuner(oracle, search, cluster.ask if cluster else ask)
    if own_role == "worker":
        work_for_chief(tuner, identity)
        return
    journal.greet()
    if cluster:
        say(f"Ray: {cluster}")
        search_at_once(tuner, cluster.at_once)
    else:
        tuner.search()  # where this is a chief, keras-tuner's own serves its workers

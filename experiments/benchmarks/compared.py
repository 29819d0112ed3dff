"""Records of comparisons: those that the user names, or of one that is made for the purpose."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from cnnzoo.errors import InputError
from cnnzoo.processes import own_environment, own_module
from cnnzoo.training.config import Epoch
from experiments.benchmarks.registry import Request, Tell
from experiments.runs.records import RunRecord, latest_records, read_records

FOLDER = "compared"  # below --out, of comparisons that are made for a part


def records_of(request: Request, recipes: Sequence[str], tell: Tell) -> list[RunRecord]:
    """Returns the last record of each run of `recipes` in the folders of `--runs`; without, it makes them."""
    folders = list(request.runs)
    if not folders:
        folders = [request.out / FOLDER]
        compare(request, recipes, folders[0], tell)
    records = [record for folder in folders for record in latest_records(read_records(folder))]
    return [record for record in records if record.recipe in recipes]


def finished_of(request: Request, recipes: Sequence[str], tell: Tell) -> list[RunRecord]:
    """Returns those of `records_of` that have finished.

    Raises:
        InputError: none has.
    """
    found = [record for record in records_of(request, recipes, tell) if record.ok]
    if not found:
        places = ", ".join(map(str, request.runs or [request.out / FOLDER]))
        raise InputError(f"no finished run of {', '.join(recipes)} in {places}")
    return found


def compare(request: Request, recipes: Sequence[str], out: Path, tell: Tell) -> None:
    """Has `compare` make the runs that `out` lacks; it goes on where it was stopped.

    Raises:
        InputError: an argument or the data can't be used.
    """
    out.mkdir(parents=True, exist_ok=True)
    log = out / "compare.log"
    tell(f"comparing {', '.join(recipes)}; for progress see {log}")
    command = own_module("experiments.compare", *arguments_of(request, recipes), "--out", out)
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(  # noqa: S603 - a command of ours, without a shell
            command, stdout=file, stderr=file, env=own_environment(), check=False
        )
    if done.returncode > 1:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise InputError(f"compare ended with exit code {done.returncode}: {last}")


def arguments_of(request: Request, recipes: Sequence[str]) -> list[str]:
    """Returns the options of `compare` that ask for the same images, recipes and weights."""
    given = ["--data", request.data, "--recipes", ",".join(recipes)]
    given += ["--limit", str(request.limit)] if request.limit else []
    given += ["--epochs", str(request.epochs)] if request.epochs else []
    for model, file in request.weights.items():
        given += ["--weights", f"{model}={file}"]
    return given


def seconds_of(epochs: Sequence[Epoch]) -> float:
    """Returns what epochs took with all that belongs to them: tracing the graph and validation."""
    return sum(epoch.tracing_seconds + epoch.seconds + epoch.validation_seconds for epoch in epochs)


def machine_of(record: RunRecord) -> str:
    """Returns what a run was made on, which need not be what measures now."""
    return "{cores} cores of {processor}".format_map({"cores": "?", "processor": "?"} | record.environment)

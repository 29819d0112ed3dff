"""How long it takes before anything is trained, and what is neither training nor start: report and audit."""

import json
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from cnnzoo.data.manifest import Manifest
from cnnzoo.errors import InputError, one_line
from cnnzoo.files import cache_dir
from cnnzoo.processes import own_environment, own_module
from experiments.benchmarks.compared import arguments_of
from experiments.benchmarks.images import linked, manifest_of
from experiments.benchmarks.registry import Request, Tell, unsaid
from experiments.benchmarks.rivals.plain_start import MODULE as PLAIN_START
from experiments.benchmarks.rivals.plain_start import PlainSpec
from experiments.benchmarks.rows import Row
from experiments.benchmarks.side_by_side import weights_of
from experiments.recipes.lookup import find_recipes
from experiments.recipes.recipe import Recipe
from experiments.runs import child, left
from experiments.runs.data_plan import DataPlan, prepare_data
from experiments.runs.records import RunRecord, append_record, from_json
from experiments.runs.sides import DataRequest
from experiments.runs.spec import RunSpec

IMAGES = 96  # per class: a few batches
PLAIN_KERAS = "plain Keras"
LOOK_SECONDS = 0.1  # between two looks at the memory of a command, at most


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields rows of each recipe's process, of the report on them, and of an audit."""
    with TemporaryDirectory(prefix="cnnzoo-bench-", dir=cache_dir()) as name:
        out = Path(name)
        for folder in left.FOLDERS:
            (out / folder).mkdir()
        tell(f"preparing {IMAGES} images per class")
        limit = min(IMAGES, request.few)
        plan = prepare_data(DataRequest(request.data, out, limit=limit), unsaid)
        for recipe in find_recipes(request.recipes):
            if any(phase.views for phase in recipe.config.phases):
                continue  # it starts as the recipe that it is a twin of
            tell(f"starting {recipe.name}")
            try:
                yield from recipe_rows(recipe, request.weights.get(recipe.model, ""), plan, out)
            except Exception as error:
                yield Row(recipe.name, None, "", note=one_line(error))
        tell("rendering the report")
        yield from command_rows("report of these runs", ["experiments.report", str(out)])
    with TemporaryDirectory(prefix="cnnzoo-bench-", dir=cache_dir()) as name:
        first = find_recipes(request.recipes)[0]
        tell(f"comparing {first.name}, then once more")
        weights = {first.model: "random"} if first.pretrained else {}
        small = replace(request, limit=limit, epochs=1, weights=weights)
        command = ["experiments.compare", *arguments_of(small, [first.name]), "--out", name]
        yield from command_rows(f"compare {first.name}: whole command, of an epoch", command)
        yield from command_rows(f"compare {first.name}: again, with its run already made", command)
    with TemporaryDirectory(prefix="cnnzoo-bench-", dir=cache_dir()) as name:
        tell(f"auditing {request.few} images per class")
        folder = str(manifest_of(request).root)
        command = ["experiments.audit", folder, "--limit", str(request.few), "--out", f"{name}/audit"]
        what = f"audit of {request.few} images per class"
        yield from command_rows(what, command, cache=Path(name))


@dataclass
class Timeline:
    """Seconds from the start of a process until each phase, and until the first batch of each has ended."""

    begun: float = field(default_factory=time.perf_counter)
    phases: dict[int, float] = field(default_factory=dict)
    first_batch: dict[int, float] = field(default_factory=dict)

    def heard(self, event: child.Event) -> None:
        """Notes when an event comes."""
        if event["event"] != "progress":
            return
        now = time.perf_counter() - self.begun
        self.phases.setdefault(event["phase"], now)
        if event["step"]:
            self.first_batch.setdefault(event["phase"], now)


def recipe_rows(recipe: Recipe, given: str, plan: DataPlan, out: Path) -> Iterator[Row]:
    """Yields rows of one epoch per phase in a process as `compare` starts it, beside one of plain Keras."""
    manifest = Manifest.load(plan.manifest_file)
    with weights_of(recipe, given) as weights, linked(manifest) as folder:
        plain = PlainSpec(recipe, str(folder), len(manifest.class_names), given)
        theirs = Timeline()
        plain_answer = child.ask(PLAIN_START, plain, out / "logs" / "plain.json", heard=theirs.heard)
        ours = Timeline()
        spec = _spec(recipe, weights, plan, out)
        answer = child.ask("experiments.runs.train", spec, out / "logs" / "run.json", heard=ours.heard)
        whole = time.perf_counter() - ours.begun
    record = _record(answer)
    append_record(out, record)
    assert record.result is not None
    plain_left = json.loads(plain_answer.record) if plain_answer.record else {}
    name = recipe.name
    yield _row(f"{name}: process to its first batch", ours.first_batch[0], theirs.first_batch.get(0))
    second = record.result.second_batch_seconds
    assert second is not None
    yield _row(f"{name}: process to its second batch", second, plain_left.get("second"))
    for phase in range(1, len(ours.phases)):
        taken = ours.first_batch[phase] - ours.phases[phase]
        yield _row(f"{name}: phase {phase + 1} to its first batch", taken)
    yield _row(f"{name}: whole run of an epoch per phase", whole, note="with tests, pictures and its model")
    memory = plain_left.get("peak_memory_mb")
    yield _row(f"{name}: peak memory", record.result.peak_memory_mb, memory, unit="MB")


def _spec(recipe: Recipe, weights: str, plan: DataPlan, out: Path) -> RunSpec:
    return RunSpec(
        recipe=recipe,
        seed=0,
        epochs=1,
        weights=Path(weights).name if weights else "random",
        weights_file=weights,
        manifest=str(plan.manifest_file),
        split=str(plan.parts[0].split_file),
        others=(),
        recall=None,
        precision=None,
        robustness=False,
        out=str(out),
        command="",
        demonstration=False,
        data=plan.parts[0].data,
    )


def _record(answer: child.Answer) -> RunRecord:
    if not answer.record:
        raise InputError(answer.ended)
    record = from_json(answer.record)
    if not record.ok:
        raise InputError(record.status)
    return record


def command_rows(name: str, command: list[str], cache: Path | None = None) -> Iterator[Row]:
    """Yields seconds and peak memory of a command, in a cache of its own if one is given."""
    environment = own_environment() | ({"CNNZOO_CACHE": str(cache)} if cache else {})
    start, cpu = time.perf_counter(), _cpu_of_children()
    process = psutil.Popen(
        own_module(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    memory = _memory_until_end(process)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise InputError(f"{' '.join(command)}: exit code {process.returncode}")
    cores = (_cpu_of_children() - cpu) / seconds
    yield Row(name, seconds, "s", less_is_better=True, cores=cores)
    yield Row(f"{name}: peak memory", memory / 2**20, "MB", less_is_better=True)


def _memory_until_end(process: psutil.Popen) -> int:
    """Waits for a process; returns the most bytes that it and what it started had at a time."""
    peak, pause = 0, LOOK_SECONDS / 16  # some commands end before a longer one does
    while process.poll() is None:
        with suppress(psutil.Error):  # one of them has just ended
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family))
        with suppress(psutil.TimeoutExpired):
            process.wait(pause)
        pause = min(2 * pause, LOOK_SECONDS)
    return peak


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _row(name: str, value: float, plain: float | None = None, *, unit: str = "s", note: str = "") -> Row:
    rival = PLAIN_KERAS if plain is not None else ""
    return Row(name, value, unit, rival=plain, rival_name=rival, less_is_better=True, note=note)

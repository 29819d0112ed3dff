"""What a search leaves, from its records alone: table, CSV, figure, HParams and the best recipe."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnnzoo.errors import printable
from experiments.cli.process import quoted, to_type
from experiments.cli.say import say
from experiments.recipes.recipe import Recipe
from experiments.search.figure import draw_search, shares_explained
from experiments.search.records import TRIALS_FILE, TrialRecord, ranked, read_trials, varied, write_trials
from experiments.search.spec import SearchRequest
from experiments.style.text import human_count, human_time

SHOWN = 15
VALUE_WIDTH = 14  # columns of the terminal for a searched value, the gap included
FIXED_WIDTH = 54


def report(request: SearchRequest) -> int:
    """Writes and prints what the trials of a search gave. Returns the exit code."""
    out, records = request.data.out, read_trials(request.data.out)
    failed = [record for record in records if not record.ok]
    write_trials(out / "trials.csv", records)
    if len(failed) < len(records):
        msgspec.convert(ranked(records)[0].recipe, Recipe).save(out / "best.json")
        figure = draw_search(out / "figures" / "importance.svg", records)
        write_hparams(out / "logs" / "hparams", records)
        print_trials(records)
        _say_what_is_where(request, figure)
    for record in failed:
        say(f"trial {record.number}: {printable(record.status)}", warning=True)
    if records and len(failed) == len(records):
        reasons = {record.status for record in failed}
        why = (
            f"{failed[0].status.removeprefix('failed: ')}"
            if len(reasons) == 1
            else f"see {out / TRIALS_FILE}"
        )
        say(f"error: all {len(failed)} trials failed: {printable(why)}", warning=True)
    if len(records) < request.trials:
        print(f"the space holds no more than these {len(records)} trials for {request.tuner}")
    return 0 if records and not failed else 1


def print_trials(records: Sequence[TrialRecord], width: int | None = None) -> None:
    """Prints the best trials, with as many of the searched values as the terminal is wide for."""
    console = Console(width=width, highlight=False)
    names = list(shares_explained([record for record in records if record.ok])) or varied(records)
    shown = names[: max(0, (console.width - FIXED_WIDTH) // VALUE_WIDTH)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("trial", "val loss", "val acc.", "epochs", "time", "param."):
        table.add_column(title, justify="right", no_wrap=True)
    for name in shown:
        # In words, so that a long name takes two lines.
        table.add_column(
            escape(printable(name).replace("_", " ")), justify="right", max_width=VALUE_WIDTH - 2
        )
    for record in [record for record in ranked(records) if record.result][:SHOWN]:
        table.add_row(*_cells(record), *(escape(_value(record.values.get(name))) for name in shown))
    print()
    console.print(table)
    if len(names) > len(shown):
        say(f"searched too: {', '.join(map(printable, names[len(shown) :]))}")


def _cells(record: TrialRecord) -> list[str]:
    result = record.result
    if result is None:
        return [str(record.number), *[""] * 5]
    return [
        str(record.number),
        f"{result.val_loss:.4f}",
        f"{result.val_accuracy:.4f}",
        str(result.epochs),
        human_time(record.seconds),
        human_count(result.total_params),
    ]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else printable(value)


def _say_what_is_where(request: SearchRequest, figure: Path | None) -> None:
    data, out = request.data, request.data.out
    say(f"\nall values of all trials: {out / 'trials.csv'}" + (f"; figure: {figure}" if figure else ""))
    say(f"tensorboard --logdir {quoted(out / 'logs')} shows the curves and HPARAMS")
    command = [
        "--recipes",
        str(out / "best.json"),
        *(x for name in (data.data, *data.more) for x in ("--data", name)),
    ]
    if data.split is not None:
        command += ["--split", data.split]
    for name, value in (("groups", data.groups), ("limit", data.limit)):
        if value is not None:
            command += [f"--{name}", str(value)]
    for pair in request.weights:
        command += ["--weights", pair]
    command += ["--skip-bad"] * data.skip_bad
    say(f"test the best: {to_type('compare')} {quoted(*command)}")


def write_hparams(folder: Path, records: Sequence[TrialRecord]) -> None:
    """Writes a run of TensorBoard's HParams for each finished trial, in place of those of an earlier call."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    shutil.rmtree(folder, ignore_errors=True)
    for record in records:
        if record.result is None:
            continue
        name = f"{record.number:03}"
        with tf.summary.create_file_writer(str(folder / name)).as_default(), tf.device("CPU"):
            api.hparams(record.values, trial_id=name)
            for metric in ("val_loss", "val_accuracy", "train_seconds"):
                tf.summary.scalar(metric, getattr(record.result, metric), step=record.result.epochs)

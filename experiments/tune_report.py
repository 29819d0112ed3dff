"""What a search leaves, from its records alone: table, CSV, figure, HParams and the best recipe."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.commands import to_type
from experiments.recipe import Recipe
from experiments.search_figure import draw_search, shares_explained
from experiments.text import human_count, human_time
from experiments.trials import TRIALS_FILE, TrialRecord, ranked, read_trials, varied, write_table

SHOWN = 15
VALUE_WIDTH = 14  # columns of the terminal for a searched value, the gap included
FIXED_WIDTH = 54


def report(options: argparse.Namespace, *, complete: bool) -> int:
    """Writes and prints what the trials of `options.out` gave. Returns the exit code."""
    out, records = options.out, read_trials(options.out)
    failed = [record for record in records if not record.ok]
    write_table(out / "trials.csv", records)
    if len(failed) < len(records):
        Recipe.from_dict(ranked(records)[0].recipe).save(out / "best.json")
        figure = draw_search(out / "figures" / "importance.svg", records)
        write_hparams(out / "logs" / "hparams", records)
        print_trials(records)
        _say_what_is_where(options, figure)
    for record in failed:
        print(f"trial {record.number}: {record.status}", file=sys.stderr)
    if records and len(failed) == len(records):
        reasons = {record.status for record in failed}
        why = (
            f"{failed[0].status.removeprefix('failed: ')}"
            if len(reasons) == 1
            else f"see {out / TRIALS_FILE}"
        )
        print(f"error: all {len(failed)} trials failed: {why}", file=sys.stderr)
    if not complete:
        print(
            f"stopped: the last worker is gone, {len(records)} of {options.trials} trials are done; "
            "start chief and workers again, and the search goes on",
            file=sys.stderr,
        )
    elif len(records) < options.trials:
        print(f"the space holds no more than these {len(records)} trials for {options.tuner}")
    return 0 if complete and records and not failed else 1


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
        table.add_column(name.replace("_", " "), justify="right", max_width=VALUE_WIDTH - 2)
    for record in [record for record in ranked(records) if record.result][:SHOWN]:
        table.add_row(*_cells(record), *(_value(record.values.get(name)) for name in shown))
    print()
    console.print(table)
    if len(names) > len(shown):
        print(f"searched too: {', '.join(names[len(shown) :])}")


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
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _say_what_is_where(options: argparse.Namespace, figure: Path | None) -> None:
    out = options.out
    print(f"\nall values of all trials: {out / 'trials.csv'}" + (f"; figure: {figure}" if figure else ""))
    print(f"tensorboard --logdir {shlex.quote(str(out / 'logs'))} shows the curves and HPARAMS")
    command = ["--recipes", str(out / "best.json"), "--data", options.data]
    if options.split != "grouped":
        command += ["--split", options.split]
    for name in ("groups", "limit"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    for pair in options.weights:
        command += ["--weights", pair]
    command += ["--skip-bad"] * options.skip_bad
    print(f"test the best: {to_type('compare')} {shlex.join(command)}", flush=True)


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

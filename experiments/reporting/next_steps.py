"""What a reader of a comparison may want to do next, as commands to paste."""

import shutil
import sys
from pathlib import Path

from experiments.cli.process import quoted
from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import Row

NOT_RECOMMENDED = "No recipe is recommended; to try"


def tensorboard_to_type() -> str:
    """What TensorBoard is called here and now; one that is not on the PATH has its folder."""
    own = Path(sys.executable).with_name("tensorboard")
    return quoted(own) if shutil.which("tensorboard") is None and own.is_file() else "tensorboard"


def tensorboard_commands(comparison: Comparison, program: str = "tensorboard") -> list[str]:
    """What shows the learning curves of each folder that has logs."""
    folders = dict.fromkeys(row.folder for row in comparison.finished if row.folder is not None)
    logs = [folder / "logs" for folder in folders]
    return [f"{program} --logdir {quoted(log)}" for log in logs if log.is_dir()]


def model_file(row: Row) -> Path | None:
    """The saved model, unchanged, of the seed with the highest validation accuracy; None without one."""
    best = sorted(row.runs, key=lambda record: -(record.result.val_accuracy if record.result else 0))
    names = [record.model_file for record in best if record.model_file not in row.not_as_recorded]
    files = [(row.folder or Path()) / name for name in names]
    return next((file for file in files if file.is_file()), None)


def model_to_use(comparison: Comparison) -> tuple[str, Path] | None:
    """What to do with a model, the recommended or else the most accurate that works, and its file.

    A model that lacks a surface, since it was left out to test it, is none to use.
    """
    for verdict in comparison.verdicts:
        row = verdict.chosen or verdict.best
        whole = not row.first.data.split.left_out
        file = model_file(row) if verdict.working and whole else None
        if file is not None:
            recommended = f"To classify images with {row.name}:"
            so_far = "the most accurate so far, " if len(verdict.rows) > 1 else ""
            return (recommended if verdict.chosen else f"{NOT_RECOMMENDED} {so_far}{row.name}:"), file
    return None


def predict_command(program: str, model: Path) -> str:
    """Asks `model` about images; `program` is what the predict command is called."""
    return f"{program} {quoted(model)} IMAGE_OR_FOLDER"

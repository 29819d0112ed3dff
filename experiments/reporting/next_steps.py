"""What a reader of a comparison may want to do next, as commands to paste."""

import shlex
import shutil
import sys
from pathlib import Path

from experiments.reporting.comparison import Comparison
from experiments.reporting.rows import Row


def tensorboard_to_type() -> str:
    """What TensorBoard is called here and now; one that is not on the PATH has its folder."""
    own = Path(sys.executable).with_name("tensorboard")
    return shlex.quote(str(own)) if shutil.which("tensorboard") is None and own.is_file() else "tensorboard"


def tensorboard_commands(comparison: Comparison, program: str = "tensorboard") -> list[str]:
    """What shows the learning curves of each folder that has logs."""
    folders = dict.fromkeys(row.folder for row in comparison.finished if row.folder is not None)
    logs = [folder / "logs" for folder in folders]
    return [f"{program} --logdir {shlex.quote(str(log))}" for log in logs if log.is_dir()]


def model_file(row: Row) -> Path | None:
    """The saved model of the seed with the highest validation accuracy; None where there is none."""
    best = sorted(row.finished, key=lambda record: -(record.result.val_accuracy if record.result else 0))
    files = [(row.folder or Path()) / "models" / f"{record.run_name}.keras" for record in best]
    return next((file for file in files if file.is_file()), None)


def models_to_use(comparison: Comparison) -> list[tuple[str, Path]]:
    """Name and saved model of each recommended row, else of the most accurate that works."""
    rows = [verdict.chosen or verdict.best for verdict in comparison.verdicts if verdict.working]
    found = [(row.name, model_file(row)) for row in rows]
    return [(name, file) for name, file in found if file is not None]


def predict_command(program: str, model: Path) -> str:
    """Asks `model` about images; `program` is what the predict command is called."""
    return f"{program} {shlex.quote(str(model))} IMAGE_OR_FOLDER"


def predict_program(row: Row) -> str:
    """What the predict command is called where the row's runs were started."""
    return "cnnzoo predict" if row.first.command.startswith("cnnzoo ") else "python -m experiments.predict"

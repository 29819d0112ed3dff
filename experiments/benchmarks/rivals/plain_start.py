"""An epoch in plain Keras in a process of its own, which tells when its first batch has ended."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from cnnzoo.limits import peak_memory
from experiments.cli.process import exit_code
from experiments.recipes.recipe import Recipe
from experiments.runs import child

MODULE = "experiments.benchmarks.rivals.plain_start"


@dataclass(frozen=True)
class PlainSpec:
    """The images, a folder per class, and the recipe whose first phase is trained."""

    recipe: Recipe
    folder: str
    num_classes: int
    weights_file: str

    @staticmethod
    def load(path: Path) -> "PlainSpec":
        """Reads what `child.ask` wrote."""
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), PlainSpec)


def train(spec: PlainSpec, tell: child.Tell) -> str:
    """Trains for an epoch; returns the peak of memory and when the second batch had ended, as JSON."""
    import keras

    from experiments.benchmarks.rivals import plain_keras

    seconds: list[float] = []

    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seconds.append(time.time() - psutil.Process().create_time())
            tell({"event": "progress", "phase": 0, "step": batch + 1})

    images = plain_keras.dataset(Path(spec.folder), spec.recipe)
    phase = spec.recipe.config.phases[0]
    model = plain_keras.model(
        spec.recipe, phase, num_classes=spec.num_classes, weights_file=spec.weights_file
    )
    model.fit(images, epochs=1, shuffle=False, verbose=0, callbacks=[Batches()])
    memory = peak_memory() / 2**20
    return json.dumps({"peak_memory_mb": memory, "second": seconds[1] if len(seconds) > 1 else None})


def main() -> int:
    """Serves `parts.start`. Returns the exit code."""
    return child.serve(PlainSpec.load, train)


if __name__ == "__main__":
    sys.exit(exit_code(main))

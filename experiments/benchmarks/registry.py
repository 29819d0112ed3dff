"""The parts of the table by name, and what a part is asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from experiments.benchmarks.rows import Row

FEW = 300  # images per class: enough for steady times

Tell = Callable[[str], None]


def unsaid(text: str, *, warning: bool = False) -> None:
    """Takes what people need not hear."""


@dataclass(frozen=True)
class Request:
    """What a user asks for; a part takes from it what it needs.

    Attributes:
        data: "synthetic" or a folder of images.
        limit: images per class; None for `FEW` where speed is measured, for all where accuracy is.
        recipes: names of recipes.
        weights: file with pretrained weights by model.
        out: folder of the results.
        runs: folders that `compare` wrote.
        python: interpreter with packages of others, as ultralytics; None for this one.
        epochs: of a phase, at most, where accuracy is measured; None for as many as the recipe has.
        rounds: how often each thing is timed.
    """

    data: str
    limit: int | None
    recipes: tuple[str, ...]
    weights: dict[str, str]
    out: Path
    runs: tuple[Path, ...] = ()
    python: Path | None = None
    epochs: int | None = None
    rounds: int = 3

    @property
    def few(self) -> int:
        """Images per class to measure speed with."""
        return self.limit or FEW


@dataclass(frozen=True)
class Part:
    """A part of the table.

    Attributes:
        name: what `--only` takes; its module in `experiments.benchmarks.parts` is called the same and has
            `measure(request, tell)`, which yields the rows as they are measured and tells what it does.
        about: what it measures, in a few words.
        device: which `--device` it is of.
        on_request: takes long, so only `--only` starts it.
    """

    name: str
    about: str
    device: str = "cpu"
    on_request: bool = False

    def measure(self, request: Request, tell: Tell) -> Iterator[Row]:
        """Yields the rows as they are measured."""
        module = import_module(f"experiments.benchmarks.parts.{self.name}")
        yield from module.measure(request, tell)


PARTS = {
    part.name: part
    for part in (
        Part("pipeline", "reading, resizing and augmenting images"),
        Part("training", "each phase of each recipe"),
        Part("inference", "the network of each recipe, images in memory"),
        Part("start", "from the command to what it does"),
        Part("time_to_accuracy", "seconds until the validation images are told apart", on_request=True),
        Part("ultralytics", "yolo11n-cls beside crack_net on the same split", on_request=True),
        Part("networks", "training and inference by batch size and precision", device="gpu"),
        Part("recipes", "seconds and accuracy of each recipe", device="gpu"),
    )
}

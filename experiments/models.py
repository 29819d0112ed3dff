"""`python -m experiments.models`: the registered models with their size and cost, one of them in detail."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.errors import InputError
from experiments.cli.arguments import Parser
from experiments.cli.process import called, exit_code, quiet_stderr
from experiments.style.text import human_count

if TYPE_CHECKING:
    from cnnzoo.models.registry import ModelInfo

HEADER = (
    "| model | year | pixels | parameters | multiply-adds | ImageNet weights | source |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def table_row(info: "ModelInfo") -> str:
    """Returns a model's line of the table; parameters and multiply-adds are of two classes at its size."""
    cells = (
        f"`{info.name}`",
        str(info.year),
        str(info.image_size),
        human_count(info.parameters),
        human_count(info.flops),
        "yes" if info.weights_available else "",
        f"[{info.source}]({info.url})",
    )
    return f"| {' | '.join(cells)} |"


def table_lines(names: Sequence[str]) -> Iterator[str]:
    """Yields the table line by line: each model is built to be counted, which takes a second or so."""
    from cnnzoo.models.catalogue import model_info

    yield from HEADER
    for name in names:
        with quiet_stderr():
            row = table_row(model_info(name))
        yield row


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table. Returns the exit code."""
    parser = Parser(
        prog=called("models"),
        description="List the models with year, default input size, parameters, multiply-adds of one image "
        "and source, as a Markdown table.",
    )
    parser.add_argument(
        "pattern",
        nargs="?",
        help='names, as in "*resnet*" or "keras/*" (default: all but those of keras.applications)',
    )
    parser.add_argument(
        "--summary", action="store_true", help="print every layer of each model, as Keras does"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.svg", help="draw the layers of one model, repeated blocks folded"
    )
    options = parser.parse_args(arguments)
    _check_plot(options.plot)
    with quiet_stderr():
        from cnnzoo.models.catalogue import list_models

        names = list_models(options.pattern or "*")
    if options.pattern is None:
        names = [name for name in names if "/" not in name]
    if not names:
        raise InputError(f"no model is named like {options.pattern!r}; list them without a pattern")
    if options.plot is not None and len(names) > 1:
        raise InputError(f"--plot draws one model, but {len(names)} are named like {options.pattern!r}")
    for line in table_lines(names):
        print(line, flush=True)
    for name in names if options.summary or options.plot else ():
        _show(name, options.plot, summary=options.summary)
    return 0


def _check_plot(path: Path | None) -> None:
    if path is None:
        return
    if path.suffix != ".svg":
        raise InputError(f"--plot {path}: the picture is an SVG; choose a name that ends in .svg")
    if not path.resolve().parent.is_dir():
        raise InputError(f"--plot {path}: its folder does not exist")


def _show(name: str, plot: Path | None, *, summary: bool) -> None:
    """Prints the layers of a model of two classes at its own input size, and draws them."""
    with quiet_stderr():
        from cnnzoo.models.catalogue import create_model, model_info

        model, info = create_model(name), model_info(name)
    if summary:
        model.summary(expand_nested=True)
    if plot is not None:
        from experiments.reporting.charts.network import draw_network
        from experiments.style.chart import save_chart

        title = f"{name}: {human_count(info.parameters)} parameters, {human_count(info.flops)} multiply-adds"
        save_chart(plot, lambda figure: draw_network(figure, model=model, title=title))
        print(f"The layers of {name} are drawn in {plot}.")


if __name__ == "__main__":
    sys.exit(exit_code(main))

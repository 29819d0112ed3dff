"""`python -m experiments.models`: the registered models with their size and cost, as a Markdown table."""

import sys
from collections.abc import Iterator, Sequence
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
    options = parser.parse_args(arguments)
    with quiet_stderr():
        from cnnzoo.models.catalogue import list_models

        names = list_models(options.pattern or "*")
    if options.pattern is None:
        names = [name for name in names if "/" not in name]
    if not names:
        raise InputError(f"no model is named like {options.pattern!r}; list them without a pattern")
    for line in table_lines(names):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

"""`python -m experiments.results`: results/README.md from its template and the records beside it."""

import sys
from collections.abc import Sequence

from cnnzoo.errors import InputError
from cnnzoo.files import write_whole
from experiments.cli.arguments import Parser
from experiments.cli.process import exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes results/README.md. Returns the exit code."""
    parser = Parser(
        prog="python -m experiments.results", description="Write results/README.md from its records."
    )
    parser.parse_args(arguments)
    from experiments.reporting.tables.results_page import FOLDER, TEMPLATE, render

    if not (FOLDER / TEMPLATE).is_file():
        raise InputError(f"{FOLDER / TEMPLATE}: no such file; this command needs a checkout of the project")
    write_whole(FOLDER / "README.md", render())
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

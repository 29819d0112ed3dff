"""`python -m experiments.report DIR ...`: tables, figures and page of comparisons from their records."""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.cli.arguments import Parser, make_folders
from experiments.cli.process import called, exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Renders folders again. Returns the exit code."""
    parser = Parser(
        prog=called("report"),
        description="Render tables, figures and report.html of comparisons again, without training.",
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="what cnnzoo compare wrote (--out); several are shown side by side",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: DIR itself; for several, report)"
    )
    options = parser.parse_args(arguments)
    from experiments.reporting.comparison import Comparison
    from experiments.reporting.tables.terminal import print_table
    from experiments.reporting.write import write_comparison

    out = options.out or (options.folders[0] if len(options.folders) == 1 else Path("report"))
    comparison = Comparison.of(options.folders)  # before a folder is made for nothing
    make_folders(out, ("figures",))
    write_comparison(out, comparison)
    print_table(comparison, out)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

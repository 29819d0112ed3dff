"""`cnnzoo COMMAND …`, or `python -m experiments COMMAND …`: the commands of this package by their names."""

import os
import sys
from argparse import RawDescriptionHelpFormatter
from importlib import import_module

from cnnzoo import __version__
from experiments.cli.arguments import Parser
from experiments.cli.process import exit_code

COMMANDS = {
    "compare": "train recipes on a folder of images and compare accuracy, time and size",
    "audit": "find copies, near-duplicates, leaks and labels worth a second look in folders of images",
    "predict": "say what a trained model sees on images, and how sure it is",
    "map": "map the cracks in whole photographs: pictures, outlines, lengths and a page",
    "demo": "open a page on this computer to drop photographs on: verdict, and where the cracks are",
    "export": "write a trained model as ONNX, LiteRT, OpenVINO or SavedModel, and compare what it says",
    "suggest": "choose the images whose labels would teach a model most",
    "report": "render tables, figures and page of comparisons again",
    "tune": "search the arguments of a model and its training",
    "models": "list the models",
    "bench": "measure how fast it is here, beside its limits and what one would use instead",
}


def main() -> int:
    """Runs the command that the first argument names. Returns its exit code."""
    # As `cnnzoo` itself, the processes that it starts import nothing that lies in the current folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    name = _parser().parse_args(sys.argv[1:2]).command
    del sys.argv[1]
    return exit_code(import_module(f"experiments.{name}").main)


def _parser() -> Parser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {what}" for name, what in COMMANDS.items())
    parser = Parser(
        prog="cnnzoo",
        formatter_class=RawDescriptionHelpFormatter,
        description="Which CNN tells the classes of your images apart, how sure that is, and what it costs.",
        epilog=f"commands:\n{listed}\n\nThe options of each: cnnzoo COMMAND --help. To start: cnnzoo compare",
    )
    parser.add_argument("--version", action="version", version=f"cnnzoo {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    return parser


if __name__ == "__main__":
    sys.exit(main())

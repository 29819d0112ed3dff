"""The command `cnnzoo demo [MODEL.keras]`: a page on this computer to drop photographs on."""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cnnzoo.backend import check_backend, import_keras
from cnnzoo.errors import InputError, printable
from cnnzoo.files import temporary_folder
from experiments.cli.arguments import Parser, existing_name
from experiments.cli.asked import SHIPPED
from experiments.cli.process import called, quiet_stderr
from experiments.cli.say import say
from experiments.cli.stopping import tell_if_stopped

if TYPE_CHECKING:
    from experiments.demo.answers import Answerer

HOST = "127.0.0.1"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; argparse ends a wrong one with exit code 2."""
    parser = Parser(
        prog=called("demo"),
        description="Open a page on this computer to drop, paste or take a picture: it shows the verdict "
        "with its probability and where the model looked, and in whole photographs the cracks. Nothing is "
        "sent elsewhere. Ctrl-C ends it.",
        epilog="Exit code: 2 an argument can't be used or a package is missing; it needs the extra demo: "
        "pip install 'cnnzoo[demo]'.",
    )
    parser.add_argument(
        "model",
        nargs="?",
        type=existing_name,
        metavar="MODEL.keras",
        help="as cnnzoo compare or export (.onnx, .tflite) writes it (default: the crack_net that comes with "
        "cnnzoo)",
    )
    parser.add_argument(
        "--host",
        default=HOST,
        metavar="NAME",
        help=f"address to listen on (default: {HOST}, which no other computer reaches; 0.0.0.0: all)",
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="port to listen on (default: the first free one from 7860 on)"
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="side of what one look covers, in pixels of a whole photograph (default: several are tried, "
        "which takes several times as long)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="probability from which on a tile counts as cracked: a lower one finds more "
        "(default: the model's)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves the page until it is stopped. Returns the exit code."""
    options = parse_arguments(arguments)
    tell_if_stopped("no picture was kept")
    check_backend()
    if options.port is not None and not 1 <= options.port <= 65535:
        raise InputError(f"--port {options.port}: it must be from 1 to 65535")
    if find_spec("gradio") is None:
        raise InputError("the page needs gradio, which is not installed: pip install 'cnnzoo[demo]'")
    from experiments.demo.kept import Kept
    from experiments.demo.server import address_of, be_silent, bound, is_local, serve

    with bound(options.host, options.port) as listening:
        folder = temporary_folder("demo")
        be_silent(folder)
        with quiet_stderr():
            import_keras()
            from experiments.demo.answers import Answerer
            from experiments.demo.examples import draw_examples

            answerer = Answerer(options.model, tile=options.tile, threshold=options.threshold)
            from experiments.demo.page import build_page

            examples = draw_examples(folder)
            kept = Kept(folder)
            page = build_page(answerer, options.model, examples, kept, local=is_local(listening))
        _say_who_answers(answerer, options)
        if not is_local(listening):
            say(
                f"warning: --host {options.host}: whoever reaches this computer can open the page, upload "
                "pictures and have them looked at, unencrypted",
                warning=True,
            )
        ready = f"Open {address_of(listening)} in a browser; Ctrl-C ends it"
        serve(page, listening, options.host, kept, lambda: say(ready))
    return 0


def _say_who_answers(answerer: "Answerer", options: argparse.Namespace) -> None:
    if options.model is None:
        say(f"Answered by the {SHIPPED} that comes with cnnzoo", warning=True)
    elif answerer.known.origin.warning:
        say(f"warning: {answerer.known.origin.warning}", warning=True)
    if answerer.no_maps:
        say(f"warning: whole photographs are not mapped: {printable(answerer.no_maps)}", warning=True)

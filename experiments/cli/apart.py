"""A function in a process of its own, which gives its memory back and ends with the one that asked."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any, ParamSpec, TypeVar

from cnnzoo.errors import InputError
from cnnzoo.processes import how_it_ended
from experiments.cli.stopping import end_with, show_cursor

Given = ParamSpec("Given")
Result = TypeVar("Result")


def apart(function: Callable[Given, Result], *arguments: Given.args, **named: Given.kwargs) -> Result:
    """Returns what a function of a module returns, or raises what it raises, from a process of its own.

    Raises:
        InputError: that was ended from outside, perhaps for want of memory.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    # What it works on follows once it runs: `start` waits for ever to hand over much to a process that died.
    process = context.Process(target=_answer, args=(theirs, os.getpid()))
    # The process is born deaf to Ctrl-C, which is for the parent, who ends its children.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    try:
        ours.send((function, arguments, named))
        fine, answer = ours.recv()
    except (EOFError, ConnectionError):
        process.join()
        raise InputError(
            f"a process of this command was {how_it_ended(process.exitcode or 0)}; if there is too little "
            "memory, take fewer images ({limit})",
            limit="limit",
        ) from None
    finally:
        process.kill()
        process.join()
        ours.close()
        show_cursor()
    if fine:
        return answer
    if isinstance(answer, MemoryError):
        raise InputError("there is too little memory; take fewer images ({limit})", limit="limit")
    raise answer


def _answer(channel: Any, parent: int) -> None:
    end_with(parent)
    function, arguments, named = channel.recv()
    try:
        answer = True, function(*arguments, **named)
    except Exception as error:
        answer = False, error
    channel.send(answer)

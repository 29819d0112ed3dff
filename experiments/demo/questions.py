"""What browsers may ask of the page: of a question that it could not have asked, Gradio sees nothing."""

from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from cnnzoo.errors import printable
from experiments.cli.say import say
from experiments.demo.kept import Kept

_KIND_OF_FILE = {"_type": "gradio.FileData"}  # how Gradio marks a file in a question
NOT_OURS = "This is no picture that was dropped on this page."
_FAILED = "This could not be answered."


def check_questions(page: gr.Blocks, kept: Kept) -> None:
    """Has the page refuse what it could not have asked, before a file is opened or an address looked up.

    Wherever in a question a file is named, Gradio copies it to where browsers can fetch it, even if it is
    no upload, and fetches it if the name is an address. So the whole question is checked, where all ways to
    ask one meet. A traceback for each that is malformed would fill the terminal: there is none.
    """
    page.has_launched = True  # Gradio's own check of files is off until then, and mounting doesn't set it
    process, said = page.process_api, set[str]()

    async def checked(block_fn: Any, inputs: Any, *others: Any, **more: Any) -> dict[str, Any]:
        if not _is_question(inputs, block_fn, kept):
            raise gr.Error(NOT_OURS, print_exception=False)
        try:
            return await process(block_fn, inputs, *others, **more)
        except gr.Error as error:
            raise gr.Error(error.message, print_exception=False) from error
        except Exception as error:
            _say_once(error, said)
            raise gr.Error(_FAILED, print_exception=False) from error

    page.process_api = checked


def _is_question(inputs: Any, block_fn: Any, kept: Kept) -> bool:
    """Whether each part of a question is one that its field can hold."""
    fields = getattr(block_fn, "inputs", None)
    if fields is None or not isinstance(inputs, list | tuple) or len(inputs) != len(fields):
        return False
    return all(_fits(field, value, kept) for field, value in zip(fields, inputs, strict=True))


def _fits(field: Any, value: Any, kept: Kept) -> bool:
    if isinstance(field, gr.Image):
        return value is None or _is_upload(value, kept)
    if isinstance(field, gr.Radio):
        return isinstance(value, str) and value in [chosen for _, chosen in field.choices]
    if isinstance(field, gr.Dataset):  # the examples: the number of one
        return isinstance(value, int) and 0 <= value < len(field.raw_samples)
    return False


def _is_upload(value: Any, kept: Kept) -> bool:
    """Whether it names a file in the page's own folder, and no other anywhere within."""
    if not isinstance(value, dict) or value.get("meta") != _KIND_OF_FILE:
        return False
    if any(isinstance(part, dict | list) for name, part in value.items() if name != "meta"):
        return False
    try:
        return kept.holds(FileData(**value).path)
    except ValueError:  # not as Gradio names a file
        return False


def _say_once(error: Exception, said: set[str]) -> None:
    """A fault of the page's own is told on the terminal, once for each kind."""
    kind = type(error).__name__
    if kind not in said:
        said.add(kind)
        say(f"warning: a picture could not be looked at: {kind}: {printable(str(error))[:200]}", warning=True)

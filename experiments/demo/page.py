"""The page: a picture on one side, the answer on the other. Gradio is imported here and in `server` alone."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from cnnzoo.data.images import MAX_PIXELS
from cnnzoo.errors import InputError
from experiments.demo.answers import CHOOSE, PHOTOGRAPH, TILE, Answerer
from experiments.demo.guard import MAX_BYTES
from experiments.demo.kept import KEPT_MINUTES, Kept
from experiments.demo.questions import check_questions
from experiments.demo.words import (
    TEMPLATES,
    answer_html,
    error_html,
    introduction,
    looking_html,
    waiting_html,
)

WAITING = 16  # questions that may wait for the model
_PROGRESS = gr.Progress()  # Gradio gives its own to who has one for a default

# Of the reader's system: none is asked for elsewhere.
_FONTS = ("system-ui", "DejaVu Sans", "sans-serif")


def build_page(
    answerer: Answerer, model: Path | None, examples: Sequence[Path], kept: Kept, *, local: bool
) -> gr.Blocks:
    """Returns the page for a model, `None` for that of the package; `local`: no other computer reaches it."""
    with gr.Blocks(title="cnnzoo demo", analytics_enabled=False) as page:
        gr.HTML(introduction(answerer, model, local=local), elem_id="introduction", padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(elem_id="asked"):
                picture, way = _questions(answerer, examples)
            with gr.Column(elem_id="answered"):
                said = gr.HTML(waiting_html(), elem_id="answer", padding=False)
                seen = gr.Image(
                    label="Where it looked",
                    type="numpy",
                    format="jpeg",
                    interactive=False,
                    visible=False,
                    buttons=["download", "fullscreen"],
                    elem_id="seen",
                )

        def answered(
            path: str | None, chosen: str, progress: gr.Progress = _PROGRESS
        ) -> Iterator[tuple[str, Any]]:
            if path is not None:
                yield looking_html(), gr.update(value=None, visible=False)
            yield _answered(answerer, path, chosen, lambda share: progress(share, desc="Looking"))

        gr.on(
            [picture.change, way.input],
            answered,
            inputs=[picture, way],
            outputs=[said, seen],
            concurrency_limit=1,
            concurrency_id="model",
            trigger_mode="always_last",
            show_progress="minimal",
            show_progress_on=[said],
            api_visibility="private",
        )
    page.queue(max_size=WAITING, api_open=False, default_concurrency_limit=1)
    check_questions(page, kept)
    return page


def _questions(answerer: Answerer, examples: Sequence[Path]) -> tuple[gr.Image, gr.Radio]:
    """The field for a picture with examples, and how it is looked at."""
    picture = gr.Image(
        label="Picture",
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        webcam_options=gr.WebcamOptions(mirror=False, constraints={"video": {"facingMode": "environment"}}),
        buttons=["fullscreen"],
        height=360,
        placeholder=f"Drop a picture here, or click to choose one\nup to {MAX_BYTES >> 20} MB and "
        f"{MAX_PIXELS / 1e6:.0f} megapixels",
        elem_id="picture",
    )
    # Gradio reads a picture by Pillow and writes it anew: without HEIC, with 16 bits cut off, and with words
    # of its own for what is no image. Our reader is to have the file. (A class derived from gr.Image would
    # do, but of that Gradio writes a .pyi file beside the module.)
    picture.preprocess = _uploaded
    with gr.Column(elem_id="examples"):
        gr.Examples(
            [[str(path)] for path in examples],
            inputs=[picture],
            label="Examples, drawn by cnnzoo",
            cache_examples=False,
        )
    way = gr.Radio(
        [CHOOSE, TILE, PHOTOGRAPH],
        value=CHOOSE,
        label="Look at it as",
        info="A tile shows as much wall as the images of the training, and gets one verdict. In a "
        "photograph, much larger, the cracks are mapped.",
        visible=not answerer.no_maps,
        elem_id="way",
    )
    return picture, way


def _uploaded(payload: ImageData | None) -> str | None:
    return None if payload is None else payload.path


def _answered(
    answerer: Answerer, path: str | None, way: str, told: Callable[[float], None]
) -> tuple[str, Any]:
    """The answer, and an update of the picture beside it."""
    if path is None:
        return waiting_html(), gr.update(value=None, visible=False)
    file = Path(path)
    if not file.exists():
        said = f"{file.name}: deleted, as pictures are after {KEPT_MINUTES} minutes; drop it again."
        return error_html(said), gr.update(value=None, visible=False)
    try:
        answer = answerer.answer(file, way, told)
    except InputError as error:
        return error_html(str(error)), gr.update(value=None, visible=False)
    label = "Cracks" if answer.photograph is not None else "Where it looked"
    shown = gr.update(value=answer.picture, visible=answer.picture is not None, label=label)
    return answer_html(answerer, answer), shown


def theme() -> gr.themes.Base:
    """The looks of Gradio's parts, in the colours of the reports."""
    fonts = [gr.themes.Font(name) for name in _FONTS]
    return gr.themes.Base(
        primary_hue="blue", neutral_hue="zinc", font=fonts, font_mono=[gr.themes.Font("monospace")]
    )


def style() -> str:
    """The looks of the answer."""
    return (TEMPLATES / "page.css").read_text(encoding="utf-8")


def head() -> str:
    """What the page's head has besides Gradio's."""
    return f'<script type="module">{(TEMPLATES / "page.js").read_text(encoding="utf-8")}</script>'

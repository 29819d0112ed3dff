"""A network as a picture: its layers from input to output, deep ones folded into their repeated blocks.

Not by `keras.utils.plot_model`, which needs the program Graphviz and draws each of a ResNet's 175 layers.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from experiments.style.chart import BLACK, BLUE, GREEN, GREY, INK, ORANGE, PURPLE
from experiments.style.text import human_count

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LINE, GAP = 6.6, 0.2, 0.24  # inches: of the picture, of a line, between two boxes
CHARACTERS = 68  # of a line
NUMBERS = "#0b5d8f"  # the colour of the parameters
KINDS = {"convolution": BLUE, "pooling": GREEN, "dense": ORANGE, "block": PURPLE, "other": GREY}
BESIDE = ("BatchNormalization", "ReLU", "Activation", "Dropout", "LayerNormalization")  # go on in their line
UNSEEN = ("InputLayer", "ZeroPadding2D")
MERGES = {"Add": ("Residual:", " + "), "Concatenate": ("Joined:", " and ")}

TITLES = {
    "Conv2D": "Conv",
    "DepthwiseConv2D": "Depthwise conv",
    "SeparableConv2D": "Separable conv",
    "MaxPooling2D": "Max pooling",
    "AveragePooling2D": "Average pooling",
    "GlobalAveragePooling2D": "Global average pooling",
    "GlobalMaxPooling2D": "Global max pooling",
    "BatchNormalization": "batch norm",
    "LayerNormalization": "layer norm",
    "Take": "Channels in another order",
}


@dataclass(frozen=True)
class Step:
    """A layer with what belongs to it, or a block with several branches.

    Attributes:
        text: of it, as `Conv 3×3, 32 · batch norm · ReLU`.
        kind: one of `KINDS`.
        shape: of its output, without the batch.
        parameters: of all of them.
        times: how many that look the same follow each other.
    """

    text: str
    kind: str
    shape: tuple[int | None, ...]
    parameters: int
    times: int = 1

    @property
    def looks(self) -> tuple[str, str, str]:
        return self.text, self.kind, _size(self)


def steps_of(model: "keras.Model") -> list[Step]:
    """Returns what `model` computes, in order; steps that look the same are one with a count."""
    folded: list[Step] = []
    for step in _steps(model):
        if folded and (before := folded[-1]).looks == step.looks:
            total = before.parameters + step.parameters
            folded[-1] = replace(step, times=before.times + 1, parameters=total)
        else:
            folded.append(step)
    return folded


def _steps(model: "keras.Model") -> Iterator[Step]:
    """Layers one after the other, each with its norm and activation; what branches is one block."""
    waiting: Step | None = None
    for segment in _segments(model):
        (*_, last) = segment
        if len(segment) == 1 and hasattr(last.operation, "_nodes_by_depth"):  # a backbone in a model
            found = list(_steps(last.operation))
        elif len(segment) == 1:
            found = [] if _name(last) in UNSEEN else [_step(last)]
        else:
            found = [_block(segment)]
        for step in found:
            if waiting is not None and len(segment) == 1 and _name(last) in BESIDE:
                waiting = replace(
                    waiting,
                    text=" · ".join(filter(None, (waiting.text, step.text))),
                    parameters=waiting.parameters + step.parameters,
                )
                continue
            if waiting is not None:
                yield waiting
            waiting = step
    if waiting is not None:
        yield waiting


def _segments(model: "keras.Model") -> Iterator[list[Any]]:
    """The nodes of the graph, cut wherever everything passes through one tensor."""
    depths = model._nodes_by_depth
    nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
    place = {id(node): i for i, node in enumerate(nodes)}
    last_use = list(range(len(nodes)))
    for i, node in enumerate(nodes):
        for parent in node.parent_nodes:
            j = place.get(id(parent), i)
            last_use[j] = max(last_use[j], i)
    segment, open_until = [], -1
    for i, node in enumerate(nodes):
        segment.append(node)
        if open_until <= i:
            yield segment
            segment = []
        open_until = max(open_until, last_use[i])


def _block(nodes: Sequence[Any]) -> Step:
    """What happens between a fork and where its branches meet, as one step."""
    *_, last = nodes
    inside = {id(node): node for node in nodes}
    branches = [_names(_branch(parent, inside)) for parent in last.parent_nodes]
    branches.sort(key=len, reverse=True)
    sides = [" → ".join(branch) or "input" for branch in branches]
    start, between = MERGES.get(_name(last), (f"{_text(last.operation)} of", " and "))
    return Step(
        text=f"{start} {between.join(sides)}",
        kind="block",
        shape=tuple(last.output_tensors[0].shape[1:]),
        parameters=sum(_parameters(node) for node in nodes),
    )


def _branch(node: Any, inside: dict[int, Any]) -> list[Any]:
    """A node with those before it, back to where the block forks."""
    if id(node) not in inside:
        return []
    before = {id(found): found for parent in node.parent_nodes for found in _branch(parent, inside)}
    return [*before.values(), node]


def _names(nodes: Sequence[Any]) -> list[str]:
    """The layers of a branch, of one with convolutions these alone; equal ones are counted."""
    main = [node for node in nodes if _kind(_name(node)) in ("convolution", "dense")]
    counted = [(text, len(list(same))) for text, same in groupby(_text(n.operation) for n in main or nodes)]
    return [f"{count} × {text}" if count > 1 else text for text, count in counted]


def _step(node: Any) -> Step:
    return Step(
        _text(node.operation),
        _kind(_name(node)),
        tuple(node.output_tensors[0].shape[1:]),
        _parameters(node),
    )


def _name(node: Any) -> str:
    return type(node.operation).__name__


def _parameters(node: Any) -> int:
    return node.operation.count_params() if hasattr(node.operation, "count_params") else 0


def _kind(name: str) -> str:
    words = {"Conv": "convolution", "Pool": "pooling", "Dense": "dense", "Flatten": "pooling"}
    return next((kind for word, kind in words.items() if word in name), "other")


def _text(layer: Any) -> str:
    """What a layer does, as `Conv 3×3, 32, stride 2, relu`."""
    name = type(layer).__name__
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    parts = [TITLES.get(name, name) + (f" {'×'.join(map(str, size))}" if size else "")]
    for field in ("filters", "units"):
        if isinstance(count := getattr(layer, field, None), int):
            parts.append(f"{count:,}")
    strides = getattr(layer, "strides", None) or (1,)
    if getattr(layer, "kernel_size", None) and max(strides) > 1:
        parts.append(f"stride {max(strides)}")
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if name == "Activation":
        return activation
    if name == "ReLU":
        return "ReLU" if layer.max_value is None else f"ReLU {layer.max_value:g}"
    if name == "Dropout":
        return f"dropout {layer.rate:g}" if layer.rate else ""
    return ", ".join(parts + [activation] * (activation != "linear"))


def draw_network(figure: "Figure", *, model: "keras.Model", title: str) -> None:
    """Fills `figure`: a box for each size of the features, its steps line by line, with their parameters."""
    stages = [(size, list(steps)) for size, steps in groupby(steps_of(model), key=lambda step: _size(step))]
    lines = [[_lines(step) for step in steps] for _, steps in stages]
    height = 1.1 + sum(LINE * (1.5 + sum(map(len, stage))) + GAP for stage in lines)
    figure.set_size_inches(WIDTH, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    axes.text(WIDTH / 2, 0.25, title, ha="center", va="center", fontsize=11, color=BLACK)
    shape = " × ".join(str(side) for side in model.input_shape[1:])
    y = _arrow(axes, 0.5, f"input {shape}")
    for (size, steps), texts in zip(stages, lines, strict=True):
        y = _stage(axes, y, size, steps, texts)
        y = _arrow(axes, y, _shape(steps[-1]))
    _legend(axes, y, {step.kind for _, steps in stages for step in steps})


def _size(step: Step) -> str:
    """What a stage shares: height and width of the features; empty for vectors."""
    return f"{step.shape[0]} × {step.shape[1]}" if len(step.shape) == 3 else ""


def _shape(step: Step) -> str:
    return " × ".join(str(side) for side in step.shape)


def _lines(step: Step) -> list[str]:
    return textwrap.wrap(step.text, CHARACTERS, break_long_words=False)


def _arrow(axes: "Axes", y: float, text: str) -> float:
    """An arrow down with what flows there; returns where the next box begins."""
    axes.annotate("", (WIDTH / 2, y + GAP), (WIDTH / 2, y), arrowprops={"arrowstyle": "-|>", "color": GREY})
    axes.text(WIDTH / 2 + 0.12, y + GAP / 2, text, va="center", fontsize=7.5, color=GREY)
    return y + GAP


def _stage(axes: "Axes", y: float, size: str, steps: Sequence[Step], texts: Sequence[list[str]]) -> float:
    """A box with its steps; returns where it ends."""
    from matplotlib.patches import FancyBboxPatch, Rectangle

    height = LINE * (1.5 + sum(map(len, texts)))
    box = FancyBboxPatch(
        (0.25, y), WIDTH - 0.5, height, boxstyle="round,pad=0,rounding_size=0.06", facecolor="#f6f6f8",
        edgecolor="#c8c8d0", linewidth=0.8,
    )  # fmt: skip
    axes.add_patch(box)
    axes.text(0.4, y + 0.14, f"{size} pixels" if size else "vector", va="center", fontsize=8, color=GREY)
    place = y + 0.24
    for step, lines in zip(steps, texts, strict=True):
        bar = Rectangle(
            (0.4, place + 0.03), 0.07, LINE * len(lines) - 0.06, facecolor=KINDS[step.kind], edgecolor="none"
        )
        axes.add_patch(bar)
        for i, line in enumerate(lines):
            axes.text(0.55, place + LINE * (i + 0.5), line, va="center", fontsize=8, color=INK)
        middle = place + LINE * len(lines) / 2
        if step.times > 1:
            axes.text(WIDTH - 0.95, middle, f"× {step.times}", ha="right", va="center", fontsize=9)
        if step.parameters:
            total = human_count(step.parameters)
            axes.text(WIDTH - 0.4, middle, total, ha="right", va="center", fontsize=8, color=NUMBERS)
        place += LINE * len(lines)
    return y + height


def _legend(axes: "Axes", y: float, kinds: set[str]) -> None:
    from matplotlib.patches import Rectangle

    x = 0.4
    for kind in (kind for kind in KINDS if kind in kinds):
        axes.add_patch(Rectangle((x, y + 0.12), 0.1, 0.1, facecolor=KINDS[kind], edgecolor="none"))
        axes.text(x + 0.15, y + 0.175, kind, va="center", fontsize=8, color=INK)
        x += 0.35 + 0.075 * len(kind)
    axes.text(WIDTH - 0.4, y + 0.175, "right: parameters", ha="right", va="center", fontsize=8, color=NUMBERS)

"""The picture of a network: folded, complete, and legible for every model."""

import xml.etree.ElementTree as ET

import pytest

import cnnzoo
from experiments.models import main
from experiments.reporting.charts.network import steps_of


@pytest.mark.parametrize(
    ("name", "most"), [("three_conv", 12), ("crack_net", 14), ("mobilenet_v2", 32), ("resnet50", 16)]
)
def test_every_parameter_is_in_a_step_and_deep_networks_are_folded(name, most):
    model = cnnzoo.create_model(name)
    steps = steps_of(model)
    assert sum(step.parameters for step in steps) == model.count_params()
    assert len(steps) <= most
    assert steps[-1].shape == model.output_shape[1:]


def test_residual_blocks_are_counted():
    steps = steps_of(cnnzoo.create_model("resnet50"))
    assert [step.times for step in steps if step.text.startswith("Residual")] == [1, 2, 1, 3, 1, 5, 1, 2]
    last = [step for step in steps if step.text.startswith("Residual")][-1]
    assert last.text == "Residual: Conv 1×1, 512 → Conv 3×3, 512 → Conv 1×1, 2,048 + input · ReLU"


def test_the_command_prints_the_summary_and_draws_the_layers(tmp_path, capsys):
    picture = tmp_path / "net.svg"
    assert main(["crack_net", "--summary", "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "stage2_1_conv (Conv2D)" in printed and "Total params" in printed
    assert printed.splitlines()[-1] == f"The layers of crack_net are drawn in {picture}."
    text = " ".join(ET.parse(picture).getroot().itertext())
    assert "Conv 7×7, 16, stride 4" in text and "129 k parameters" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["crack_net", "--plot", "net.png"], "ends in .svg"),
        (["crack_net", "--plot", "nowhere/net.svg"], "does not exist"),
        (["*resnet*", "--plot", "net.svg"], "draws one model"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_built(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cnnzoo.InputError, match=message):
        main(arguments)

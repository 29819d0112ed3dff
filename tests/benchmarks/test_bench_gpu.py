"""`bench --device gpu` in small on the processor: what it measures, and what it says of failures."""

import json
import sys
from pathlib import Path

import keras
import pytest

import cnnzoo
from cnnzoo.models.flops import count_flops
from experiments import bench
from experiments.benchmarks import on_gpu
from experiments.benchmarks.parts import networks, recipes
from experiments.benchmarks.parts.networks import Network, Scale
from experiments.benchmarks.registry import Request
from experiments.benchmarks.rivals import torch_gpu
from experiments.cli.process import exit_code

GROUPED = Path(__file__).parents[2] / "results" / "metu_half" / "grouped"
SMALL = Scale(batches=(4,), steps=3, rounds=2, side=64)


def request(out, **values):
    return Request("synthetic", 8, ("crack_net",), {}, out, **values)


@pytest.fixture
def interpreter(tmp_path):
    """Makes a stand-in for a Python that has PyTorch, which says and returns what it is told."""

    def make(said, code=0):
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\ncat <<'END' >&{1 if code == 0 else 2}\n{said}\nEND\nexit {code}\n")
        file.chmod(0o755)
        return file

    return make


def test_without_a_gpu_it_ends_with_a_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "apart", lambda function: ("tensorflow", []))
    assert exit_code(lambda: bench.main(["--device", "gpu", "--out", str(tmp_path / "new")])) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--device gpu: tensorflow sees no GPU here" in said
    assert not (tmp_path / "new").exists()


def test_a_rate_is_the_multiply_adds_of_a_product_by_its_seconds(monkeypatch):
    now = iter(range(100))  # each look at the clock is a second later: a lap takes one
    monkeypatch.setattr(on_gpu.time, "perf_counter", lambda: next(now))
    assert on_gpu.matrix_product_rate("mixed_bfloat16", 32) == pytest.approx(32**3 * on_gpu.PRODUCTS)


def test_a_network_trains_and_predicts_in_the_precision_asked_for(monkeypatch):
    built = []
    create_model = cnnzoo.create_model
    monkeypatch.setattr(
        cnnzoo, "create_model", lambda *a, **k: built.append(create_model(*a, **k)) or built[0]
    )
    try:
        found = on_gpu.speeds("crack_net", 32, 4, "mixed_bfloat16", steps=3, rounds=2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert built[0].optimizer.iterations == 3 * (1 + 2)
    assert "bfloat16" in {layer.compute_dtype for layer in built[0].layers}
    assert found["inference"].flops == count_flops(built[0])
    assert found["training"].flops == 3 * found["inference"].flops
    assert all(speed.images_per_second > 0 for speed in found.values())


def test_rows_have_the_limit_of_their_precision_and_failures_their_reason(tmp_path, monkeypatch):
    def apart(function, *arguments):
        if function is on_gpu.matrix_product_rate:
            return {"float32": 1e12, "mixed_bfloat16": 4e12}[arguments[0]]
        if arguments[0] == "resnet50":
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return {"training": on_gpu.Speed(100.0, 10**9, 0.1), "inference": on_gpu.Speed(400.0, 10**9, 0.1)}

    monkeypatch.setattr(networks, "apart", apart)
    monkeypatch.setattr(torch_gpu, "missing", lambda python: "no PyTorch")
    some = Network("resnet50", 64), Network("crack_net", 32)
    rows = list(networks.measure_networks(some, SMALL, request(tmp_path), lambda text: None))
    by_name = {row.name: row for row in rows}
    assert len(by_name) == len(rows) == 2 * (1 + 1 + 2)
    slow, fast = (by_name[f"crack_net at 32, {p}, batches of 4: training"] for p in networks.PRECISIONS)
    assert (slow.share, fast.share) == (0.1, 0.025)
    assert (slow.rival, slow.note) == (None, "no PyTorch")
    failed = by_name["resnet50 at 64, float32, batches of 4"]
    assert failed.value is None
    assert "out of memory" in failed.note


def test_pytorch_stands_beside_with_who_made_its_network(tmp_path, monkeypatch, interpreter):
    said = json.dumps({"maker": "timm", "training": 50.0, "inference": 100.0})
    monkeypatch.setattr(
        networks,
        "apart",
        lambda function, *_: (
            1e12 if function is on_gpu.matrix_product_rate else {"training": on_gpu.Speed(100.0, 10**9, 0.1)}
        ),
    )
    asked = request(tmp_path, python=interpreter(said))
    rows = list(networks.measure_networks([Network("resnet50", 64)], SMALL, asked, lambda text: None))
    assert rows[1].ratio == 2
    assert rows[1].rival_name == "timm, channels_last, torch.compile"


def test_pytorch_that_fails_is_a_reason(interpreter):
    python = interpreter("Traceback\nCUDA error: out of memory", code=1)
    with pytest.raises(torch_gpu.NoRival, match="PyTorch failed: CUDA error: out of memory"):
        torch_gpu.speeds("resnet50", 64, 4, "float32", SMALL, python=python)
    with pytest.raises(torch_gpu.NoRival, match="neither timm nor torchvision has crack_net"):
        torch_gpu.speeds("crack_net", 64, 4, "float32", SMALL, python=python)


def test_a_recipes_row_has_the_seconds_and_accuracies_of_its_records(tmp_path):
    asked = Request("synthetic", None, ("crack_net", "resnet50_128"), {}, tmp_path, runs=(GROUPED,))
    rows = list(recipes.measure(asked, lambda text: None))
    lines = [json.loads(line) for line in (GROUPED / "runs.jsonl").read_text().splitlines()]
    results = [line["result"] for line in lines if line["recipe"] == "crack_net" and line["result"]]
    assert (
        min(r["train_seconds"] for r in results) <= rows[0].value <= max(r["train_seconds"] for r in results)
    )
    assert all(f"{result['test_accuracy']:.4f}" in rows[0].note for result in results)
    assert rows[1].value is None
    assert rows[1].note


@pytest.mark.slow
def test_the_command_in_small_on_the_processor(tmp_path):
    """Each network's process for real, and PyTorch where this interpreter has it."""
    asked = request(tmp_path, python=Path(sys.executable))
    rows = list(networks.measure_networks([Network("crack_net", 32)], SMALL, asked, lambda text: None))
    assert [row.value for row in rows if not row.value] == []
    assert len(rows) == 2 * (1 + 2)

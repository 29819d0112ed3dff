"""Speeds of a network in PyTorch: `python torch_gpu_script.py NETWORK PIXELS BATCH PRECISION STEPS ROUNDS`.

A program of its own, which needs torch, with timm or torchvision, and nothing of cnnzoo. It prints a line of
JSON: what the network comes from, and images a second in training and inference, by the median of the laps.
Channels last, compiled, mixed precision by autocast, SGD, one batch of images that lies on the device.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

TIMM = {"resnet50": "resnet50", "mobilenet_v2": "mobilenetv2_100"}
CLASSES = 2


def network(name: str) -> tuple[str, nn.Module]:
    """Returns who made the network, and the network."""
    try:
        import timm

        return "timm", timm.create_model(TIMM[name], num_classes=CLASSES)
    except ImportError:
        import torchvision

        return "torchvision", getattr(torchvision.models, name)(num_classes=CLASSES)


def seconds(action: Callable[[], object], steps: int, rounds: int, device: str) -> float:
    """Returns the median time of a lap of `steps`, after one to warm up, which compiles."""
    laps = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        for _ in range(steps):
            action()
        if device == "cuda":
            torch.cuda.synchronize()
        laps.append(time.perf_counter() - start)
    return statistics.median(laps[1:])


def main() -> None:
    """Measures and prints."""
    name, precision = sys.argv[1], sys.argv[4]
    pixels, batch, steps, rounds = (int(sys.argv[i]) for i in (2, 3, 5, 6))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")  # TF32, as JAX multiplies float32
    torch.backends.cudnn.benchmark = True
    maker, plain = network(name)
    plain = plain.to(device, memory_format=torch.channels_last)
    model = torch.compile(plain)
    optimizer, loss = torch.optim.SGD(plain.parameters(), 1e-3), nn.CrossEntropyLoss()
    images = torch.randint(0, 256, (batch, 3, pixels, pixels), dtype=torch.uint8, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,), device=device)

    def outputs() -> Any:
        mixed = torch.autocast(device, torch.bfloat16) if precision != "float32" else nullcontext()
        with mixed:
            return model(images.float() / 127.5 - 1)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(outputs(), labels).backward()
        optimizer.step()

    def predict() -> None:
        with torch.inference_mode():
            outputs()

    found = {"maker": maker, "training": steps * batch / seconds(train, steps, rounds, device)}
    plain.eval()
    found["inference"] = steps * batch / seconds(predict, steps, rounds, device)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

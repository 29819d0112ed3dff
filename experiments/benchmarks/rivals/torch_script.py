"""Trains and asks a network in PyTorch: `python torch_script.py NETWORK PIXELS BATCH TRAINABLE`.

A program of its own, which needs torch and torchvision and nothing of cnnzoo. For each line on its stdin,
`train COUNT` or `predict COUNT`, it does so with COUNT images that lie in memory and answers with wall and
processor seconds. Layers and images are channels last; batch norms of a pretrained network keep their
statistics, as in the recipes.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator

import torch
import torchvision
from torch import nn

CLASSES = 2
DROPOUT = {"mobilenet_v2": 0.3, "resnet50": 0.0}


def three_conv(pixels: int) -> nn.Sequential:
    """Builds three convolutions and a dense layer."""
    layers: list[nn.Module] = []
    channels = 3
    for filters in (16, 32, 32):
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)]
        channels = filters
    features = channels * (pixels // 8) ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def network(name: str, pixels: int, trainable: str) -> tuple[nn.Module, nn.Module]:
    """Returns what is frozen and what trains, one behind the other."""
    if name == "three_conv":
        return nn.Identity(), three_conv(pixels)
    if name == "mobilenet_v2":
        whole = torchvision.models.mobilenet_v2(weights=None)
        stages, width = list(whole.features), whole.last_channel
    else:
        whole = torchvision.models.resnet50(weights=None)
        *stages, _, _ = whole.children()
        width = whole.fc.in_features
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT[name]), nn.Linear(width, CLASSES)]
    first = first_trainable(stages, trainable)
    return nn.Sequential(*stages[:first]).eval(), nn.Sequential(nn.Sequential(*stages[first:]).eval(), *head)


def first_trainable(stages: list[nn.Module], trainable: str) -> int:
    """Returns the place of the first stage that trains; block_11 of Keras is the thirteenth stage here."""
    if trainable in ("all", "head"):
        return len(stages) if trainable == "head" else 0
    found = re.match(r"block_(\d+)_", trainable)
    if found is None:
        raise SystemExit(f"no stage is known for {trainable}")
    return int(found[1]) + 1


def batches(count: int, batch: int, pixels: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields images, as floats about 0, and labels."""
    images = torch.randint(0, 256, (batch, 3, pixels, pixels), dtype=torch.uint8)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,))
    for left in range(count, 0, -batch):
        yield images[:left].float() / 127.5 - 1, labels[:left]


def main() -> None:
    """Answers until stdin ends."""
    name, size, batch_size, trainable = sys.argv[1:]
    pixels, batch = int(size), int(batch_size)
    torch.manual_seed(0)
    frozen, trained = (
        part.to(memory_format=torch.channels_last) for part in network(name, pixels, trainable)
    )
    frozen.requires_grad_(False)
    optimizer, loss = torch.optim.Adam(trained.parameters(), 1e-4), nn.CrossEntropyLoss()

    def train(count: int) -> None:
        for images, labels in batches(count, batch, pixels):
            with torch.no_grad():
                features = frozen(images)
            optimizer.zero_grad(set_to_none=True)
            loss(trained(features), labels).backward()
            optimizer.step()

    def predict(count: int) -> None:
        with torch.inference_mode():
            for images, _ in batches(count, batch, pixels):
                trained(frozen(images))

    actions: dict[str, Callable[[int], None]] = {"train": train, "predict": predict}
    for line in sys.stdin:
        action, count = line.split()
        wall, cpu = time.perf_counter(), time.process_time()
        actions[action](int(count))
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()

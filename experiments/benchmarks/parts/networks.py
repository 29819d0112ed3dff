"""Networks on a GPU, by batch size and precision, beside what its matrix units do and beside PyTorch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cnnzoo.errors import one_line
from experiments.benchmarks.registry import Request, Tell
from experiments.benchmarks.rivals import torch_gpu
from experiments.benchmarks.rows import Row
from experiments.cli.apart import apart


@dataclass(frozen=True)
class Network:
    """A registered model at a size in pixels."""

    name: str
    pixels: int


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        batches: sizes of a batch.
        steps: batches in a lap.
        rounds: laps that are timed, after one that is not.
        side: of the square matrices whose product is the limit.
    """

    batches: tuple[int, ...] = (64, 256, 1024)
    steps: int = 16
    rounds: int = 3
    side: int = 8192


NETWORKS = Network("resnet50", 224), Network("mobilenet_v2", 224), Network("crack_net", 160)
PRECISIONS = "float32", "mixed_bfloat16"


def measure(request: Request, tell: Tell) -> Iterator[Row]:
    """Yields rows of each network: images/s in training and inference."""
    yield from measure_networks(NETWORKS, Scale(rounds=request.rounds), request, tell)


def measure_networks(
    networks: Sequence[Network], scale: Scale, request: Request, tell: Tell
) -> Iterator[Row]:
    """Yields the product of matrices and the networks' rows by precision.

    Each of ours and each rival has a process of its own: frameworks give memory back at their end alone.
    """
    from experiments.benchmarks.on_gpu import matrix_product_rate

    torch = torch_gpu.missing(request.python)
    for precision in PRECISIONS:
        tell(f"multiplying {precision} matrices")
        rate = apart(matrix_product_rate, precision, scale.side)
        yield Row(f"product of {precision} matrices", rate / 1e9, "G multiply-adds/s")
        for network in networks:
            for batch in scale.batches:
                tell(f"{network.name} in {precision}, batches of {batch}")
                yield from _rows(network, batch, precision, rate, scale, request, torch)


def _rows(
    network: Network, batch: int, precision: str, rate: float, scale: Scale, request: Request, missing: str
) -> Iterator[Row]:
    """Training and inference; what fails, as for want of memory, is a row that says why."""
    from experiments.benchmarks.on_gpu import speeds

    title = f"{network.name} at {network.pixels}, {precision}, batches of {batch}"
    try:
        ours = apart(speeds, network.name, network.pixels, batch, precision, scale.steps, scale.rounds)
    except Exception as error:
        yield Row(title, None, "images/s", note=one_line(error))
        return
    rivals: dict[str, float] = {}
    rival_name, note = "", missing
    if not missing:
        try:
            rival_name, rivals = torch_gpu.speeds(
                network.name, network.pixels, batch, precision, scale, python=request.python
            )
        except torch_gpu.NoRival as error:
            note = one_line(error)
    for what, speed in ours.items():
        yield Row(
            f"{title}: {what}",
            speed.images_per_second,
            "images/s",
            rival=rivals.get(what),
            rival_name=rival_name,
            limit=rate / speed.flops,
            limit_name=f"a {precision} matrix product",
            noise=speed.noise,
            note=note,
        )

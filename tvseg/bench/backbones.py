"""MobileNetV2 with TVConv in every layer beside the depthwise one: inference and training."""

import copy
import statistics
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from tvseg.bench.measurement import FORWARD, Measurement
from tvseg.bench.network_state import freeze_in, settled
from tvseg.bench.targets import STEP
from tvseg.bench.timing import Call, interleave, ratio
from tvseg.bench.zoo import LAYOUTS, MAX_ERROR, SIDE, largest_error
from tvseg.models.backbones import mobilenet_v2
from tvseg.training.fit import make_optimizer

BATCHES = (1, 16)
WIDTHS = (0.1, 1.0)


def measure_backbones(
    *,
    rounds: int,
    say: Callable[[str], None],
    images: int = 128,
    device: torch.device,
) -> Iterator[Measurement]:
    """Time both networks in turn, in both memory formats.

    Args:
        rounds: Timed calls of each network.
        say: Gets the name of what is measured next.
        images: Of a training step.
        device: Where to compute.

    Yields:
        A row per width, batch, passes, network and memory format.
    """
    for width in WIDTHS:
        case = f"MobileNetV2 x{width:g}"
        draws = torch.Generator().manual_seed(0)
        x = torch.randn(max(images, *BATCHES), 3, SIDE, SIDE, generator=draws)
        torch.manual_seed(0)
        networks = {
            operator: settled(mobilenet_v2(width, operator=operator), x[:8]).to(device)
            for operator in ("tvconv", "depthwise")
        }
        x = x.to(device)
        error = largest_error(networks["tvconv"].eval(), x[:2])
        if not error <= MAX_ERROR:
            yield Measurement(case, 2, "tvconv", FORWARD, error=error, refused=True)
            continue
        for name, layout in LAYOUTS.items():
            variants = {
                operator: copy.deepcopy(network).to(memory_format=layout)
                for operator, network in networks.items()
            }
            for batch, passes in (*((batch, FORWARD) for batch in BATCHES), (images, STEP)):
                say(f"{case}, {name}, {passes}, {batch} images")
                given = x[:batch].to(memory_format=layout)
                make = _training_step
                if passes == FORWARD:
                    make = _inference
                    for network in variants.values():
                        freeze_in(network.eval(), layout)
                calls = {operator: make(network, given) for operator, network in variants.items()}
                seconds = interleave(calls, rounds=rounds, device=device)
                for operator in variants:
                    yield Measurement(
                        case,
                        batch,
                        operator if name == "NHWC" else f"{operator} {name}",
                        passes,
                        error=error if operator == "tvconv" else None,
                        milliseconds=1e3 * statistics.median(seconds[operator]),
                        to_depthwise=ratio(seconds[operator], seconds["depthwise"]),
                    )


def _inference(network: nn.Module, images: Tensor) -> Call:
    @torch.inference_mode()
    def predict() -> Tensor:
        embeddings: Tensor = network(images)
        return embeddings

    return predict


def _training_step(network: nn.Module, images: Tensor) -> Call:
    network.train()
    optimizer = make_optimizer(network, 1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        network(images).square().mean().backward()
        optimizer.step()

    return step

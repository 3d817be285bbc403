"""The paper's operators side by side, in its backbones: complexity, throughput and memory.

Source: TVConv, section 4.1, table 1 and figures 4 and 6 to 8.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from tvseg.bench.forms import difference, served_by
from tvseg.bench.network_state import freeze_in, settled
from tvseg.bench.timing import CPU, Call, peak_memory
from tvseg.bench.zoo_memory import peak_of_process
from tvseg.bench.zoo_networks import ZooNetwork
from tvseg.models.complexity import count_macs, count_macs_as_published
from tvseg.ops import TVConv2d

SIDE = 96  # px, of the images
MEMORY_BATCH = 8
MAX_ERROR = 1e-3
"""Largest difference to torch's kernels in float64, relative to the largest element: sixty layers
magnify the rounding of float32; a wrong kernel is off by its own size."""
OPERATOR_MODULES = ("tvseg.models.operators.", "tvseg.ops.")
LAYOUTS = {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}


@dataclass(frozen=True)
class Plan:
    """How thoroughly throughput is measured.

    Args:
        batches: Images of a call.
        threads: Threads of a CPU.
        seconds: Least time that each pair of them is run for.
    """

    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    threads: tuple[int, ...] = (1, 2, 4)
    seconds: float = 0.1


QUICK = Plan((1, 16), (1,), 0.02)


@dataclass(frozen=True)
class Row:
    """What was measured of one network; what was not is None.

    Args:
        backbone: Its name.
        width: Its size.
        operator: Name of its operator.
        macs: Multiply-accumulates of one image.
        macs_as_published: The same by the paper's count.
        parameters: Numbers that are trained.
        parameters_frozen: Numbers that are kept for inference: a frozen TVConv keeps its weights
            and not its generator.
        error: Largest relative difference of an operator, or of a network without one of ours, to
            float64.
        layout: Memory format that was faster, NHWC or NCHW.
        images_per_second: The best throughput.
        batch: Images of a call that reached it.
        threads: Threads that reached it.
        peak_mb: Most memory of a process that runs one batch of 8, beyond the one that has only
            loaded its libraries, in 1e6 bytes; on a GPU, of its tensors.
        accuracy: Of runs with this network.
        grid: Batch, threads and images per second of every pair.
    """

    backbone: str
    width: str
    operator: str
    macs: int
    macs_as_published: int
    parameters: int
    parameters_frozen: int
    error: float
    layout: str | None = None
    images_per_second: float | None = None
    batch: int | None = None
    threads: int | None = None
    peak_mb: float | None = None
    accuracy: float | None = None
    grid: tuple[tuple[int, int, float], ...] = ()

    @property
    def refused(self) -> bool:
        """Return whether the error is too large for times to be believed."""
        return not self.error <= MAX_ERROR  # NaN is


def measure_zoo(
    networks: Sequence[ZooNetwork],
    *,
    plan: Plan,
    say: Callable[[str], None],
    device: torch.device = CPU,
) -> Iterator[Row]:
    """Count, check and time networks; one that computes something else is not timed.

    Args:
        networks: What to measure.
        plan: How thoroughly.
        say: Gets the name of what is measured next.
        device: Where to compute; times on a GPU are those between two events.

    Yields:
        A row per network.
    """
    for number, entry in enumerate(networks, start=1):
        say(f"{number}/{len(networks)} {entry.backbone} x{entry.width}, {entry.operator}")
        yield _measure(entry, plan, device)


def _measure(entry: ZooNetwork, plan: Plan, device: torch.device) -> Row:
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(max(*plan.batches, MEMORY_BATCH), 3, SIDE, SIDE, generator=draws)
    network = settled(entry.build(), images[:8]).eval().to(device)
    generators = [m for m in network.modules() if isinstance(m, TVConv2d)]
    parameters = _parameters(network)
    kept = freeze_in(network, torch.channels_last) // 4
    images = images.to(device)
    row = Row(
        entry.backbone,
        entry.width,
        entry.operator,
        macs=count_macs(network, images[:1]),
        macs_as_published=count_macs_as_published(network, images[:1]),
        parameters=parameters,
        parameters_frozen=parameters - sum(map(_parameters, generators)) + kept,
        error=largest_error(network, images[:2]),
    )
    if row.refused:
        return row
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        layout, grid = _throughput(network, images, plan)
    batch, threads, images_per_second = max(grid, key=lambda point: point[2])
    return replace(
        row,
        layout=layout,
        batch=batch,
        threads=threads,
        images_per_second=images_per_second,
        peak_mb=_peak_mb(network, entry, images[:MEMORY_BATCH], layout),
        grid=tuple(grid),
    )


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def largest_error(network: nn.Module, images: Tensor) -> float:
    """Compare a network's operators, in both memory formats, with torch's kernels in float64.

    Every layer of this package is compared on the maps that reach it, since a chain of layers whose
    kernels come from their input magnifies rounding; a network without such layers as a whole.

    Args:
        network: In eval mode, frozen.
        images: (B, 3, H, W) on its device.

    Returns:
        The largest difference relative to the largest element of the wanted output.
    """
    layers = [m for m in network.modules() if type(m).__module__.startswith(OPERATOR_MODULES)]
    errors = []

    def compare(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        exact = copy.deepcopy(layer).cpu().double()
        exact._forward_hooks.clear()
        with served_by("torch"):
            wanted = exact(inputs[0].cpu().double())
        # zero maps are compared as they are
        errors.append(difference(output, wanted) if wanted.any() else float(output.abs().max()))

    handles = [layer.register_forward_hook(compare) for layer in layers or [network]]
    try:
        with torch.inference_mode():
            for layout in LAYOUTS.values():
                freeze_in(network, layout)
                network(images.to(memory_format=layout))
    finally:
        for handle in handles:
            handle.remove()
    return max(errors)


def _throughput(
    network: nn.Module, images: Tensor, plan: Plan
) -> tuple[str, list[tuple[int, int, float]]]:
    """Time the faster layout with every batch and number of threads."""
    on_cpu = images.device.type == "cpu"

    def rate(layout: str, batch: int, threads: int) -> float:
        given = images[:batch].to(memory_format=LAYOUTS[layout])

        @torch.inference_mode()
        def call() -> Tensor:
            embeddings: Tensor = network(given)
            return embeddings

        seconds = _seconds(call, threads, plan.seconds) if on_cpu else _gpu_seconds(call, plan)
        return batch / seconds

    def rates(layout: str) -> list[tuple[int, int, float]]:
        threads = plan.threads if on_cpu else (1,)
        return [(b, t, rate(layout, b, t)) for b in plan.batches for t in threads]

    tried = {}
    for layout in LAYOUTS:
        freeze_in(network, LAYOUTS[layout])
        tried[layout] = rate(layout, MEMORY_BATCH, 1)
    best = max(tried, key=tried.__getitem__)
    freeze_in(network, LAYOUTS[best])
    return best, rates(best)


def _seconds(call: Call, threads: int, least: float) -> float:
    call()
    timer = Timer("call()", globals={"call": call}, num_threads=threads)
    return timer.blocked_autorange(min_run_time=least).median


def _gpu_seconds(call: Call, plan: Plan) -> float:
    for _ in range(3):
        call()
    start, end = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    torch.cuda.synchronize()
    begun, calls = time.perf_counter(), 0
    start.record()
    while time.perf_counter() - begun < plan.seconds:
        call()
        calls += 1
    end.record()
    torch.cuda.synchronize()
    milliseconds: float = start.elapsed_time(end)
    return milliseconds / 1e3 / calls


def _peak_mb(network: nn.Module, entry: ZooNetwork, images: Tensor, layout: str) -> float | None:
    if images.device.type == "cpu":
        peak = peak_of_process(entry.build, tuple(images.shape), LAYOUTS[layout])
        return None if peak is None else peak / 1e6
    held = [*network.parameters(), images.to(memory_format=LAYOUTS[layout])]
    kept = [m.frozen_bytes for m in network.modules() if isinstance(m, TVConv2d)]
    with torch.inference_mode():
        return (peak_memory(lambda: network(held[-1]), held[::-1]) + sum(kept)) / 1e6

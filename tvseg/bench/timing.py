"""How time, bandwidth and memory are measured, whatever is measured."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Call = Callable[[], Any]
_STREAM_ELEMENTS = 1 << 25
_PRODUCT_SIDE = 1024
_FLUSHED_BYTES = 1 << 28
"""More than any GPU's L2 cache."""
_FLUSHES = 8
CPU = torch.device("cpu")


def interleave(
    calls: Mapping[str, Call], *, rounds: int, device: torch.device = CPU
) -> dict[str, list[float]]:
    """Time calls in turn, so that whatever else the machine does affects all of them.

    Args:
        calls: What to time, by name; each is called once more, untimed, beforehand.
        rounds: Timed calls of each.
        device: Where they compute. On a GPU the time between two events is taken, with its L2
            cache overwritten before each call; launches are queued up by then and not counted.

    Returns:
        Seconds of each round, by name.
    """
    for call in calls.values():
        call()
    timed = _gpu_timer(device) if device.type == "cuda" else _timed
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(timed(call))
    return seconds


def _timed(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _gpu_timer(device: torch.device) -> Callable[[Call], float]:
    """Return a function that times one call between two events."""
    scratch = torch.empty(_FLUSHED_BYTES, dtype=torch.uint8, device=device)

    def timed(call: Call) -> float:
        start, end = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        for _ in range(_FLUSHES):  # takes a GPU longer than the interpreter takes for the call
            scratch.zero_()
        start.record()
        call()
        end.record()
        torch.cuda.synchronize(device)
        elapsed: float = start.elapsed_time(end)
        return elapsed / 1e3

    return timed


def ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """Return the median over the rounds of one's time relative to another's.

    Args:
        seconds: Time of each round.
        others: Time of the other in the same rounds.
    """
    return statistics.median(ours / theirs for ours, theirs in zip(seconds, others, strict=True))


def stream_bandwidth(device: torch.device = CPU) -> float:
    """Measure the bytes per second of a large copy: bytes read and bytes written.

    Args:
        device: Where to copy; 128 MiB on a CPU, 1 GiB on a GPU.
    """
    elements = _STREAM_ELEMENTS * (1 if device.type == "cpu" else 8)
    source = torch.ones(elements, device=device)
    target = torch.zeros_like(source)
    copy = {"copy": lambda: target.copy_(source)}
    seconds = interleave(copy, rounds=7, device=device)["copy"]
    return 2 * source.nbytes / statistics.median(seconds)


def arithmetic_peak(device: torch.device = CPU) -> float:
    """Measure the FLOP per second of a float32 matrix product, which arithmetic alone limits.

    Args:
        device: Where to compute; sides of 1024 on a CPU, 8192 on a GPU.
    """
    side = _PRODUCT_SIDE * (1 if device.type == "cpu" else 8)
    matrix = torch.ones(side, side, device=device)
    product = {"product": lambda: matrix @ matrix}
    seconds = interleave(product, rounds=7, device=device)["product"]
    return 2 * side**3 / statistics.median(seconds)


def peak_memory(call: Call, held: Sequence[Tensor] = ()) -> int:
    """Measure the most bytes that tensors take during a call.

    Args:
        call: What to watch. Scratch arrays that are not torch's are not seen.
        held: Tensors from before the call that it needs; the first one tells the device.

    Returns:
        Bytes of held, and of the most that torch had allocated on the device beside them.
    """
    needed = sum(tensor.nbytes for tensor in held)
    if held and held[0].device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(held[0].device)
        before = torch.cuda.memory_allocated(held[0].device)
        call()
        return torch.cuda.max_memory_allocated(held[0].device) - before + needed
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        result = call()
    del result
    events = profile.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    taken = most = 0
    for _, change in sorted(changes, key=lambda event: event[0]):
        taken += change
        most = max(most, taken)
    return most + needed

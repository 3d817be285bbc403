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


def interleave(calls: Mapping[str, Call], *, rounds: int) -> dict[str, list[float]]:
    """Time calls in turn, so that whatever else the machine does meets all of them.

    Args:
        calls: What to time, by name; each is called once more, untimed, beforehand.
        rounds: Timed calls of each.

    Returns:
        Seconds of each round, by name.
    """
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """Median over the rounds of one's time relative to another's.

    Args:
        seconds: Time of each round.
        others: Time of the other in the same rounds.
    """
    return statistics.median(ours / theirs for ours, theirs in zip(seconds, others, strict=True))


def stream_bandwidth() -> float:
    """Bytes per second of a copy of 128 MiB: bytes read and bytes written."""
    source, target = torch.ones(_STREAM_ELEMENTS), torch.zeros(_STREAM_ELEMENTS)
    seconds = interleave({"copy": lambda: target.copy_(source)}, rounds=7)["copy"]
    return 2 * source.nbytes / statistics.median(seconds)


def arithmetic_peak() -> float:
    """FLOP per second of a float32 matrix product, which is limited by arithmetic alone."""
    matrix = torch.ones(_PRODUCT_SIDE, _PRODUCT_SIDE)
    seconds = interleave({"product": lambda: matrix @ matrix}, rounds=7)["product"]
    return 2 * _PRODUCT_SIDE**3 / statistics.median(seconds)


def peak_memory(call: Call, held: Sequence[Tensor] = ()) -> int:
    """Most bytes that tensors take during a call.

    Args:
        call: What to watch. Scratch arrays that are not torch's are not seen.
        held: Tensors from before the call that it needs.

    Returns:
        Bytes of held, and of the most that torch had allocated on the CPU beside them.
    """
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
    return most + sum(tensor.nbytes for tensor in held)

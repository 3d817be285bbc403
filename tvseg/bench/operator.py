"""The operator alone: its forms in the shapes of the ASPP and of MobileNetV2."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tvseg.bench.forms import FORMS, Bound, Problem, Shape, bind, wrong
from tvseg.bench.measurement import BOTH, FORWARD, Measurement
from tvseg.bench.timing import CPU, interleave, peak_memory, ratio

ASPP = tuple(Shape("ASPP", batch, 1920, 16, 16) for batch in (1, 4, 16, 48))
# (channels, side of the input map, stride) of depthwise layers for images of 256 px
_MOBILENET = [(32, 128, 1), (96, 128, 2), (144, 64, 1), (192, 32, 1), (384, 16, 1), (960, 16, 1)]
MOBILENET = tuple(
    Shape(f"MobileNetV2 {channels} x {side}{' / 2' if stride == 2 else ''}",
          4, channels, side, side, stride)
    for channels, side, stride in _MOBILENET
)  # fmt: skip
SWEEPS = {
    "channels": tuple(Shape("channels", 16, c, 16, 16) for c in (24, 96, 384, 960, 1920)),
    "map size": tuple(Shape("map size", 4, 192, side, side) for side in (8, 16, 32, 64)),
    "batch": tuple(Shape("batch", batch, 960, 16, 16) for batch in (1, 4, 16, 48)),
}

_BASE = {FORWARD: "authors", BOTH: "unfold"}
"""The published form: weights generated in each forward pass, or given where both are timed."""


def measure_operator(
    shapes: Sequence[Shape],
    *,
    bandwidth: float,
    rounds: int,
    say: Callable[[str], None],
    device: torch.device = CPU,
) -> Iterator[Measurement]:
    """Check and time every form in every shape, forward and with the backward pass.

    Args:
        shapes: What to compute.
        bandwidth: Bytes per second of a copy.
        rounds: Timed calls of each form.
        say: Gets the name of what is measured next.
        device: Where to compute.

    Yields:
        A row per shape, passes and form.
    """
    for shape in shapes:
        say(f"{shape.name}, {shape.batch} images")
        problem = Problem(shape, device=device)
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            bound = {name: bind(name, problem) for name in FORMS}
            for passes in (FORWARD, BOTH):
                yield from _rows(shape, passes, bound, bandwidth, rounds=rounds, device=device)


def _rows(
    shape: Shape,
    passes: str,
    bound: dict[str, Bound],
    bandwidth: float,
    *,
    rounds: int,
    device: torch.device,
) -> Iterator[Measurement]:
    calls = {
        name: one.forward if passes == FORWARD else one.both
        for name, one in bound.items()
        if not wrong(one.error) and (passes == FORWARD or FORMS[name].trains)
    }
    seconds = interleave(calls, rounds=rounds, device=device)
    peaks = {name: peak_memory(call, _held(bound[name], passes)) for name, call in calls.items()}
    described: dict[str, Any] = {
        "case": shape.name, "batch": shape.batch, "passes": passes,
        "channels": shape.channels, "height": shape.height, "width": shape.width,
    }  # fmt: skip
    scale = 1 if passes == FORWARD else 3
    for name, one in bound.items():
        if name in seconds:
            median = statistics.median(seconds[name])
            form = FORMS[name]
            shared = form.weight == "shared"
            moved = scale * shape.bytes_moved(form.weight_dtype, shared=shared)
            yield Measurement(
                **described, variant=name, error=one.error,
                milliseconds=1e3 * median,
                speedup=_ratio(seconds, _BASE[passes], name),
                to_depthwise=_ratio(seconds, name, "depthwise"),
                macs=scale * shape.macs,
                megabytes=moved / 1e6,
                bandwidth_share=moved / median / bandwidth,
                peak_mb=peaks[name] / 1e6,
                memory_to_unfold=peaks[name] / peaks["unfold"] if "unfold" in peaks else None,
            )  # fmt: skip
        elif wrong(one.error):
            yield Measurement(**described, variant=name, error=one.error, refused=True)


def _held(one: Bound, passes: str) -> Sequence[Tensor]:
    return one.held if passes == BOTH else one.held[:2]


def _ratio(seconds: dict[str, list[float]], name: str, other: str) -> float | None:
    """Return the time of one relative to another's, where both were timed."""
    return ratio(seconds[name], seconds[other]) if {name, other} <= set(seconds) else None

"""Peak memory of a network's forward pass in a process of its own."""

import gc
import multiprocessing
import sys
from collections.abc import Callable
from ctypes import CDLL
from pathlib import Path

import torch
from torch import nn

from tvseg.bench.network_state import freeze_in
from tvseg.ops import TVConv2d

_STATUS = Path("/proc/self/status")


def peak_of_process(
    build: Callable[[], nn.Module], shape: tuple[int, ...], layout: torch.memory_format
) -> float | None:
    """Run one forward pass in a fresh process and measure its peak memory.

    The process is forked from one that has loaded the libraries and nothing else; what these take,
    compiled loops included, is subtracted. The network's parameters are part of the peak.

    Args:
        build: Builds the network; pickled.
        shape: Of the images, (B, 3, H, W).
        layout: Memory format of network and images.

    Returns:
        Bytes; None where the system is not Linux.
    """
    if sys.platform != "linux":
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, build.__module__])
    with context.Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(_peak, (build, shape, layout == torch.channels_last))


def _peak(build: Callable[[], nn.Module], shape: tuple[int, ...], channels_last: bool) -> int:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.set_num_threads(1)
    with torch.inference_mode():
        for stride in (1, 2):  # loads the kernel, which may have to be compiled
            layer = TVConv2d(4, 2, stride=stride).eval().freeze()
            layer(torch.zeros(2, 4, 2 * stride, 2 * stride).to(memory_format=layout))
    gc.collect()
    before = _resident("VmRSS")
    network = build().eval()
    freeze_in(network, layout)
    images = torch.zeros(shape).to(memory_format=layout)
    gc.collect()
    CDLL(None).malloc_trim(0)  # what building has freed
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    with torch.inference_mode():
        network(images)
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    """Read a number of bytes from the process's status."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return 1024 * int(lines[field].split()[0])

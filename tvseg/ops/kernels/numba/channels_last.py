"""Calls of the compiled loops over channels_last maps: tables, tiles, jobs.

Imported when the kernel is first used, and numba with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tvseg.ops.geometry import kernel_size_of
from tvseg.ops.kernels.numba import threads as numba_threads
from tvseg.ops.kernels.numba.pixel_loops import spread_pixels, sum_pixels
from tvseg.ops.kernels.numba.threads import Job, even_share, run, share_out, threads_for
from tvseg.ops.memory_layout import element_like, weight_layout

_LEAST_CHANNELS = 8
"""With fewer, a tile's lists of offsets would outgrow its weights."""


def sum_taps(
    source: Tensor, weight: Tensor, result: Tensor, stride: int, dilation: int, *, transposed: bool
) -> None:
    """Fill result, the output or (transposed) the input's gradient, from the other map.

    Args:
        source: (B, C, H, W), channels_last.
        weight: (C, K, Ho, Wo).
        result: channels_last.
        stride: step in input pixels.
        dilation: step between taps in input pixels.
        transposed: whether source is the gradient of the output.
    """
    source = source.contiguous(memory_format=torch.channels_last)
    weight = weight_layout(weight, torch.channels_last)
    plan = _plan_for(result, source, weight, stride, dilation, transposed=transposed, split=True)
    like = element_like(source.dtype), element_like(weight.dtype)
    steps, sizes = weight.stride()[1:], tuple(source.shape[1:])

    def work(job: Job) -> None:
        addresses = weight.data_ptr(), source.data_ptr(), result.data_ptr()
        sum_pixels(
            like, addresses, steps, plan.rows, plan.columns, transposed, sizes,
            job.images, job.tiles, plan.tile,
        )  # fmt: skip

    run(work, plan.jobs)


def spread_taps(grad: Tensor, x: Tensor, result: Tensor, stride: int, dilation: int) -> None:
    """Fill result, the gradient of the weight.

    Args:
        grad: gradient of the output (B, C, Ho, Wo).
        x: input (B, C, H, W).
        result: (C, K, Ho, Wo).
        stride: step in input pixels.
        dilation: step between taps in input pixels.
    """
    grad, x = (maps.to(x.dtype).contiguous(memory_format=torch.channels_last) for maps in (grad, x))
    total = weight_layout(result, torch.channels_last)
    if total.dtype != torch.float32:  # rounded once, at the end
        total = torch.empty_like(total, dtype=torch.float32)
    plan = _plan_for(grad, x, total, stride, dilation, transposed=False, split=False)
    like = element_like(x.dtype), element_like(total.dtype)
    steps, sizes = total.stride()[1:], tuple(x.shape[1:])

    def work(job: Job) -> None:
        addresses = grad.data_ptr(), x.data_ptr(), total.data_ptr()
        spread_pixels(
            like, addresses, steps, plan.rows, plan.columns, sizes,
            job.images, job.tiles, plan.tile,
        )  # fmt: skip

    run(work, plan.jobs)
    if total is not result:
        result.copy_(total)


class LoopPlan(NamedTuple):
    """What depends on sizes alone.

    Args:
        rows: (height of result, k): the source row under each tap row, or -1.
        columns: the same for columns.
        tile: pixels of a tile.
        jobs: every thread's share.
    """

    rows: Any
    columns: Any
    tile: int
    jobs: list[Job]


def _plan_for(
    tiled: Tensor, other: Tensor, weight: Tensor, stride: int, dilation: int,
    *, transposed: bool, split: bool,
) -> LoopPlan:  # fmt: skip
    taps = weight.shape[1]
    threads = threads_for(tiled.numel() * taps)
    fits = numba_threads.TILE_ELEMENTS // (max(tiled.shape[1], _LEAST_CHANNELS) * taps)
    return make_plan(
        tiled.shape, other.shape, taps, (stride, dilation), threads, fits,
        transposed=transposed, split=split,
    )  # fmt: skip


@lru_cache(maxsize=256)
def make_plan(
    tiled: torch.Size, other: torch.Size, taps: int, steps: tuple[int, int],
    threads: int, fits: int, *, transposed: bool, split: bool,
) -> LoopPlan:  # fmt: skip
    """Lay out one call.

    Args:
        tiled: (B, C, height, width) of the map that is cut into tiles.
        other: shape of the map that it is multiplied with.
        taps: K.
        steps: (stride, dilation), in input pixels.
        threads: that share the work.
        fits: pixels whose weights fit the cache.
        transposed: whether the map that is cut is the input's gradient.
        split: whether two threads may share a tile.

    Returns:
        The plan.
    """
    images, _, height, width = tiled
    side = kernel_size_of(taps)
    rows, columns = (
        _partners(*sizes, side, *steps, transposed)
        for sizes in zip(tiled[2:], other[2:], strict=True)
    )
    pixels = height * width
    tile = even_share(pixels, threads, fits)
    jobs = share_out(-(-pixels // tile), images, threads=threads, split_images=split)
    return LoopPlan(rows, columns, tile, jobs)


def _partners(
    targets: int, sources: int, side: int, stride: int, dilation: int, transposed: bool
) -> Any:
    target = torch.arange(targets, device="cpu").unsqueeze(1)
    shift = (torch.arange(side, device="cpu") - side // 2) * dilation
    if transposed:
        moved = target - shift
        source, whole = moved // stride, moved % stride == 0
    else:
        source = target * stride + shift
        whole = torch.ones_like(source, dtype=torch.bool)
    inside = whole & (source >= 0) & (source < sources)
    return torch.where(inside, source, -1).numpy()

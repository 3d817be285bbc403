"""Calls of the compiled loops over channels_last maps: tables, tiles, jobs.

Imported when the kernel is first used, and numba with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tvseg.ops import numba_threads
from tvseg.ops.geometry import kernel_size_of
from tvseg.ops.layout import flat_array, weight_layout
from tvseg.ops.numba_pixels import spread_pixels, sum_pixels
from tvseg.ops.numba_threads import Job, run, share_out, threads_for


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
    weight = weight_layout(weight, torch.channels_last)
    steps = weight.stride()[1:]
    rows, columns = tables(
        result.shape[2:], source.shape[2:], weight.shape[1], stride, dilation, transposed=transposed
    )
    arrays = flat_array(weight), steps, flat_array(_nhwc(source)), flat_array(_nhwc(result))
    width, jobs = tile_width_and_jobs(result.shape, weight.shape[1], split_images=True)
    sizes, packed = tuple(source.shape[1:]), len(source) > numba_threads.UNPACKED_IMAGES

    def work(job: Job) -> None:
        sum_pixels(*arrays, rows, columns, transposed, sizes, job.images, job.tiles, width, packed)

    run(work, jobs)


def spread_taps(grad: Tensor, x: Tensor, result: Tensor, stride: int, dilation: int) -> None:
    """Fill result, the gradient of the weight.

    Args:
        grad: gradient of the output (B, C, Ho, Wo).
        x: input (B, C, H, W).
        result: (C, K, Ho, Wo).
        stride: step in input pixels.
        dilation: step between taps in input pixels.
    """
    target = weight_layout(result, torch.channels_last)
    sizes, steps = (grad.shape[2:], x.shape[2:]), target.stride()[1:]
    rows, columns = tables(*sizes, target.shape[1], stride, dilation, transposed=False)
    arrays = flat_array(_nhwc(grad)), flat_array(_nhwc(x)), flat_array(target), steps
    width, jobs = tile_width_and_jobs(grad.shape, target.shape[1], split_images=False)

    def work(job: Job) -> None:
        spread_pixels(*arrays, rows, columns, tuple(x.shape[1:]), job.images, job.tiles, width)

    run(work, jobs)
    if target is not result:
        result.copy_(target)


def _nhwc(maps: Tensor) -> Tensor:
    """(B, H, W, C), contiguous: a view of channels_last maps, a copy of others."""
    return maps.permute(0, 2, 3, 1).contiguous()


def tile_width_and_jobs(
    shape: Sequence[int], taps: int, *, split_images: bool
) -> tuple[int, list[Job]]:
    """Pixels of a tile, and every thread's share.

    Args:
        shape: (B, C, height, width) of the map that is cut into tiles.
        taps: K.
        split_images: whether two threads may share a tile.
    """
    images, channels, height, width = shape
    threads = threads_for(images * channels * height * width * taps)
    fits = numba_threads.PACK_ELEMENTS // (channels * taps)
    across = -(-width // max(1, min(width, fits, height * width // threads)))
    tile_width, tiles = -(-width // across), height * across
    return tile_width, share_out(tiles, images, threads=threads, split_images=split_images)


def tables(
    targets: Sequence[int], sources: Sequence[int], taps: int, stride: int, dilation: int,
    *, transposed: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """Which source row each target row meets under each tap row, and the same of columns.

    Args:
        targets: (height, width) of the result.
        sources: (height, width) of the other map.
        taps: K.
        stride: step in input pixels.
        dilation: step between taps in input pixels.
        transposed: whether the result is the input's gradient.

    Returns:
        Two arrays (height or width of the result, k); -1 where a target meets none.
    """
    side = kernel_size_of(taps)
    rows, columns = (
        _partners(*sizes, side, stride, dilation, transposed)
        for sizes in zip(targets, sources, strict=True)
    )
    return rows, columns


@lru_cache(maxsize=256)
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
    met = whole & (source >= 0) & (source < sources)
    return torch.where(met, source, -1).numpy()

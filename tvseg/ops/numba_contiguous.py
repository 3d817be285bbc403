"""Calls of the compiled loops over contiguous maps at stride 1: tables, tiles, jobs.

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
from tvseg.ops.layout import flat_array
from tvseg.ops.numba_planes import spread_planes, sum_planes
from tvseg.ops.numba_threads import Job, run, share_out, threads_for
from tvseg.ops.numba_vectors import LANES


def sum_taps(
    source: Tensor, weight: Tensor, result: Tensor, stride: int, dilation: int, *, transposed: bool
) -> None:
    """Fill result, the output or (transposed) the input's gradient, from the other map.

    Args:
        source: (B, C, H, W).
        weight: (C, K, H, W).
        result: (B, C, H, W), contiguous.
        stride: 1.
        dilation: step between taps in pixels.
        transposed: whether source is the gradient of the output.
    """
    weight = _planes(weight)
    shifts, bits = tables(*source.shape[2:], weight.shape[1], -dilation if transposed else dilation)
    arrays = (
        flat_array(weight), weight.stride()[:2], flat_array(source.contiguous()), flat_array(result)
    )  # fmt: skip
    sizes, tile, jobs = _tiles(source.shape, weight.shape[1], split_images=True)

    packed = len(source) > numba_threads.UNPACKED_IMAGES

    def work(job: Job) -> None:
        sum_planes(*arrays, shifts, bits, transposed, sizes, job.images, job.tiles, tile, packed)

    run(work, jobs)


def spread_taps(grad: Tensor, x: Tensor, result: Tensor, stride: int, dilation: int) -> None:
    """Fill result, the gradient of the weight.

    Args:
        grad: gradient of the output (B, C, H, W).
        x: input (B, C, H, W).
        result: (C, K, H, W).
        stride: 1.
        dilation: step between taps in pixels.
    """
    target = _planes(result)
    shifts, bits = tables(*x.shape[2:], target.shape[1], dilation)
    arrays = flat_array(grad.contiguous()), flat_array(x.contiguous()), flat_array(target)
    sizes, tile, jobs = _tiles(x.shape, target.shape[1], split_images=False)
    steps = target.stride()[:2]

    def work(job: Job) -> None:
        spread_planes(*arrays, steps, shifts, bits, sizes, job.images, job.tiles, tile)

    run(work, jobs)
    if target is not result:
        result.copy_(target)


def _planes(weight: Tensor) -> Tensor:
    """The weight itself if each of its (height, width) is contiguous, else a tap-major copy."""
    if weight[0, 0].is_contiguous():
        return weight
    return weight.transpose(0, 1).contiguous().transpose(0, 1)


def _tiles(
    shape: Sequence[int], taps: int, *, split_images: bool
) -> tuple[tuple[int, int], tuple[int, int], list[Job]]:
    """(channels, pixels), (channels, vectors) of a tile, and every thread's share."""
    images, channels, height, width = shape
    threads = threads_for(images * channels * height * width * taps)
    vectors = -(-height * width // LANES)
    fits = max(1, numba_threads.PACK_ELEMENTS // (taps * LANES))
    long = min(vectors, fits)
    wide = max(1, min(channels // threads, fits // vectors))
    tiles = -(-channels // wide) * -(-vectors // long)
    jobs = share_out(tiles, images, threads=threads, split_images=split_images)
    return (channels, height * width), (wide, long), jobs


@lru_cache(maxsize=256)
def tables(height: int, width: int, taps: int, dilation: int) -> tuple[Any, Any]:
    """Where each tap shifts the flat plane, and which pixels stay on the map.

    Args:
        height: of the maps.
        width: of the maps.
        taps: K.
        dilation: step between taps in pixels; negative to go the other way.

    Returns:
        Shifts (taps) and bits (vectors of a plane, taps); the lowest bit is the first pixel's.
    """
    side = kernel_size_of(taps)
    vectors = -(-height * width // LANES)
    pixel = torch.arange(vectors * LANES, device="cpu").view(vectors, 1, LANES)
    tap = torch.arange(taps, device="cpu").view(1, taps, 1)
    down = (tap // side - side // 2) * dilation
    right = (tap % side - side // 2) * dilation
    row, column = pixel // width + down, pixel % width + right
    met = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    met &= pixel < height * width
    bits = (met.long() << torch.arange(LANES, device="cpu")).sum(dim=2)
    return (down * width + right).flatten().numpy(), bits.contiguous().numpy()

"""Calls of the compiled loops over contiguous maps: planes, tables, tiles, jobs.

Imported when the kernel is first used, and numba with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tvseg.ops.geometry import kernel_size_of
from tvseg.ops.kernels.numba import threads as numba_threads
from tvseg.ops.kernels.numba.plane_loops import cut_halves, cut_planes, spread_planes, sum_planes
from tvseg.ops.kernels.numba.simd import LANES
from tvseg.ops.kernels.numba.threads import Job, even_share, run, share_out, threads_for
from tvseg.ops.memory_layout import flat_array, tap_major


def sum_taps(
    source: Tensor, weight: Tensor, result: Tensor, stride: int, dilation: int, *, transposed: bool
) -> None:
    """Fill result, the output or (transposed) the input's gradient, from the other map.

    Args:
        source: (B, C, H, W).
        weight: (C, K, Ho, Wo).
        result: contiguous.
        stride: step in input pixels.
        dilation: step between taps in input pixels.
        transposed: whether source is the gradient of the output.
    """
    weight = _planes(weight)
    out_size, in_size = weight.shape[2:], (result if transposed else source).shape[2:]
    kernels = flat_array(weight), weight.stride()[:2]
    planes = stride * stride
    packed = len(source) > numba_threads.FEW_IMAGES
    channels, tile, jobs = _tiles(
        (*source.shape[:2], *out_size), weight.shape[1], split_images=True
    )
    sizes = (*channels, 1 if transposed else planes, planes if transposed else 1)
    maps = flat_array(source.contiguous() if transposed else _cut(source, stride, out_size))
    whole = _room(result, stride, out_size) if transposed else result
    filled = flat_array(whole)
    for plane in range(planes if transposed else 1):
        taps = tables(
            tuple(out_size), tuple(in_size), weight.shape[1], stride, dilation,
            plane if transposed else None,
        )  # fmt: skip
        target = filled[plane * channels[1] :]

        def work(job: Job, taps: Any = taps, target: Any = target) -> None:
            sum_planes(
                *kernels, maps, target, taps, transposed, sizes, job.images, job.tiles, tile, packed
            )

        run(work, jobs)
    if whole is not result:
        _copy(result, whole, stride, back=True)


def spread_taps(grad: Tensor, x: Tensor, result: Tensor, stride: int, dilation: int) -> None:
    """Fill result, the gradient of the weight.

    Args:
        grad: gradient of the output (B, C, Ho, Wo).
        x: input (B, C, H, W).
        result: (C, K, Ho, Wo).
        stride: step in input pixels.
        dilation: step between taps in input pixels.
    """
    target, out_size = _planes(result), tuple(grad.shape[2:])
    taps = tables(out_size, tuple(x.shape[2:]), target.shape[1], stride, dilation, None)
    arrays = (
        flat_array(grad.contiguous()), flat_array(_cut(x, stride, out_size)), flat_array(target)
    )  # fmt: skip
    channels, tile, jobs = _tiles(grad.shape, target.shape[1], split_images=False)
    sizes, steps = (*channels, stride * stride), target.stride()[:2]

    def work(job: Job) -> None:
        spread_planes(*arrays, steps, taps, sizes, job.images, job.tiles, tile)

    run(work, jobs)
    if target is not result:
        result.copy_(target)


def _room(maps: Tensor, stride: int, out_size: Sequence[int]) -> Tensor:
    """Room for maps (B, C, H, W) in planes (B, C, stride*stride, Ho, Wo); themselves at stride 1.

    Plane row*stride + column holds every so many rows and columns from (row, column) on; where the
    map ends before the plane, there is nothing.
    """
    if stride == 1:
        return maps
    return maps.new_empty(*maps.shape[:2], stride * stride, *out_size)


def _cut(maps: Tensor, stride: int, out_size: Sequence[int]) -> Tensor:
    """Maps in planes; see _room."""
    if stride == 1:
        return maps.contiguous()
    planes = _room(maps, stride, out_size)
    _copy(maps.contiguous(), planes, stride, back=False)
    return planes


def _copy(maps: Tensor, planes: Tensor, stride: int, *, back: bool) -> None:
    images, channels, height, width = maps.shape
    arrays = flat_array(maps), flat_array(planes)
    sizes, across = (height, width, planes.shape[3]), planes.shape[4]

    def work(job: Job) -> None:
        if stride == 2:
            cut_halves(*arrays, sizes, across, job.tiles, back)
        else:
            cut_planes(*arrays, sizes, across, stride, job.tiles, back)

    threads = threads_for(maps.numel())
    run(work, share_out(images * channels, 1, threads=threads, split_images=False))


def _planes(weight: Tensor) -> Tensor:
    """The weight itself if each of its (height, width) is contiguous, else a tap-major copy."""
    return weight if weight[0, 0].is_contiguous() else tap_major(weight, torch.contiguous_format)


def _tiles(
    shape: Sequence[int], taps: int, *, split_images: bool
) -> tuple[tuple[int, int], tuple[int, int], list[Job]]:
    """(channels, pixels), (channels, vectors) of a tile, and every thread's share."""
    images, channels, height, width = shape
    threads = threads_for(images * channels * height * width * taps)
    vectors = -(-height * width // LANES)
    fits = max(1, numba_threads.TILE_ELEMENTS // (taps * LANES))
    long = min(vectors, fits)
    wide = even_share(channels, threads, fits // vectors)
    tiles = -(-channels // wide) * -(-vectors // long)
    jobs = share_out(tiles, images, threads=threads, split_images=split_images)
    return (channels, height * width), (wide, long), jobs


@lru_cache(maxsize=32)  # one of 512 x 512 takes a megabyte
def tables(
    out_size: tuple[int, int], in_size: tuple[int, int], taps: int, stride: int, dilation: int,
    plane: int | None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Where each tap shifts the flat plane, and which pixels stay on the map.

    Args:
        out_size: (Ho, Wo), also of each plane of the input.
        in_size: (H, W).
        taps: K.
        stride: step in input pixels.
        dilation: step between taps in input pixels.
        plane: of the input, to go from there to the output by the taps that reach it; None to go
            from the output to the input by all taps.

    Returns:
        Numbers of the taps, shifts (taps) and bits (vectors of a plane, taps); the lowest bit is
        the first pixel's.
    """
    (height, width), side = out_size, kernel_size_of(taps)
    vectors = -(-height * width // LANES)
    pixel = torch.arange(vectors * LANES, device="cpu").view(vectors, 1, LANES)
    tap = torch.arange(taps, device="cpu")
    down, right = (tap // side - side // 2) * dilation, (tap % side - side // 2) * dilation
    own = down % stride * stride + right % stride  # the plane that a tap meets
    down, right = (towards.div(stride, rounding_mode="floor") for towards in (down, right))
    shift = own * height * width + down * width + right
    if plane is not None:
        tap, down, right = (given[own == plane] for given in (tap, -down, -right))
        own, shift = own[own == plane], down * width + right
    met = pixel < height * width
    for place, towards, size, limit, remainder in (
        (pixel // width, down, height, in_size[0], own // stride),
        (pixel % width, right, width, in_size[1], own % stride),
    ):
        end = place if plane is not None else place + towards.view(1, -1, 1)
        other = place + towards.view(1, -1, 1)
        met = met & (other >= 0) & (other < size)
        met = met & (end * stride + remainder.view(1, -1, 1) < limit)
    bits = (met.long() << torch.arange(LANES, device="cpu")).sum(dim=2)
    return tap.numpy(), shift.numpy(), bits.contiguous().numpy()

"""TVConv on the processor by compiled loops, about three times as fast as torch's multiply-adds.

Takes channels_last maps in float32 and bfloat16. Every other layout and dtype, and every machine
on which numba cannot be used, is served by `tvseg.ops.torch_kernel`. numba is imported, and the
loops are compiled or read
from numba's cache on disk, when the kernel is first used. Work is shared out to as many threads as
torch uses, over tiles of pixels and, where there are few, over images.

Letters: B images, C channels, H x W input map, Ho x Wo output map, K = k*k taps.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tvseg.ops import torch_kernel
from tvseg.ops.geometry import Span, kernel_size_of, output_size_of
from tvseg.ops.layout import empty_map, memory_format_of, weight_layout

_DTYPES = (torch.float32, torch.bfloat16)
_PACK_ELEMENTS = 3 << 15
"""Weights of one tile in float32, at most: 384 KiB, beside the maps in an L2 cache of 1 MiB."""
_THREAD_ELEMENTS = 1 << 16
"""Multiplications worth a thread of their own: some ten microseconds, as long as its start."""


def forward(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """The operator itself; arguments and result as in `torch_kernel.forward`."""
    loops = _loops_for(x, weight)
    if loops is None:
        return torch_kernel.forward(x, weight, stride, dilation)
    out = empty_map(x, output_size_of((x.shape[2], x.shape[3]), stride))
    _sum_taps(loops, x, weight, out, stride, dilation, transposed=False)
    return out


def grad_input(
    grad: Tensor, weight: Tensor, in_size: Sequence[int], stride: int, dilation: int
) -> Tensor:
    """Gradient of the input; arguments and result as in `torch_kernel.grad_input`."""
    loops = _loops_for(grad, weight)
    if loops is None:
        return torch_kernel.grad_input(grad, weight, in_size, stride, dilation)
    height, width = in_size
    result = empty_map(grad, (height, width))
    _sum_taps(loops, grad, weight, result, stride, dilation, transposed=True)
    return result


def grad_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Gradient of the weight; arguments and result as in `torch_kernel.grad_weight`."""
    loops = _loops_for(x, weight)
    if loops is None:
        return torch_kernel.grad_weight(grad, x, weight, stride, dilation)
    result = torch.empty_like(weight_layout(weight, memory_format_of(x)))
    target = weight_layout(result, torch.channels_last)
    steps, sizes = target.stride()[1:], tuple(x.shape[1:])
    taps, *out_size = weight.shape[1:]
    rows, columns = _tables(out_size, x.shape[2:], taps, stride, dilation, transposed=False)
    arrays = [_flat(tensor) for tensor in (_nhwc(grad), _nhwc(x), target)]
    tile_width, jobs = _jobs(out_size, weight.shape[:2], batch=x.shape[0], split_batch=False)

    def work(job: _Job) -> None:
        loops.spread_taps(*arrays, steps, rows, columns, sizes, job.images, job.tiles, tile_width)

    _run(work, jobs)
    return result if target is result else result.copy_(target)


def _sum_taps(
    loops: ModuleType, source: Tensor, weight: Tensor, result: Tensor,
    stride: int, dilation: int, *, transposed: bool,
) -> None:  # fmt: skip
    """Fill result, the output or (transposed) the input's gradient, from the other map."""
    weight = weight_layout(weight, torch.channels_last)
    steps, sizes = weight.stride()[1:], tuple(source.shape[1:])
    channels, taps = weight.shape[:2]
    rows, columns = _tables(
        result.shape[2:], source.shape[2:], taps, stride, dilation, transposed=transposed
    )
    arrays = _flat(weight), steps, _flat(_nhwc(source)), _flat(_nhwc(result)), rows, columns
    tile_width, jobs = _jobs(
        result.shape[2:], (channels, taps), batch=source.shape[0], split_batch=True
    )

    def work(job: _Job) -> None:
        loops.sum_taps(*arrays, transposed, sizes, job.images, job.tiles, tile_width)

    _run(work, jobs)


def _loops_for(maps: Tensor, weight: Tensor) -> ModuleType | None:
    """The compiled loops if they can serve these arguments."""
    channels_last = memory_format_of(maps) == torch.channels_last
    known = maps.dtype in _DTYPES and weight.dtype in _DTYPES
    return _loops() if channels_last and known and maps.numel() else None


@cache
def _loops() -> ModuleType | None:
    """The compiled loops; None where numba cannot be used, which is said once."""
    try:
        import numba

        if numba.config.DISABLE_JIT:
            raise ImportError("NUMBA_DISABLE_JIT is set")
        from tvseg.ops import numba_loops
    except (ImportError, OSError) as error:
        warnings.warn(
            f"TVConv runs in plain torch, several times slower, since numba cannot be used "
            f"({error}): install it with `pip install numba`",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return numba_loops


def _nhwc(maps: Tensor) -> Tensor:
    """(B, H, W, C), contiguous: a view of channels_last maps, a copy of others."""
    return maps.permute(0, 2, 3, 1).contiguous()


def _flat(tensor: Tensor) -> Any:
    """The memory of a tensor from its first to its last element, as a flat numpy array."""
    span = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    flat = tensor.detach().as_strided((span,), (1,))
    return (flat.view(torch.uint16) if flat.dtype == torch.bfloat16 else flat).numpy()


def _tables(
    targets: Sequence[int], sources: Sequence[int], taps: int, stride: int, dilation: int,
    *, transposed: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """Which source row each target row meets under each tap row, and the same of columns."""
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
    """(targets, side) indices of sources, -1 where a target meets none under a tap."""
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


class _Job(NamedTuple):
    """One thread's share: tiles and images, each (first, one past the last)."""

    tiles: Span
    images: Span


def _jobs(
    size: Sequence[int], weight_shape: Sequence[int], *, batch: int, split_batch: bool
) -> tuple[int, list[_Job]]:
    """Pixels of a tile, and every thread's share of the tiles of a map (height, width)."""
    height, width = size
    pixel = weight_shape[0] * weight_shape[1]
    worthwhile = batch * height * width * pixel // _THREAD_ELEMENTS
    threads = max(1, min(torch.get_num_threads(), worthwhile))
    tile_width = max(1, min(width, _PACK_ELEMENTS // pixel, height * width // threads))
    tiles = height * -(-width // tile_width)
    by_tile = min(threads, tiles)
    by_image = min(batch, threads // by_tile) if split_batch else 1
    return tile_width, [
        _Job(tile_span, image_span)
        for tile_span in _spans(tiles, by_tile)
        for image_span in _spans(batch, by_image)
    ]


def _spans(count: int, parts: int) -> list[Span]:
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _run(work: Callable[[_Job], None], jobs: Sequence[_Job]) -> None:
    """Do every job, the first one on this thread."""
    others = [_pool().submit(work, job) for job in jobs[1:]]
    work(jobs[0])
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads of this process, started as they are needed."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="tv_conv")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)

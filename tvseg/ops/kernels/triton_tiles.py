"""TVConv's loops over tiles of the maps, compiled by triton; imported at the kernel's first use.

One program computes one tile of its result: a few images (or taps), a patch of neighbouring pixels,
a run of channels. Axes of a tile in this order; `[:, None, None]` puts one in its place. Maps and
weights come with their steps in elements and may lie in memory in any order; only the shape of the
tile is chosen for one. Offsets are 64 bits wide, for tensors of more than 2**31 elements.

Where a tap meets the padding, both sides of the product are masked: zero times NaN would be NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from tvseg.ops.geometry import kernel_size_of
from tvseg.ops.memory_layout import memory_format_of, weight_layout

_THREADS = 128
"""Threads of a program: four warps, which is triton's default."""
_SUMS = 32
"""Sums of a thread: few enough for them and what is loaded for them to stay in registers."""
_IMAGES = 8
"""Images of a tile, at most: its weights are read once for all of them."""
_TAPS = 32
"""Taps of a tile of the weight's gradient, at most."""

# Numbers that are not worth code of their own for 1 and for multiples of 16, as steps and channels
# are: these decide how wide a load is.
_compiled: Callable[[Callable[..., None]], Any] = triton.jit(
    do_not_specialize=["images", "in_height", "in_width", "height", "width"]
)
_inlined: Callable[[Callable[..., Any]], Callable[..., Any]] = triton.jit


def sum_taps(
    source: Tensor, weight: Tensor, result: Tensor, stride: int, dilation: int, *, transposed: bool
) -> None:
    """Fill result, the output or (transposed) the input's gradient, from the other map.

    Args:
        source: (B, C, H, W).
        weight: (C, K, Ho, Wo).
        result: (B, C, H, W) of another size, not empty.
        stride: step in input pixels.
        dilation: step between taps in input pixels.
        transposed: whether source is the gradient of the output.
    """
    weight = weight_layout(weight, memory_format_of(source))
    apart = stride if transposed else 1
    height, width = (-(-size // apart) for size in result.shape[2:])
    vector = _vector(result)
    rows, columns, channels = _patch(result, height, width, _THREADS * vector)
    sums = _THREADS * min(_SUMS, _IMAGES * vector)
    images = min(_power_of_2(result.shape[0]), sums // (rows * columns * channels))
    layers = triton.cdiv(result.shape[0], images) * apart**2
    patches = triton.cdiv(height, rows) * triton.cdiv(width, columns)
    with torch.cuda.device_of(result):  # type: ignore[no-untyped-call]  # torch leaves it bare
        _sum[(layers * patches * triton.cdiv(result.shape[1], channels),)](
            source, weight, result, source.stride(), weight.stride(), result.stride(),
            result.shape[0], result.shape[1], *source.shape[2:], *result.shape[2:],
            KERNEL=kernel_size_of(weight.shape[1]), STRIDE=stride, DILATION=dilation,
            TRANSPOSED=transposed, IMAGES=images, ROWS=rows, COLUMNS=columns, CHANNELS=channels,
        )  # fmt: skip


def spread_taps(grad: Tensor, x: Tensor, result: Tensor, stride: int, dilation: int) -> None:
    """Fill result, the gradient of the weight.

    Args:
        grad: gradient of the output (B, C, Ho, Wo).
        x: input (B, C, H, W).
        result: (C, K, Ho, Wo).
        stride: step in input pixels.
        dilation: step between taps in input pixels.
    """
    all_taps, height, width = result.shape[1:]
    taps = min(_TAPS, _power_of_2(all_taps))
    vector = _vector(x)
    elements = min(_THREADS * vector, _THREADS * min(2 * _SUMS, 16 * vector) // taps)
    rows, columns, channels = _patch(x, height, width, elements)
    layers = triton.cdiv(all_taps, taps)
    patches = triton.cdiv(height, rows) * triton.cdiv(width, columns)
    with torch.cuda.device_of(result):  # type: ignore[no-untyped-call]  # torch leaves it bare
        _spread[(layers * patches * triton.cdiv(x.shape[1], channels),)](
            grad, x, result, grad.stride(), x.stride(), result.stride(),
            x.shape[0], x.shape[1], *x.shape[2:], height, width,
            KERNEL=kernel_size_of(all_taps), STRIDE=stride, DILATION=dilation,
            TAPS=taps, ROWS=rows, COLUMNS=columns, CHANNELS=channels,
        )  # fmt: skip


def _vector(maps: Tensor) -> int:
    """Elements that a thread loads at once: 16 bytes of channels, or two pixels one by one."""
    return 16 // maps.element_size() if memory_format_of(maps) == torch.channels_last else 2


def _patch(maps: Tensor, height: int, width: int, elements: int) -> tuple[int, int, int]:
    """Rows, columns and channels of a tile that holds at most so many elements.

    Channels_last, each pixel holds a run of 128 bytes of channels, and pixels form a square: what
    4 x 4 pixels read under 3 x 3 taps is 2.25 times their own size, under 1 x 16 it is 3.4 times.
    Contiguous, a tile is a patch of a plane, and of more planes where these are small.
    """
    wide, high, deep = _power_of_2(width), _power_of_2(height), _power_of_2(maps.shape[1])
    if memory_format_of(maps) == torch.channels_last:
        channels = min(deep, 128 // maps.element_size(), elements)
        columns = min(wide, 4, elements // channels)
        return min(high, 4, elements // (channels * columns)), columns, channels
    columns = min(wide, 32, elements)
    rows = min(high, elements // columns)
    return rows, columns, min(deep, elements // (rows * columns))


def _power_of_2(number: int) -> int:
    """The smallest power of two that is not below the number."""
    return 1 << (number - 1).bit_length()


@_compiled
def _sum(
    source: tl.tensor, weight: tl.tensor, result: tl.tensor,
    source_steps: tl.tuple, weight_steps: tl.tuple, result_steps: tl.tuple,
    images: int, channels: int, in_height: int, in_width: int, height: int, width: int,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, TRANSPOSED: tl.constexpr,
    IMAGES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """result[b, c, i] = sum over taps of weight[c, t, i] * source[b, c, y]; transposed i <-> y.

    Transposed, the pixels of a tile lie STRIDE apart and make one phase: whether a tap meets any
    output pixel is the same for all of them.
    """
    APART: tl.constexpr = STRIDE if TRANSPOSED else 1
    layers = tl.cdiv(images, IMAGES) * APART * APART
    layer, down, across, depth = _places(
        layers, tl.cdiv(width, APART), channels, ROWS, COLUMNS, CHANNELS
    )
    phase_row, phase_column = layer % (APART * APART) // APART, layer % APART
    batch = layer // (APART * APART) * IMAGES + tl.arange(0, IMAGES)[:, None, None]
    rows, columns = down * APART + phase_row, across * APART + phase_column
    inside = (rows < height) & (columns < width) & (depth < channels)
    source += batch.to(tl.int64) * source_steps[0]
    total = tl.zeros([IMAGES, ROWS * COLUMNS, CHANNELS], tl.float32)
    for tap_row in range(KERNEL):
        y, missed_y = _met(down, phase_row, tap_row, KERNEL, STRIDE, DILATION, TRANSPOSED)
        for tap_column in tl.static_range(KERNEL):
            x, missed_x = _met(
                across, phase_column, tap_column, KERNEL, STRIDE, DILATION, TRANSPOSED
            )
            if missed_y + missed_x == 0:
                met = inside & (y >= 0) & (y < in_height) & (x >= 0) & (x < in_width)
                if TRANSPOSED:
                    place = _offsets(y, x, depth, weight_steps, weight_steps[0])
                else:
                    place = _offsets(rows, columns, depth, weight_steps, weight_steps[0])
                kernels = tl.load(weight + place, mask=met, other=0.0)
                place = _offsets(y, x, depth, source_steps, source_steps[1])
                values = tl.load(source + place, mask=met & (batch < images), other=0.0)
                total += values.to(tl.float32) * kernels.to(tl.float32)
            weight += weight_steps[1]
    place = _offsets(rows, columns, depth, result_steps, result_steps[1])
    place += batch.to(tl.int64) * result_steps[0]
    total = total.to(result.dtype.element_ty)
    tl.store(result + place, total, mask=inside & (batch < images))


@_compiled
def _spread(
    grad: tl.tensor, source: tl.tensor, result: tl.tensor,
    grad_steps: tl.tuple, source_steps: tl.tuple, result_steps: tl.tuple,
    images: int, channels: int, in_height: int, in_width: int, height: int, width: int,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr,
    TAPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """result[c, t, i] = sum over images of grad[b, c, i] * source[b, c, y]."""
    PADDING: tl.constexpr = DILATION * (KERNEL - 1) // 2
    layers = tl.cdiv(KERNEL * KERNEL, TAPS)
    layer, rows, columns, depth = _places(layers, width, channels, ROWS, COLUMNS, CHANNELS)
    taps = tl.arange(0, TAPS)[:, None, None]
    if TAPS < KERNEL * KERNEL:  # otherwise they are known to the compiler
        taps += layer * TAPS
    y = rows * STRIDE + taps // KERNEL * DILATION - PADDING
    x = columns * STRIDE + taps % KERNEL * DILATION - PADDING
    inside = (rows < height) & (columns < width) & (depth < channels)
    asked = inside & (taps < KERNEL * KERNEL)
    met = asked & (y >= 0) & (y < in_height) & (x >= 0) & (x < in_width)
    grad_place = _offsets(rows, columns, depth, grad_steps, grad_steps[1])
    source_place = _offsets(y, x, depth, source_steps, source_steps[1])
    total = tl.zeros([TAPS, ROWS * COLUMNS, CHANNELS], tl.float32)
    for _ in range(images):
        slopes = tl.load(grad + grad_place, mask=inside, other=0.0)
        values = tl.load(source + source_place, mask=met, other=0.0)
        total += slopes.to(tl.float32) * values.to(tl.float32)
        grad += grad_steps[0]
        source += source_steps[0]
    total = tl.where(met, total, 0.0)  # the gradient may be NaN where the source has its padding
    place = _offsets(rows, columns, depth, result_steps, result_steps[0])
    place += taps.to(tl.int64) * result_steps[1]
    tl.store(result + place, total.to(result.dtype.element_ty), mask=asked)


@_inlined
def _places(
    layers: int, width: int, channels: int,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """This program's layer (images, phase or taps) and its patch's rows, columns and channels.

    The layers of a patch are neighbours in time: they read the same weights, or the same maps.
    """
    rest = tl.program_id(0)
    layer = rest % layers
    rest = rest // layers
    deep, wide = tl.cdiv(channels, CHANNELS), tl.cdiv(width, COLUMNS)
    depth = rest % deep * CHANNELS + tl.arange(0, CHANNELS)[None, None, :]
    rest = rest // deep
    pixels = tl.arange(0, ROWS * COLUMNS)[None, :, None]
    columns = rest % wide * COLUMNS + pixels % COLUMNS
    rows = rest // wide * ROWS + pixels // COLUMNS
    return layer, rows, columns, depth


@_inlined
def _met(
    places: tl.tensor, phase: int, tap: int,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, TRANSPOSED: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """Rows (or columns) of the source under a tap; then 0, or more if there are none."""
    PADDING: tl.constexpr = DILATION * (KERNEL - 1) // 2
    if TRANSPOSED:
        # PADDING * STRIDE is added and taken off again: // and % round towards zero
        ahead = phase + PADDING * (STRIDE + 1) - tap * DILATION
        return places + ahead // STRIDE - PADDING, ahead % STRIDE
    return places * STRIDE + tap * DILATION - PADDING, phase * 0


@_inlined
def _offsets(
    rows: tl.tensor, columns: tl.tensor, depth: tl.tensor, steps: tl.tuple, channel_step: int
) -> tl.tensor:
    """Elements from the first one to each pixel's channels."""
    pixels = rows.to(tl.int64) * steps[2] + columns.to(tl.int64) * steps[3]
    return pixels + depth.to(tl.int64) * channel_step

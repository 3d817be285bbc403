"""TVConv's loops over tiles of the maps, compiled by triton; imported at the kernel's first use.

One program computes one tile of its result: a few images (or taps), a patch of neighbouring pixels,
a run of channels. Axes of a tile in this order; `[:, None, None]` puts one in its place. Maps and
weights come with their steps in elements, in any order in memory: the tile's shape alone is chosen
for one. Offsets are 64 bits wide, for tensors of more than 2**31 elements.

A tap that meets the padding is neither loaded nor multiplied, on either side of the product: zero
times NaN would be NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from tvseg.ops.geometry import kernel_size_of
from tvseg.ops.layout import memory_format_of, weight_layout

Block = Any  # inside compiled code: a tile or a number of it
Steps = Any

_WARPS = 4
_ELEMENTS = 4096
"""Elements of a program's tile: 32 sums for each of its threads, which registers hold."""
_TAPS = 32
"""Most taps that one program of the weight's gradient sums up."""

# sizes change with the images, and no code depends on what they are divisible by
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
    rows, columns, channels = _patch(result, height, width, _WARPS * 32 * _per_thread(result))
    images = min(_power_of_2(result.shape[0]), max(1, _ELEMENTS // (rows * columns * channels)))
    programs = triton.cdiv(result.shape[0], images) * apart**2
    programs *= triton.cdiv(height, rows) * triton.cdiv(width, columns)
    programs *= triton.cdiv(result.shape[1], channels)
    with torch.cuda.device_of(result):
        _sum[(programs,)](
            source, weight, result, source.stride(), weight.stride(), result.stride(),
            result.shape[0], result.shape[1], *source.shape[2:], *result.shape[2:],
            KERNEL=kernel_size_of(weight.shape[1]), STRIDE=stride, DILATION=dilation,
            TRANSPOSED=transposed, IMAGES=images, ROWS=rows, COLUMNS=columns, CHANNELS=channels,
            num_warps=_WARPS,
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
    elements = min(_WARPS * 32 * _per_thread(x), 2 * _ELEMENTS // taps)
    rows, columns, channels = _patch(x, height, width, elements)
    programs = triton.cdiv(all_taps, taps) * triton.cdiv(height, rows)
    programs *= triton.cdiv(width, columns) * triton.cdiv(result.shape[0], channels)
    with torch.cuda.device_of(result):
        _spread[(programs,)](
            grad, x, result, grad.stride(), x.stride(), result.stride(),
            x.shape[0], x.shape[1], *x.shape[2:], height, width,
            KERNEL=kernel_size_of(all_taps), STRIDE=stride, DILATION=dilation,
            TAPS=taps, ROWS=rows, COLUMNS=columns, CHANNELS=channels,
            num_warps=_WARPS,
        )  # fmt: skip


def _per_thread(maps: Tensor) -> int:
    """Elements that one thread loads at once: 16 bytes."""
    return 16 // maps.element_size()


def _patch(maps: Tensor, height: int, width: int, elements: int) -> tuple[int, int, int]:
    """Rows, columns and channels of a tile, with the longest run along the innermost axis.

    Pixels form a patch, not a run: neighbours read the same input, and what a tile of 4 x 4
    pixels reads under 3 x 3 taps is 2.25 times its own size, under 1 x 16 it is 3.4 times.
    """
    wide, high, deep = _power_of_2(width), _power_of_2(height), _power_of_2(maps.shape[1])
    if memory_format_of(maps) == torch.channels_last:
        channels = min(deep, 8 * _per_thread(maps), elements)  # 128 bytes
        columns = min(wide, max(1, min(4, elements // channels)))
    else:
        columns = min(wide, 32, elements)
        channels = 1
    rows = min(high, max(1, min(4, elements // (channels * columns))))
    if memory_format_of(maps) != torch.channels_last:
        channels = min(deep, max(1, elements // (rows * columns)))
    return rows, columns, channels


def _power_of_2(number: int) -> int:
    """The smallest power of two that is not below the number."""
    return 1 << (number - 1).bit_length()


@_compiled
def _sum(
    source: Block, weight: Block, result: Block,
    source_steps: Steps, weight_steps: Steps, result_steps: Steps,
    images: int, channels: int, in_height: int, in_width: int, height: int, width: int,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, TRANSPOSED: tl.constexpr,
    IMAGES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """result[b, c, i] = sum over taps of weight[c, t, i] * source[b, c, y]; transposed i <-> y.

    Transposed, the pixels of a tile lie STRIDE apart: they are of one phase, and the taps that
    meet no output pixel are the same for all of them.
    """
    APART: tl.constexpr = STRIDE if TRANSPOSED else 1
    across, down = tl.cdiv(width, APART), tl.cdiv(height, APART)
    row, column, channel, rest = _corner(down, across, channels, ROWS, COLUMNS, CHANNELS)
    phase, group = rest % (APART * APART), rest // (APART * APART)
    pixels = tl.arange(0, ROWS * COLUMNS)[None, :, None]
    places_down, places_across = row + pixels // COLUMNS, column + pixels % COLUMNS
    rows = places_down * APART + phase // APART
    columns = places_across * APART + phase % APART
    depth = channel + tl.arange(0, CHANNELS)[None, None, :]
    batch = group * IMAGES + tl.arange(0, IMAGES)[:, None, None]
    inside = (rows < height) & (columns < width) & (depth < channels)
    source += batch.to(tl.int64) * source_steps[0]
    total = tl.zeros([IMAGES, ROWS * COLUMNS, CHANNELS], tl.float32)
    for tap_row in range(KERNEL):
        for tap_column in tl.static_range(KERNEL):
            source_rows, missed_rows = _met(
                places_down, phase // APART, tap_row, KERNEL, STRIDE, DILATION, TRANSPOSED
            )
            source_columns, missed_columns = _met(
                places_across, phase % APART, tap_column, KERNEL, STRIDE, DILATION, TRANSPOSED
            )
            if missed_rows + missed_columns == 0:
                met = inside & (source_rows >= 0) & (source_rows < in_height)
                met = met & (source_columns >= 0) & (source_columns < in_width)
                if TRANSPOSED:
                    place = _offsets(weight_steps[0], weight_steps, depth, source_rows, source_columns)
                else:
                    place = _offsets(weight_steps[0], weight_steps, depth, rows, columns)
                kernels = tl.load(weight + place, mask=met, other=0.0)
                place = _offsets(source_steps[1], source_steps, depth, source_rows, source_columns)
                values = tl.load(source + place, mask=met & (batch < images), other=0.0)
                total += values.to(tl.float32) * kernels.to(tl.float32)
            weight += weight_steps[1]
    place = _offsets(result_steps[1], result_steps, depth, rows, columns)
    place += batch.to(tl.int64) * result_steps[0]
    tl.store(
        result + place, total.to(result.dtype.element_ty), mask=inside & (batch < images)
    )


@_compiled
def _spread(
    grad: Block, x: Block, result: Block,
    grad_steps: Steps, x_steps: Steps, result_steps: Steps,
    images: int, channels: int, in_height: int, in_width: int, height: int, width: int,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr,
    TAPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
) -> None:  # fmt: skip
    """result[c, t, i] = sum over images of grad[b, c, i] * x[b, c, y]."""
    PADDING: tl.constexpr = DILATION * (KERNEL - 1) // 2
    row, column, channel, group = _corner(height, width, channels, ROWS, COLUMNS, CHANNELS)
    pixels = tl.arange(0, ROWS * COLUMNS)[None, :, None]
    rows, columns = row + pixels // COLUMNS, column + pixels % COLUMNS
    depth = channel + tl.arange(0, CHANNELS)[None, None, :]
    taps = group * TAPS + tl.arange(0, TAPS)[:, None, None]
    x_rows = rows * STRIDE + taps // KERNEL * DILATION - PADDING
    x_columns = columns * STRIDE + taps % KERNEL * DILATION - PADDING
    inside = (rows < height) & (columns < width) & (depth < channels)
    asked = inside & (taps < KERNEL * KERNEL)
    met = asked & (x_rows >= 0) & (x_rows < in_height) & (x_columns >= 0) & (x_columns < in_width)
    grad_place = _offsets(grad_steps[1], grad_steps, depth, rows, columns)
    x_place = _offsets(x_steps[1], x_steps, depth, x_rows, x_columns)
    total = tl.zeros([TAPS, ROWS * COLUMNS, CHANNELS], tl.float32)
    for _ in range(images):
        slopes = tl.load(grad + grad_place, mask=inside, other=0.0)
        values = tl.load(x + x_place, mask=met, other=0.0)
        total += slopes.to(tl.float32) * values.to(tl.float32)
        grad += grad_steps[0]
        x += x_steps[0]
    total = tl.where(met, total, 0.0)  # the gradient may be NaN where x has its padding
    place = _offsets(result_steps[0], result_steps, depth, rows, columns)
    place += taps.to(tl.int64) * result_steps[1]
    tl.store(result + place, total.to(result.dtype.element_ty), mask=asked)


@_inlined
def _corner(
    height: int, width: int, channels: int,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
) -> Any:  # fmt: skip
    """First row, column and channel of this program's tile, and what is left of its number."""
    rest = tl.program_id(0)
    across = tl.cdiv(channels, CHANNELS)
    channel = rest % across * CHANNELS
    rest = rest // across
    across = tl.cdiv(width, COLUMNS)
    column = rest % across * COLUMNS
    rest = rest // across
    across = tl.cdiv(height, ROWS)
    return rest % across * ROWS, column, channel, rest // across


@_inlined
def _met(
    places: Block, phase: int, tap: int,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, TRANSPOSED: tl.constexpr,
) -> Any:  # fmt: skip
    """Rows (or columns) of the source under a tap, and 0 if the tap meets this phase at all."""
    PADDING: tl.constexpr = DILATION * (KERNEL - 1) // 2
    if TRANSPOSED:
        # the padding is added STRIDE times and taken off again, since // rounds towards zero
        ahead = phase + PADDING * (STRIDE + 1) - tap * DILATION
        return places + ahead // STRIDE - PADDING, ahead % STRIDE
    return places * STRIDE + tap * DILATION - PADDING, phase * 0


@_inlined
def _offsets(channel_step: int, steps: Steps, depth: Block, rows: Block, columns: Block) -> Any:
    """Elements from the first one to a pixel's channel."""
    pixels = rows.to(tl.int64) * steps[2] + columns.to(tl.int64) * steps[3]
    return pixels + depth.to(tl.int64) * channel_step

"""TVConv in torch alone: one multiply-add per tap over blocks that stay in the processor's cache.

Letters: B images, C channels, H x W input map, Ho x Wo output map, K = k*k taps.

The three functions are one sum over taps, read in three directions:

    forward      out[b, c, i]  += x[b, c, y] * W[c, t, i]      y = i*stride + t*dilation - padding
    grad_input   dx[b, c, y]   += dout[b, c, i] * W[c, t, i]
    grad_weight  dW[c, t, i]   += dout[b, c, i] * x[b, c, y]

Each adds up in float32 (float64 for float64) and rounds once, at the end. A block is a run of rows
with all channels (channels_last) or a run of channels with all rows (contiguous); the loop over
images is the inner one, so that a block of W is read from memory once for the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tvseg.ops.geometry import Geometry, Span, kernel_size_of, output_size_of
from tvseg.ops.memory_layout import (
    WeightLayout,
    empty_map,
    memory_format_of,
    tap_major_channels_last,
    tap_major_contiguous,
    weight_layout,
)

_BLOCK_ELEMENTS = 1 << 18
"""Elements of one map's block per thread: 1 MiB in float32, as much as a core's L2 cache."""


def forward(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the operator itself.

    Args:
        x: input (B, C, H, W).
        weight: one kernel per channel and output pixel (C, K, Ho, Wo).
        stride: step in input pixels.
        dilation: step between taps in input pixels.

    Returns:
        Output (B, C, Ho, Wo) in x's dtype and memory format.
    """
    geometry = _geometry(x.shape[2:], weight, stride, dilation)
    out = empty_map(x, geometry.out_size)
    _gather(x, weight, out, geometry, transposed=False)
    return out


def layout_for(x: Tensor) -> WeightLayout:
    """Return the function that lays weights out as forward reads them fastest.

    Args:
        x: input maps, of which only the memory format counts.

    Returns:
        (C, K, Ho, Wo) in any strides -> the same numbers; the weight itself if it is laid out so.
    """
    in_pixels = memory_format_of(x) == torch.channels_last
    return tap_major_channels_last if in_pixels else tap_major_contiguous


def grad_input(
    grad: Tensor, weight: Tensor, in_size: Sequence[int], stride: int, dilation: int
) -> Tensor:
    """Compute the gradient with respect to the input.

    Args:
        grad: gradient of the output (B, C, Ho, Wo).
        weight: (C, K, Ho, Wo).
        in_size: (H, W).
        stride: step in input pixels.
        dilation: step between taps in input pixels.

    Returns:
        (B, C, H, W) in grad's dtype and memory format.
    """
    geometry = _geometry(in_size, weight, stride, dilation)
    result = empty_map(grad, geometry.in_size)
    _gather(grad, weight, result, geometry, transposed=True)
    return result


def grad_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the gradient with respect to the weight.

    Args:
        grad: gradient of the output (B, C, Ho, Wo).
        x: input (B, C, H, W).
        weight: (C, K, Ho, Wo), of which only shape, dtype and strides are used.
        stride: step in input pixels.
        dilation: step between taps in input pixels.

    Returns:
        (C, K, Ho, Wo) in the weight's dtype, laid out as weight_layout says.
    """
    geometry = _geometry(x.shape[2:], weight, stride, dilation)
    layout = memory_format_of(x)
    grad, x = grad.contiguous(memory_format=layout), x.contiguous(memory_format=layout)
    result = torch.empty_like(weight_layout(weight, layout))
    for channels, out_rows in _blocks(grad):
        in_rows = geometry.in_rows_of(out_rows)
        target = result[channels, :, slice(*out_rows)]
        total = _zeros_for(target)
        steps = [
            (total[:, tap.index, *tap.outputs], tap) for tap in geometry.taps(out_rows, in_rows)
        ]
        for image in range(grad.shape[0]):
            outputs = _wide(grad[image, channels, slice(*out_rows)])
            inputs = _wide(x[image, channels, slice(*in_rows)])
            for part, tap in steps:
                part.addcmul_(outputs[:, *tap.outputs], inputs[:, *tap.inputs])
        _store(total, target)
    return result


def _gather(
    source: Tensor, weight: Tensor, result: Tensor, geometry: Geometry, *, transposed: bool
) -> None:
    """Fill result block by block: outputs from inputs, or (transposed) inputs from outputs."""
    layout = memory_format_of(source)
    source, weight = source.contiguous(memory_format=layout), weight_layout(weight, layout)
    for channels, rows in _blocks(result):
        out_rows = geometry.out_rows_of(rows) if transposed else rows
        in_rows = rows if transposed else geometry.in_rows_of(rows)
        source_rows = slice(*(out_rows if transposed else in_rows))
        kernels = _wide(weight[channels, :, slice(*out_rows)])
        steps = []
        for tap in geometry.taps(out_rows, in_rows):
            ends = (tap.inputs, tap.outputs) if transposed else (tap.outputs, tap.inputs)
            steps.append((*ends, kernels[:, tap.index, *tap.outputs]))
        for images in _image_groups(result, channels, rows):
            values = _wide(source[images, channels, source_rows])
            target = result[images, channels, slice(*rows)]
            total = _zeros_for(target)
            for to, origin, kernel in steps:
                total[:, :, *to].addcmul_(values[:, :, *origin], kernel)
            _store(total, target)


def _geometry(in_size: Sequence[int], weight: Tensor, stride: int, dilation: int) -> Geometry:
    height, width = in_size
    kernel_size = kernel_size_of(weight.shape[1])
    out_size = output_size_of((height, width), stride)
    return Geometry(kernel_size, stride, dilation, (height, width), out_size)


def _blocks(maps: Tensor) -> Iterator[tuple[slice, Span]]:
    """Yield (channels, rows) blocks of an image, sized for the cache; one block on a GPU."""
    channels, height, width = maps.shape[1:]
    limit = _block_elements(maps)
    if memory_format_of(maps) == torch.channels_last:
        step = max(1, limit // (channels * width))
        for row in range(0, height, step):
            yield slice(0, channels), (row, min(row + step, height))
    else:
        step = max(1, limit // (height * width))
        for channel in range(0, channels, step):
            yield slice(channel, channel + step), (0, height)


def _image_groups(maps: Tensor, channels: slice, rows: Span) -> Iterator[slice]:
    """Yield as many images at a time as one block holds, at least one."""
    count = len(range(*channels.indices(maps.shape[1])))
    step = max(1, _block_elements(maps) // (count * (rows[1] - rows[0]) * maps.shape[3]))
    for image in range(0, maps.shape[0], step):
        yield slice(image, image + step)


def _block_elements(maps: Tensor) -> int:
    if maps.device.type != "cpu":
        return maps.numel()
    return _BLOCK_ELEMENTS * torch.get_num_threads()


def _wide(block: Tensor) -> Tensor:
    """Return the block in the dtype that sums are added up in; itself if it has it."""
    return block.to(torch.promote_types(block.dtype, torch.float32))


def _zeros_for(target: Tensor) -> Tensor:
    """Return zeroed sums for a block of a result: itself where its dtype is wide enough."""
    dtype = torch.promote_types(target.dtype, torch.float32)
    return target.zero_() if dtype == target.dtype else torch.zeros_like(target, dtype=dtype)


def _store(total: Tensor, target: Tensor) -> None:
    if total is not target:
        target.copy_(total)

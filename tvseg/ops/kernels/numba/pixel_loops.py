"""TVConv's loops over channels_last maps, compiled by numba; imported at a kernel's first use.

Maps are (B, H, W, C) in memory. The loops walk over tiles: a run of pixels whose weights stay in a
cache while the images pass by, two at a time. While these two are computed, the pixels of the next
two are prefetched, and with the first two the weights of the tile's next pixel: nine streams of
weights and eighteen of pixels are more than the processor foresees.

The first half is vectors of sixteen float32, written out since LLVM does not find vectors by itself
in loops over arrays that may overlap. It splits them on processors whose vectors are shorter.
uint16 arrays hold bfloat16: they are widened when read and rounded when written.

One file, since numba compiles anew only when the file that holds a cached function has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships neither types nor stubs
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

Array = Any  # inside compiled code
Pointer = Any

LANES = 16
_CACHE_LINE = 64
_TO_READ, _INTO_L2, _DATA = 0, 2, 1  # LLVM's words for what a prefetch is for

_INT32 = ir.IntType(32)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(_INT32, LANES)
_HALVES = ir.VectorType(ir.IntType(16), LANES)
_FLAGS = ir.VectorType(ir.IntType(1), LANES)


class _VectorType(types.Type):  # type: ignore[misc]  # numba is untyped
    def __init__(self) -> None:
        super().__init__(name="tvseg_float32x16")


_VECTOR = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _primitive(function: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = intrinsic(function)
    return made


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function part of the compiled functions that call it."""
    made: Callable[..., Any] = numba.njit(inline="always")(function)
    return made


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile to machine code that releases the interpreter's lock, kept on disk where possible."""
    try:
        made = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        made = numba.njit(nogil=True)(function)

    @wraps(function)
    def call(*arguments: Any) -> None:
        try:
            made(*arguments)
        except OSError:  # the disk is full: the code is there, only its copy is not
            made(*arguments)
        except Exception:  # a file of the cache is damaged, as after a loss of power
            made.recompile()  # empties the cache's index
            made(*arguments)

    return call


def _splat(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [value] * LANES)


def _mask(builder: Any, lanes: Any) -> Any:
    """Make flags of the first lanes; folded away by LLVM where lanes is a constant."""
    undefined = ir.Constant(_WORDS, ir.Undefined)
    count = builder.insert_element(undefined, builder.trunc(lanes, _INT32), ir.Constant(_INT32, 0))
    count = builder.shuffle_vector(count, undefined, _splat(0))
    return builder.icmp_signed("<", ir.Constant(_WORDS, list(range(LANES))), count)


def _vector_at(builder: Any, kind: Any, elements: Any, index: Any) -> tuple[Any, Any, str]:
    """Return the address of elements[index], its alignment in bytes, and LLVM's vector type."""
    memory, size, name = (_HALVES, 2, "i16") if kind.dtype == types.uint16 else (_FLOATS, 4, "f32")
    address = builder.bitcast(builder.gep(elements, [index]), memory.as_pointer())
    return address, ir.Constant(_INT32, size), f"v{LANES}{name}.p0"


def _narrowed(builder: Any, values: Any) -> Any:
    """Round floats to bfloat16, to the nearest and ties to even; a NaN stays one."""
    bits = builder.bitcast(values, _WORDS)
    odd = builder.and_(builder.lshr(bits, _splat(16)), _splat(1))
    rounded = builder.add(builder.add(bits, odd), _splat(0x7FFF))
    quiet = builder.or_(bits, _splat(0x400000))
    bits = builder.select(builder.fcmp_unordered("uno", values, values), quiet, rounded)
    return builder.trunc(builder.lshr(bits, _splat(16)), _HALVES)


@_primitive
def pointer(typing: Any, address: Any, like: Any) -> Any:
    """Return a pointer to an address, to elements of an array's type; cheaper than an array.

    The caller keeps the memory alive.
    """
    kind = types.CPointer(like.dtype)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(kind))

    return kind(types.intp, like), emit


@_primitive
def offset_pointer(typing: Any, elements: Any, offset: Any) -> Any:
    """Return the pointer to elements[offset]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return elements(elements, offset), emit


@_primitive
def prefetch(typing: Any, elements: Any, index: Any) -> Any:
    """Prefetch two vectors from elements[index] into the L2 cache; any address is allowed."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, byte = ir.IntType(32), ir.IntType(8)
        first = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), byte.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [first.type, word, word, word])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        size = 2 * LANES * (signature.args[0].dtype.bitwidth // 8)
        for line in range(0, size, _CACHE_LINE):
            address = builder.gep(first, [word(line)])
            builder.call(fetch, [address, word(_TO_READ), word(_INTO_L2), word(_DATA)])
        return context.get_dummy_value()

    return types.void(elements, index), emit


@_primitive
def zero(typing: Any) -> Any:
    """Return sixteen zeros."""
    return _VECTOR(), lambda *_: ir.Constant(_FLOATS, [0.0] * LANES)


@_primitive
def load(typing: Any, elements: Any, index: Any, lanes: Any) -> Any:
    """Read the vector elements[index : index + lanes], with zeros in the other lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, alignment, name = _vector_at(builder, signature.args[0], *arguments[:2])
        memory = address.type.pointee
        kind = ir.FunctionType(memory, [address.type, _INT32, _FLAGS, memory])
        masked = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{name}")
        flags = _mask(builder, arguments[2])
        values = builder.call(masked, [address, alignment, flags, ir.Constant(memory, None)])
        if memory == _FLOATS:
            return values
        return builder.bitcast(builder.shl(builder.zext(values, _WORDS), _splat(16)), _FLOATS)

    return _VECTOR(elements, index, lanes), emit


@_primitive
def store(typing: Any, elements: Any, index: Any, lanes: Any, vector: Any) -> Any:
    """Write the vector to elements[index : index + lanes]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, alignment, name = _vector_at(builder, signature.args[0], *arguments[:2])
        values = arguments[3]
        if address.type.pointee == _HALVES:
            values = _narrowed(builder, values)
        kind = ir.FunctionType(ir.VoidType(), [values.type, address.type, _INT32, _FLAGS])
        masked = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.{name}")
        builder.call(masked, [values, address, alignment, _mask(builder, arguments[2])])
        return context.get_dummy_value()

    return types.void(elements, index, lanes, vector), emit


@_primitive
def multiply_add(typing: Any, left: Any, right: Any, total: Any) -> Any:
    """Return left * right + total, rounded once where the processor has an instruction for it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
        return builder.call(fused, arguments)

    return _VECTOR(left, right, total), emit


BLOCK = 2 * LANES
"""Channels that one step of the loops handles, for two images: four sums in registers."""


@inlined
def _list_taps(
    rows: Array, columns: Array, transposed: bool, pixel: int, steps: Any, width: int,
    channels: int, seen: Array, pixel_offsets: Array, weight_offsets: Array, unseen: Array,
) -> tuple[int, int]:  # fmt: skip
    """List the offsets of the source pixels under one pixel's taps, and of its weights.

    After those of the valid taps, weight_offsets holds the offsets of the taps that fall on
    padding. unseen lists the source pixels right of the last column visited in their row; seen
    holds these columns and is updated.

    Returns:
        Number of valid taps, and of unseen pixels.
    """
    side = rows.shape[1]
    row, column = divmod(pixel, columns.shape[0])
    n_valid, n_padding, n_unseen = 0, side * side, 0
    for tap_row in range(side):
        y = rows[row, tap_row]
        last = -1
        for tap_column in range(side):
            x, tap = columns[column, tap_column], tap_row * side + tap_column
            if y < 0 or x < 0:
                n_padding -= 1
                weight_offsets[n_padding] = tap * steps[0] + row * steps[1] + column * steps[2]
            else:
                out_row, out_column = (y, x) if transposed else (row, column)
                offset = tap * steps[0] + out_row * steps[1] + out_column * steps[2]
                weight_offsets[n_valid] = offset
                pixel_offsets[n_valid] = (y * width + x) * channels
                if x > seen[y]:
                    unseen[n_unseen] = pixel_offsets[n_valid]
                    n_unseen += 1
                    last = max(last, x)
                n_valid += 1
        if last >= 0:
            seen[y] = last
    return n_valid, n_unseen


@inlined
def _lanes(channels: int, paired: bool) -> tuple[int, int, int, int]:
    """Count the lanes in use in the two vectors of a block: first image, second image."""
    low, high = min(channels, LANES), min(max(channels - LANES, 0), LANES)
    return low, high, low * paired, high * paired


@inlined
def _clear(totals: Pointer, offsets: Array, channels: int) -> None:
    """Write zeros for every tap of one pixel."""
    for tap in range(offsets.size):
        for channel in range(0, channels, LANES):
            store(totals, offsets[tap] + channel, min(LANES, channels - channel), zero())


@inlined
def _sum(
    weights: Any, taps: int, source: Pointer, pixel_offsets: Array, result: Pointer,
    strides: Any, channel: int, lanes: Any,
) -> None:  # fmt: skip
    """Compute one block of one pixel: result = sum over taps of weight * source, two images."""
    kernels, offsets = weights
    a, b, c, d = zero(), zero(), zero(), zero()
    for tap in range(taps):
        kernel, at = offsets[tap] + channel, pixel_offsets[tap] + channel
        low, high = load(kernels, kernel, lanes[0]), load(kernels, kernel + LANES, lanes[1])
        a = multiply_add(low, load(source, at, lanes[0]), a)
        b = multiply_add(high, load(source, at + LANES, lanes[1]), b)
        c = multiply_add(low, load(source, at + strides[0], lanes[2]), c)
        d = multiply_add(high, load(source, at + strides[0] + LANES, lanes[3]), d)
    store(result, channel, lanes[0], a)
    store(result, channel + LANES, lanes[1], b)
    store(result, channel + strides[1], lanes[2], c)
    store(result, channel + strides[1] + LANES, lanes[3], d)


@inlined
def _spread(
    weights: Any, taps: int, source: Pointer, pixel_offsets: Array, grad: Pointer,
    strides: Any, channel: int, lanes: Any,
) -> None:  # fmt: skip
    """Compute one block of one pixel: total += grad * source for each tap, two images."""
    totals, offsets = weights
    a, b = load(grad, channel, lanes[0]), load(grad, channel + LANES, lanes[1])
    c = load(grad, channel + strides[1], lanes[2])
    d = load(grad, channel + strides[1] + LANES, lanes[3])
    for tap in range(taps):
        kernel, at = offsets[tap] + channel, pixel_offsets[tap] + channel
        low, high = load(totals, kernel, lanes[0]), load(totals, kernel + LANES, lanes[1])
        low = multiply_add(a, load(source, at, lanes[0]), low)
        high = multiply_add(b, load(source, at + LANES, lanes[1]), high)
        low = multiply_add(c, load(source, at + strides[0], lanes[2]), low)
        high = multiply_add(d, load(source, at + strides[0] + LANES, lanes[3]), high)
        store(totals, kernel, lanes[0], low)
        store(totals, kernel + LANES, lanes[1], high)


@inlined
def _fetch(elements: Pointer, offsets: Array, count: int, shift: int) -> None:
    """Prefetch one block at each of the first offsets, all of them shifted."""
    for index in range(count):
        prefetch(elements, offsets[index] + shift)


def _over_channels(block: Callable[..., Any], *, reads: bool) -> Callable[..., Any]:
    """Make the loop that runs a block over all channels of one pixel, in two images or in one.

    Meanwhile it prefetches the next two images' unseen pixels and, if the block reads `pixels`,
    these images' pixel there; with beyond > 0 the next pixel's weights, that many elements on.
    """

    def walk(
        weights: Any, taps: int, source: Pointer, pixel_offsets: Array, pixels: Pointer,
        strides: Any, channels: int, paired: bool, unseen: Array, n_unseen: int, beyond: int,
    ) -> None:  # fmt: skip
        whole = channels - channels % BLOCK
        if paired:  # constant lanes become plain loads and stores, or none
            for channel in range(0, whole, BLOCK):
                if beyond > 0:
                    _fetch(weights[0], weights[1], taps, channel + beyond)
                _fetch(source, unseen, n_unseen, channel + 2 * strides[0])
                _fetch(source, unseen, n_unseen, channel + 3 * strides[0])
                if reads and n_unseen > 0:
                    prefetch(pixels, channel + 2 * strides[1])
                    prefetch(pixels, channel + 3 * strides[1])
                lanes = (LANES, LANES, LANES, LANES)
                block(weights, taps, source, pixel_offsets, pixels, strides, channel, lanes)
        else:
            for channel in range(0, whole, BLOCK):
                if beyond > 0:
                    _fetch(weights[0], weights[1], taps, channel + beyond)
                block(
                    weights,
                    taps,
                    source,
                    pixel_offsets,
                    pixels,
                    strides,
                    channel,
                    (LANES, LANES, 0, 0),
                )
        if whole < channels:
            lanes = _lanes(channels - whole, paired)
            block(weights, taps, source, pixel_offsets, pixels, strides, whole, lanes)

    return inlined(walk)


_sum_pixel = _over_channels(_sum, reads=False)
_spread_pixel = _over_channels(_spread, reads=True)


@inlined
def _lists(tile: int, taps: int, height: int) -> Any:
    """Allocate the lists that _list_tile fills, and the last column seen of every row."""
    return (
        np.empty((tile, taps), np.int64),
        np.empty((tile, taps), np.int64),
        np.empty((tile, taps), np.int64),
        np.empty(tile, np.int64),
        np.empty(tile, np.int64),
        np.empty(height, np.int64),
    )


@inlined
def _list_tile(
    lists: Any, first: int, count: int, tables: Any, transposed: bool, steps: Any, sizes: Any
) -> None:
    """Fill the lists of a tile, see _list_taps; one entry for each of its pixels."""
    pixel_offsets, weight_offsets, unseen, n_valid, n_unseen, seen = lists
    seen[:] = -1
    for pixel in range(count):
        n_valid[pixel], n_unseen[pixel] = _list_taps(
            tables[0], tables[1], transposed, first + pixel, steps, sizes[2],
            sizes[0], seen, pixel_offsets[pixel], weight_offsets[pixel], unseen[pixel],
        )  # fmt: skip


@compiled
def sum_pixels(
    like: Any, addresses: Any, steps: Any, rows: Array, columns: Array,
    transposed: bool, sizes: Any, images: Any, tiles: Any, tile: int,
) -> None:  # fmt: skip
    """Compute the output, or (transposed) the gradient of the input, from the source map.

    Args:
        like: arrays of the types of the maps and of the weight.
        addresses: of the weight, of source maps (B, height, width, C) and of the result
            (B, rows.shape[0], columns.shape[0], C), which is written.
        steps: elements between taps, rows and columns of the weight; its channels are adjacent.
        rows: (height of result, k): the source row under each tap row, -1 on padding.
        columns: the same for columns.
        transposed: whether weights belong to the source's pixels and not to the result's.
        sizes: (C, height, width) of the source.
        images: (first, one past the last) image.
        tiles: (first, one past the last) tile, counted row by row.
        tile: pixels of a tile.
    """
    weight, source = pointer(addresses[0], like[1]), pointer(addresses[1], like[0])
    result = pointer(addresses[2], like[0])
    channels, taps = sizes[0], rows.shape[1] ** 2
    pixels = rows.shape[0] * columns.shape[0]
    strides = (sizes[1] * sizes[2] * channels, pixels * channels)
    lists = _lists(tile, taps, sizes[1])
    pixel_offsets, weight_offsets, unseen, n_valid, n_unseen, _ = lists
    for first in range(tiles[0] * tile, min(tiles[1] * tile, pixels), tile):
        count = min(tile, pixels - first)
        _list_tile(lists, first, count, (rows, columns), transposed, steps, sizes)
        for image in range(images[0], images[1], 2):
            paired, more = image + 1 < images[1], image + 2 < images[1]
            beyond = steps[2] * (image == images[0])
            maps = offset_pointer(source, image * strides[0])
            for pixel in range(count):
                target = image * strides[1] + (first + pixel) * channels
                _sum_pixel(
                    (weight, weight_offsets[pixel]), n_valid[pixel], maps, pixel_offsets[pixel],
                    offset_pointer(result, target), strides, channels, paired,
                    unseen[pixel], n_unseen[pixel] * more, beyond,
                )  # fmt: skip


@compiled
def spread_pixels(
    like: Any, addresses: Any, steps: Any, rows: Array, columns: Array,
    sizes: Any, images: Any, tiles: Any, tile: int,
) -> None:  # fmt: skip
    """Compute the gradient of the weight, summed over images.

    Args:
        like: arrays of the types of the maps and of the result, which is float32.
        addresses: of the output's gradient (B, rows.shape[0], columns.shape[0], C), of input maps
            (B, height, width, C), and of the result, which is written.
        steps: elements between taps, rows and columns of the result; its channels are adjacent.
        rows: (height of grad, k): the input row under each tap row, -1 on padding.
        columns: the same for columns.
        sizes: (C, height, width) of the input.
        images: (first, one past the last) image.
        tiles: (first, one past the last) tile, counted row by row.
        tile: pixels of a tile.
    """
    grad, source = pointer(addresses[0], like[0]), pointer(addresses[1], like[0])
    result = pointer(addresses[2], like[1])
    channels, taps = sizes[0], rows.shape[1] ** 2
    pixels = rows.shape[0] * columns.shape[0]
    strides = (sizes[1] * sizes[2] * channels, pixels * channels)
    lists = _lists(tile, taps, sizes[1])
    pixel_offsets, weight_offsets, unseen, n_valid, n_unseen, _ = lists
    for first in range(tiles[0] * tile, min(tiles[1] * tile, pixels), tile):
        count = min(tile, pixels - first)
        _list_tile(lists, first, count, (rows, columns), False, steps, sizes)
        for pixel in range(count):
            _clear(result, weight_offsets[pixel], channels)
        for image in range(images[0], images[1], 2):
            paired, more = image + 1 < images[1], image + 2 < images[1]
            maps = offset_pointer(source, image * strides[0])
            for pixel in range(count):
                target = image * strides[1] + (first + pixel) * channels
                _spread_pixel(
                    (result, weight_offsets[pixel]), n_valid[pixel], maps, pixel_offsets[pixel],
                    offset_pointer(grad, target), strides, channels, paired,
                    unseen[pixel], n_unseen[pixel] * more, 0,
                )  # fmt: skip

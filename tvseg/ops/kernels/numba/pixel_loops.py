"""TVConv's loops over channels_last maps, compiled by numba; imported at a kernel's first use.

Maps lie as (B, H, W, C). The loops walk over tiles: a run of pixels whose weights stay in a cache
while the images pass by, two at a time. While these two are computed, the pixels that the next two
have there are asked for, and with the first two the weights of the tile's next pixel: nine streams
of weights and eighteen of pixels are more than the processor foresees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tvseg.ops.kernels.numba.simd import (
    LANES,
    behind,
    compiled,
    inlined,
    load,
    multiply_add,
    pointer,
    prefetch,
    store,
    zero,
)

Array = Any  # inside compiled code
Pointer = Any

VECTORS_SHA256 = "a401357f5cdf63fc1bfed758a797059e6553e2194d4192fe9fd2c156cc0216ac"
"""Digest of simd.py: numba takes code from its disk cache until this very file changes."""

BLOCK = 2 * LANES
"""Channels that one step of the loops handles, for two images: four sums in registers."""


@inlined
def _list_taps(
    rows: Array, columns: Array, transposed: bool, pixel: int, steps: Any, width: int,
    channels: int, seen: Array, others: Array, weights: Array, fresh: Array,
) -> tuple[int, int]:  # fmt: skip
    """Offsets of the pixels that one pixel meets and of its weights.

    Behind these, weights holds the offsets of the taps that meet the padding. fresh lists the
    pixels behind the last column of their row that was seen before; seen is brought up to date.

    Returns:
        How many are met, and how many of them are fresh.
    """
    side = rows.shape[1]
    row, column = divmod(pixel, columns.shape[0])
    met, missed, news = 0, side * side, 0
    for tap_row in range(side):
        y = rows[row, tap_row]
        last = -1
        for tap_column in range(side):
            x, tap = columns[column, tap_column], tap_row * side + tap_column
            if y < 0 or x < 0:
                missed -= 1
                weights[missed] = tap * steps[0] + row * steps[1] + column * steps[2]
            else:
                out_row, out_column = (y, x) if transposed else (row, column)
                others[met] = (y * width + x) * channels
                weights[met] = tap * steps[0] + out_row * steps[1] + out_column * steps[2]
                if x > seen[y]:
                    fresh[news] = others[met]
                    news += 1
                    last = max(last, x)
                met += 1
        if last >= 0:
            seen[y] = last
    return met, news


@inlined
def _lanes(channels: int, paired: bool) -> tuple[int, int, int, int]:
    """Lanes in use in the two vectors of a block: of the first image, and of the second."""
    low, high = min(channels, LANES), min(max(channels - LANES, 0), LANES)
    return low, high, low * paired, high * paired


@inlined
def _clear(totals: Pointer, offsets: Array, channels: int) -> None:
    """Zeros for every tap of one pixel."""
    for tap in range(offsets.size):
        for channel in range(0, channels, LANES):
            store(totals, offsets[tap] + channel, min(LANES, channels - channel), zero())


@inlined
def _sum(
    weights: Any, taps: int, source: Pointer, others: Array, result: Pointer,
    apart: Any, channel: int, lanes: Any,
) -> None:  # fmt: skip
    """One block of one pixel: result = sum over taps of weight * source, for two images."""
    kernels, offsets = weights
    a, b, c, d = zero(), zero(), zero(), zero()
    for tap in range(taps):
        place, at = offsets[tap] + channel, others[tap] + channel
        low, high = load(kernels, place, lanes[0]), load(kernels, place + LANES, lanes[1])
        a = multiply_add(low, load(source, at, lanes[0]), a)
        b = multiply_add(high, load(source, at + LANES, lanes[1]), b)
        c = multiply_add(low, load(source, at + apart[0], lanes[2]), c)
        d = multiply_add(high, load(source, at + apart[0] + LANES, lanes[3]), d)
    store(result, channel, lanes[0], a)
    store(result, channel + LANES, lanes[1], b)
    store(result, channel + apart[1], lanes[2], c)
    store(result, channel + apart[1] + LANES, lanes[3], d)


@inlined
def _spread(
    weights: Any, taps: int, source: Pointer, others: Array, grad: Pointer,
    apart: Any, channel: int, lanes: Any,
) -> None:  # fmt: skip
    """One block of one pixel: total += grad * source for each tap, over two images."""
    totals, offsets = weights
    a, b = load(grad, channel, lanes[0]), load(grad, channel + LANES, lanes[1])
    c = load(grad, channel + apart[1], lanes[2])
    d = load(grad, channel + apart[1] + LANES, lanes[3])
    for tap in range(taps):
        place, at = offsets[tap] + channel, others[tap] + channel
        low, high = load(totals, place, lanes[0]), load(totals, place + LANES, lanes[1])
        low = multiply_add(a, load(source, at, lanes[0]), low)
        high = multiply_add(b, load(source, at + LANES, lanes[1]), high)
        low = multiply_add(c, load(source, at + apart[0], lanes[2]), low)
        high = multiply_add(d, load(source, at + apart[0] + LANES, lanes[3]), high)
        store(totals, place, lanes[0], low)
        store(totals, place + LANES, lanes[1], high)


@inlined
def _fetch(elements: Pointer, offsets: Array, count: int, shift: int) -> None:
    """Ask for one block at each of the first offsets, all of them shifted."""
    for index in range(count):
        prefetch(elements, offsets[index] + shift)


def _over_channels(block: Callable[..., Any], *, reads: bool) -> Callable[..., Any]:
    """Take a block through all channels of one pixel, in two images or (not paired) in one.

    Meanwhile the next two images' fresh pixels are asked for, and where they are read, their own
    pixel, or (beyond > 0) the next pixel's weights, so many elements behind this one's.
    """

    def walk(
        weights: Any, taps: int, source: Pointer, others: Array, pixels: Pointer, apart: Any,
        channels: int, paired: bool, fresh: Array, news: int, beyond: int,
    ) -> None:  # fmt: skip
        whole = channels - channels % BLOCK
        if paired:  # constant lanes become plain loads and stores, or none
            for channel in range(0, whole, BLOCK):
                if beyond > 0:
                    _fetch(weights[0], weights[1], taps, channel + beyond)
                _fetch(source, fresh, news, channel + 2 * apart[0])
                _fetch(source, fresh, news, channel + 3 * apart[0])
                if reads and news > 0:
                    prefetch(pixels, channel + 2 * apart[1])
                    prefetch(pixels, channel + 3 * apart[1])
                lanes = (LANES, LANES, LANES, LANES)
                block(weights, taps, source, others, pixels, apart, channel, lanes)
        else:
            for channel in range(0, whole, BLOCK):
                if beyond > 0:
                    _fetch(weights[0], weights[1], taps, channel + beyond)
                block(weights, taps, source, others, pixels, apart, channel, (LANES, LANES, 0, 0))
        if whole < channels:
            lanes = _lanes(channels - whole, paired)
            block(weights, taps, source, others, pixels, apart, whole, lanes)

    return inlined(walk)


_sum_pixel = _over_channels(_sum, reads=False)
_spread_pixel = _over_channels(_spread, reads=True)


@inlined
def _lists(tile: int, taps: int, height: int) -> Any:
    """Room for what _list_tile finds, and for the last column seen of every row."""
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
    """Offsets of pixels met, of weights and of fresh pixels, how many are met and how many fresh.

    One of each for every pixel of a tile; see _list_taps.
    """
    others, weights, fresh, met, news, seen = lists
    seen[:] = -1
    for pixel in range(count):
        met[pixel], news[pixel] = _list_taps(
            tables[0], tables[1], transposed, first + pixel, steps, sizes[2],
            sizes[0], seen, others[pixel], weights[pixel], fresh[pixel],
        )  # fmt: skip


@compiled
def sum_pixels(
    like: Any, addresses: Any, steps: Any, rows: Array, columns: Array,
    transposed: bool, sizes: Any, images: Any, tiles: Any, tile: int,
) -> None:  # fmt: skip
    """Forward, or (transposed) the gradient of the input: result pixels from source pixels.

    Args:
        like: arrays of the types of the maps and of the weight.
        addresses: of the weight, of source maps (B, height, width, C) and of the result
            (B, rows.shape[0], columns.shape[0], C), which is written.
        steps: elements between taps, rows and columns of the weight; its channels lie together.
        rows: (height of result, k): the source row that a row meets under each tap row, or -1.
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
    apart = (sizes[1] * sizes[2] * channels, pixels * channels)
    lists = _lists(tile, taps, sizes[1])
    others, weights, fresh, met, news, _ = lists
    for first in range(tiles[0] * tile, min(tiles[1] * tile, pixels), tile):
        count = min(tile, pixels - first)
        _list_tile(lists, first, count, (rows, columns), transposed, steps, sizes)
        for image in range(images[0], images[1], 2):
            paired, more = image + 1 < images[1], image + 2 < images[1]
            beyond = steps[2] * (image == images[0])
            maps = behind(source, image * apart[0])
            for pixel in range(count):
                place = image * apart[1] + (first + pixel) * channels
                _sum_pixel(
                    (weight, weights[pixel]), met[pixel], maps, others[pixel],
                    behind(result, place), apart, channels, paired,
                    fresh[pixel], news[pixel] * more, beyond,
                )  # fmt: skip


@compiled
def spread_pixels(
    like: Any, addresses: Any, steps: Any, rows: Array, columns: Array,
    sizes: Any, images: Any, tiles: Any, tile: int,
) -> None:  # fmt: skip
    """The gradient of the weight, summed over images.

    Args:
        like: arrays of the types of the maps and of the result, which is float32.
        addresses: of the output's gradient (B, rows.shape[0], columns.shape[0], C), of input maps
            (B, height, width, C), and of the result, which is written.
        steps: elements between taps, rows and columns of the result; its channels lie together.
        rows: (height of grad, k): the input row that a row meets under each tap row, or -1.
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
    apart = (sizes[1] * sizes[2] * channels, pixels * channels)
    lists = _lists(tile, taps, sizes[1])
    others, weights, fresh, met, news, _ = lists
    for first in range(tiles[0] * tile, min(tiles[1] * tile, pixels), tile):
        count = min(tile, pixels - first)
        _list_tile(lists, first, count, (rows, columns), False, steps, sizes)
        for pixel in range(count):
            _clear(result, weights[pixel], channels)
        for image in range(images[0], images[1], 2):
            paired, more = image + 1 < images[1], image + 2 < images[1]
            maps = behind(source, image * apart[0])
            for pixel in range(count):
                place = image * apart[1] + (first + pixel) * channels
                _spread_pixel(
                    (result, weights[pixel]), met[pixel], maps, others[pixel],
                    behind(grad, place), apart, channels, paired,
                    fresh[pixel], news[pixel] * more, 0,
                )  # fmt: skip

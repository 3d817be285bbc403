"""TVConv's loops over channels_last maps, compiled by numba; imported at a kernel's first use.

Maps lie as (B, H, W, C), flat. The loops walk over tiles: a few neighbouring pixels of one row.
Two images at a time pass by the weights of a tile. A large batch has these packed into a scratch
array that stays in the L2 cache: in their own array the taps of a pixel lie h*w*c elements apart,
often a multiple of the distance at which cache lines evict one another. A small batch, which reads
each weight once or twice, takes them from where they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tvseg.ops.numba_vectors import LANES, compiled, inlined, load, move, multiply_add, store, zero

Array = Any  # inside compiled code

VECTORS_SHA256 = "8395ee64adfc8e99708cc9c83e41b5f45d509366930495860e574e9b8a760b39"
"""Digest of numba_vectors.py: numba takes code from its disk cache until this very file changes."""

BLOCK = 2 * LANES
"""Channels that one step of the loops handles, for two images: four sums in registers."""


@inlined
def _list_taps(
    rows: Array, columns: Array, transposed: bool, pixel: Any, steps: Any,
    width: int, channels: int, others: Array, weights: Array,
) -> int:  # fmt: skip
    """Offsets of the pixels that one pixel meets and of its weights, and how many there are.

    Behind these, weights holds the offsets of the taps that meet the padding.
    """
    side = rows.shape[1]
    met, missed = 0, side * side
    for tap in range(side * side):
        y, x = rows[pixel[0], tap // side], columns[pixel[1], tap % side]
        if y < 0 or x < 0:
            missed -= 1
            weights[missed] = tap * steps[0] + pixel[0] * steps[1] + pixel[1] * steps[2]
        else:
            out_row, out_column = (y, x) if transposed else pixel
            others[met] = (y * width + x) * channels
            weights[met] = tap * steps[0] + out_row * steps[1] + out_column * steps[2]
            met += 1
    return met


@inlined
def _lanes(channels: int, paired: bool) -> tuple[int, int, int, int]:
    """Lanes in use in the two vectors of a block: of the first image, and of the second."""
    low, high = min(channels, LANES), min(max(channels - LANES, 0), LANES)
    return low, high, low * paired, high * paired


@inlined
def _pack(weight: Array, offsets: Array, taps: int, channels: int, pack: Array, first: int) -> None:
    """Copy one pixel's weights to pack[first:], block of channels by block, tap by tap within each.

    Afterwards offsets are those of the first block in pack; further blocks lie taps blocks apart.
    """
    place = first
    for channel in range(0, channels, BLOCK):
        for tap in range(taps):
            origin = offsets[tap] + channel
            if channel + BLOCK <= channels:
                move(weight, origin, pack, place, LANES)
                move(weight, origin + LANES, pack, place + LANES, LANES)
            else:
                lanes = _lanes(channels - channel, False)
                move(weight, origin, pack, place, lanes[0])
                move(weight, origin + LANES, pack, place + LANES, lanes[1])
            place += BLOCK
    for tap in range(taps):
        offsets[tap] = first + tap * BLOCK


@inlined
def _unpack(pack: Array, taps: int, channels: int, result: Array, offsets: Array) -> None:
    """The inverse of _pack, with zeros for the taps that meet the padding."""
    for channel in range(0, channels, BLOCK):
        for tap in range(offsets.size):
            target, place = offsets[tap] + channel, channel * taps + tap * BLOCK
            low, high = zero(), zero()
            if tap < taps:
                low, high = load(pack, place, LANES), load(pack, place + LANES, LANES)
            if channel + BLOCK <= channels:
                store(result, target, LANES, low)
                store(result, target + LANES, LANES, high)
            else:
                lanes = _lanes(channels - channel, False)
                store(result, target, lanes[0], low)
                store(result, target + LANES, lanes[1], high)


@inlined
def _sum(
    weights: Any, taps: int, source: Array, others: Array, result: Array,
    apart: Any, channel: int, lanes: Any,
) -> None:  # fmt: skip
    """One block of one pixel: result = sum over taps of weight * source, for two images."""
    kernels, offsets, spread = weights
    a, b, c, d = zero(), zero(), zero(), zero()
    for tap in range(taps):
        place, at = offsets[tap] + channel * spread, others[tap] + channel
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
    pack: Array, taps: int, source: Array, others: Array, grad: Array,
    apart: Any, channel: int, lanes: Any,
) -> None:  # fmt: skip
    """One block of one pixel: pack += grad * source for each tap, over two images."""
    a, b = load(grad, channel, lanes[0]), load(grad, channel + LANES, lanes[1])
    c = load(grad, channel + apart[1], lanes[2])
    d = load(grad, channel + apart[1] + LANES, lanes[3])
    place = channel * taps
    for tap in range(taps):
        at = others[tap] + channel
        low, high = load(pack, place, LANES), load(pack, place + LANES, LANES)
        low = multiply_add(a, load(source, at, lanes[0]), low)
        high = multiply_add(b, load(source, at + LANES, lanes[1]), high)
        low = multiply_add(c, load(source, at + apart[0], lanes[2]), low)
        high = multiply_add(d, load(source, at + apart[0] + LANES, lanes[3]), high)
        store(pack, place, LANES, low)
        store(pack, place + LANES, LANES, high)
        place += BLOCK


def _over_channels(block: Callable[..., Any]) -> Callable[..., Any]:
    """Take a block through all channels of one pixel, in two images or (not paired) in one."""

    def walk(
        weights: Any, taps: int, source: Array, others: Array, pixels: Array,
        apart: Any, channels: int, paired: bool,
    ) -> None:  # fmt: skip
        whole = channels - channels % BLOCK
        if paired:  # constant lanes become plain loads and stores, or none
            for channel in range(0, whole, BLOCK):
                lanes = (LANES, LANES, LANES, LANES)
                block(weights, taps, source, others, pixels, apart, channel, lanes)
        else:
            for channel in range(0, whole, BLOCK):
                block(weights, taps, source, others, pixels, apart, channel, (LANES, LANES, 0, 0))
        if whole < channels:
            lanes = _lanes(channels - whole, paired)
            block(weights, taps, source, others, pixels, apart, whole, lanes)

    return inlined(walk)


_sum_pixel = _over_channels(_sum)
_spread_pixel = _over_channels(_spread)


@inlined
def _lists(tile_width: int, taps: int) -> tuple[Array, Array, Array]:
    """Per pixel of a tile: offsets of the pixels met and of their weights, taps met."""
    return (
        np.empty((tile_width, taps), np.int64),
        np.empty((tile_width, taps), np.int64),
        np.empty(tile_width, np.int64),
    )


@compiled
def sum_pixels(
    weight: Array, steps: Any, source: Array, result: Array, rows: Array, columns: Array,
    transposed: bool, sizes: Any, images: Any, tiles: Any, tile_width: int, packed: bool,
) -> None:  # fmt: skip
    """Forward, or (transposed) the gradient of the input: result pixels from source pixels.

    Args:
        weight: flat weights.
        steps: elements between taps, rows and columns of the weight; its channels lie together.
        source: flat maps (B, height, width, C).
        result: flat maps (B, rows.shape[0], columns.shape[0], C), written.
        rows: (height of result, k): the source row that a row meets under each tap row, or -1.
        columns: the same for columns.
        transposed: whether weights belong to the source's pixels and not to the result's.
        sizes: (C, height, width) of the source.
        images: (first, one past the last) image.
        tiles: (first, one past the last) tile, counted along the rows.
        tile_width: pixels of a tile.
        packed: whether to pack a tile's weights.
    """
    channels, width, taps = sizes[0], columns.shape[0], rows.shape[1] ** 2
    across = -(-width // tile_width)
    apart = (sizes[1] * sizes[2] * channels, rows.shape[0] * width * channels)
    others, weights, met = _lists(tile_width, taps)
    room = taps * (channels + BLOCK) * packed
    pack = np.empty(tile_width * room, weight.dtype)
    kernels = pack if packed else weight
    for tile in range(tiles[0], tiles[1]):
        row, left = tile // across, tile % across * tile_width
        count = min(tile_width, width - left)
        for pixel in range(count):
            met[pixel] = _list_taps(
                rows, columns, transposed, (row, left + pixel), steps,
                sizes[2], channels, others[pixel], weights[pixel],
            )  # fmt: skip
            if packed:
                _pack(weight, weights[pixel], met[pixel], channels, pack, pixel * room)
        for image in range(images[0], images[1], 2):
            paired = image + 1 < images[1]
            maps = source[image * apart[0] :]
            for pixel in range(count):
                target = result[image * apart[1] + (row * width + left + pixel) * channels :]
                spread = met[pixel] if packed else 1
                _sum_pixel(
                    (kernels, weights[pixel], spread), met[pixel], maps, others[pixel], target,
                    apart, channels, paired,
                )  # fmt: skip


@compiled
def spread_pixels(
    grad: Array, source: Array, result: Array, steps: Any, rows: Array, columns: Array,
    sizes: Any, images: Any, tiles: Any, tile_width: int,
) -> None:  # fmt: skip
    """The gradient of the weight, summed over images in float32 and rounded once.

    Args:
        grad: flat gradient of the output (B, rows.shape[0], columns.shape[0], C).
        source: flat input maps (B, height, width, C).
        result: flat gradient of the weight, written.
        steps: elements between taps, rows and columns of the result; its channels lie together.
        rows: (height of grad, k): the input row that a row meets under each tap row, or -1.
        columns: the same for columns.
        sizes: (C, height, width) of the input.
        images: (first, one past the last) image.
        tiles: (first, one past the last) tile, counted along the rows.
        tile_width: pixels of a tile.
    """
    channels, width, taps = sizes[0], columns.shape[0], rows.shape[1] ** 2
    across = -(-width // tile_width)
    apart = (sizes[1] * sizes[2] * channels, rows.shape[0] * width * channels)
    others, weights, met = _lists(tile_width, taps)
    pack = np.empty((tile_width, taps * (channels + BLOCK)), np.float32)
    for tile in range(tiles[0], tiles[1]):
        row, left = tile // across, tile % across * tile_width
        count = min(tile_width, width - left)
        for pixel in range(count):
            met[pixel] = _list_taps(
                rows, columns, False, (row, left + pixel), steps,
                sizes[2], channels, others[pixel], weights[pixel],
            )  # fmt: skip
        pack[:count] = 0
        for image in range(images[0], images[1], 2):
            paired = image + 1 < images[1]
            maps = source[image * apart[0] :]
            for pixel in range(count):
                given = grad[image * apart[1] + (row * width + left + pixel) * channels :]
                _spread_pixel(
                    pack[pixel], met[pixel], maps, others[pixel], given, apart, channels, paired
                )
        for pixel in range(count):
            _unpack(pack[pixel], met[pixel], channels, result, weights[pixel])

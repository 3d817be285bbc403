"""TVConv's loops over contiguous maps, compiled by numba.

Maps lie as (B, C, planes, Ho*Wo), flat: the input is cut into stride x stride planes, every so many
rows and columns, one for each remainder. Between one plane and another a tap is a shift along the
flat plane, apart from the pixels that the shift takes over an edge of the map: those have their bit
cleared in a table, are neither read nor multiplied, and sixteen pixels in a row are one vector
whatever the map's width.
Two images at a time pass by the weights of a few channels. A large batch has these packed into
scratch, in the order of their use; a small one takes them from where they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tvseg.ops.kernels.numba.simd import (
    LANES,
    compiled,
    evens,
    load,
    load_where,
    mixed_high,
    mixed_low,
    multiply_add,
    odds,
    store,
    zero,
)

Array = Any  # inside compiled code

VECTORS_SHA256 = "a401357f5cdf63fc1bfed758a797059e6553e2194d4192fe9fd2c156cc0216ac"
"""Digest of simd.py: numba takes code from its disk cache until this very file changes."""


@compiled
def cut_planes(
    maps: Array, planes: Array, sizes: Any, width: int, stride: int, spans: Any, back: bool
) -> None:
    """Copy maps into their planes, or (back) planes into their maps.

    Args:
        maps: flat maps (B, C, H, W).
        planes: flat planes (B, C, stride*stride, Ho, Wo).
        sizes: (H, W, Ho).
        width: Wo.
        stride: step in input pixels.
        spans: (first, one past the last) channel, counted through all images.
        back: whether maps are written.
    """
    for channel in range(spans[0], spans[1]):
        for row in range(sizes[0]):
            for column in range(stride):
                plane = (channel * stride + row % stride) * stride + column
                place = (plane * sizes[2] + row // stride) * width
                at = (channel * sizes[0] + row) * sizes[1] + column
                for pixel in range(-(-(sizes[1] - column) // stride)):
                    if back:
                        maps[at + pixel * stride] = planes[place + pixel]
                    else:
                        planes[place + pixel] = maps[at + pixel * stride]


@compiled
def cut_halves(maps: Array, planes: Array, sizes: Any, width: int, spans: Any, back: bool) -> None:
    """The same at stride 2, where a shuffle of two vectors parts their columns.

    Args:
        maps: as in cut_planes, like all that follow.
        planes: flat planes (B, C, 4, Ho, Wo).
        sizes: (H, W, Ho).
        width: Wo.
        spans: (first, one past the last) channel.
        back: whether maps are written.
    """
    apart = sizes[2] * width
    for channel in range(spans[0], spans[1]):
        for row in range(sizes[0]):
            start = ((channel * 4 + row % 2 * 2) * sizes[2] + row // 2) * width
            begin = (channel * sizes[0] + row) * sizes[1]
            for column in range(0, sizes[1], 2 * LANES):
                left, at, place = sizes[1] - column, begin + column, start + column // 2
                low_lanes, high_lanes = min(left, LANES), min(max(left - LANES, 0), LANES)
                even, odd = min((left + 1) // 2, LANES), min(left // 2, LANES)
                if back:
                    low, high = load(planes, place, even), load(planes, place + apart, odd)
                    store(maps, at, low_lanes, mixed_low(low, high))
                    store(maps, at + LANES, high_lanes, mixed_high(low, high))
                else:
                    low, high = load(maps, at, low_lanes), load(maps, at + LANES, high_lanes)
                    store(planes, place, even, evens(low, high))
                    store(planes, place + apart, odd, odds(low, high))


@compiled
def sum_planes(
    weight: Array, steps: Any, source: Array, result: Array, taps: Any,
    transposed: bool, sizes: Any, images: Any, tiles: Any, tile: Any, packed: bool,
) -> None:  # fmt: skip
    """Forward, or (transposed) the gradient of the input.

    Args:
        weight: flat weights.
        steps: elements between channels and taps of the weight; the pixels of a plane lie together.
        source: flat maps (B, C, planes, pixels).
        result: flat maps (B, C, planes, pixels) from the plane on that is written.
        taps: (numbers of the taps that count, shifts, bits): from a pixel of the result to the one
            of the source that it meets under each, and (vectors of a plane, taps) which of sixteen
            pixels meet one.
        transposed: whether weights belong to the source's pixels and not to the result's.
        sizes: (C, pixels, planes of the source, planes of the result).
        images: (first, one past the last) image.
        tiles: (first, one past the last) tile, counted plane by plane.
        tile: (channels, vectors) of a tile.
        packed: whether to pack a tile's weights.
    """
    channels, pixels, source_planes, result_planes = sizes
    numbers, shifts, bits = taps
    vectors, count = bits.shape
    along = -(-vectors // tile[1])
    apart = channels * source_planes * pixels, channels * result_planes * pixels
    pack = np.empty(tile[0] * tile[1] * count * LANES * packed, np.float32)
    for index in range(tiles[0], tiles[1]):
        first, begin = index // along * tile[0], index % along * tile[1]
        last, end = min(channels, first + tile[0]), min(vectors, begin + tile[1])
        place = 0
        for channel in range(first, last if packed else first):
            for vector in range(begin, end):
                for tap in range(count):
                    at = channel * steps[0] + numbers[tap] * steps[1] + vector * LANES
                    at += shifts[tap] * transposed
                    store(pack, place, LANES, load_where(weight, at, bits[vector, tap]))
                    place += LANES
        for image in range(images[0], images[1], 2):
            paired = image + 1 < images[1]
            place = 0
            for channel in range(first, last):
                origin = image * apart[0] + channel * source_planes * pixels
                target = image * apart[1] + channel * result_planes * pixels
                for vector in range(begin, end):
                    a, b = zero(), zero()
                    for tap in range(count):
                        at = origin + vector * LANES + shifts[tap]
                        met = bits[vector, tap]
                        if packed:
                            kernel = load(pack, place, LANES)
                        else:
                            own = channel * steps[0] + numbers[tap] * steps[1] + vector * LANES
                            kernel = load_where(weight, own + shifts[tap] * transposed, met)
                        a = multiply_add(kernel, load_where(source, at, met), a)
                        b = multiply_add(kernel, load_where(source, at + apart[0], met * paired), b)
                        place += LANES
                    lanes = min(LANES, pixels - vector * LANES)
                    store(result, target + vector * LANES, lanes, a)
                    store(result, target + apart[1] + vector * LANES, lanes * paired, b)


@compiled
def spread_planes(
    grad: Array, source: Array, result: Array, steps: Any, taps: Any,
    sizes: Any, images: Any, tiles: Any, tile: Any,
) -> None:  # fmt: skip
    """The gradient of the weight, summed over images in float32 and rounded once.

    Args:
        grad: flat gradient of the output (B, C, pixels).
        source: flat input maps (B, C, planes, pixels).
        result: flat gradient of the weight, written.
        steps: elements between channels and taps of the result; the pixels of a plane lie together.
        taps: as in sum_planes, from a pixel of the output to the one of the input that it meets;
            all of them count.
        sizes: (C, pixels, planes of the source).
        images: (first, one past the last) image.
        tiles: (first, one past the last) tile, counted plane by plane.
        tile: (channels, vectors) of a tile.
    """
    channels, pixels, planes = sizes
    _, shifts, bits = taps
    vectors, count = bits.shape
    along = -(-vectors // tile[1])
    apart = channels * planes * pixels
    pack = np.empty(tile[0] * tile[1] * count * LANES, np.float32)
    for index in range(tiles[0], tiles[1]):
        first, begin = index // along * tile[0], index % along * tile[1]
        last, end = min(channels, first + tile[0]), min(vectors, begin + tile[1])
        pack[:] = 0
        for image in range(images[0], images[1], 2):
            paired = image + 1 < images[1]
            place = 0
            for channel in range(first, last):
                base = (image * channels + channel) * pixels
                origin = image * apart + channel * planes * pixels
                for vector in range(begin, end):
                    lanes = min(LANES, pixels - vector * LANES)
                    a = load(grad, base + vector * LANES, lanes)
                    b = load(grad, base + channels * pixels + vector * LANES, lanes * paired)
                    for tap in range(count):
                        at = origin + vector * LANES + shifts[tap]
                        met = bits[vector, tap]
                        total = load(pack, place, LANES)
                        total = multiply_add(a, load_where(source, at, met), total)
                        total = multiply_add(b, load_where(source, at + apart, met * paired), total)
                        store(pack, place, LANES, total)
                        place += LANES
        place = 0
        for channel in range(first, last):
            for vector in range(begin, end):
                lanes = min(LANES, pixels - vector * LANES)
                for tap in range(count):
                    at = channel * steps[0] + tap * steps[1] + vector * LANES
                    store(result, at, lanes, load_where(pack, place, bits[vector, tap]))
                    place += LANES

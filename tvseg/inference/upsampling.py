"""Maps at the network's size, enlarged only where something can be.

The arithmetic is that of torch's bilinear ``grid_sample`` in float32 on a CPU, to the last bit:
``align_corners=False``, pixel centres on halves, edges continued.
"""

from typing import NamedTuple

import numpy as np

from tvseg.data.geometry import Box


class Square(NamedTuple):
    """The square of a grid that maps cover: its first row and column, and its side, in px."""

    row: float
    col: float
    side: float

    @property
    def box(self) -> Box:
        """The smallest box of whole pixels that holds it."""
        row, col = int(np.floor(self.row)), int(np.floor(self.col))
        end, right = int(np.ceil(self.row + self.side)), int(np.ceil(self.col + self.side))
        return Box(row, col, end - row, right - col)


def box_above(maps: np.ndarray, level: float, square: Square) -> Box:
    """Return a box of the grid outside which no enlarged map is above a level.

    Args:
        maps: (S, s, s).
        level: The level.
        square: Where in the grid the maps lie.
    """
    box, scale = Box.of(maps > level), square.side / maps.shape[-1]
    if box.is_empty:
        return box
    spans = []
    for start, first, count in (
        (square.row, box.row, box.height),
        (square.col, box.col, box.width),
    ):
        low = np.floor(start + max(0, (first - 1) * scale))  # a neighbour reaches one pixel
        high = np.ceil(start + min(square.side, (first + count + 1) * scale))
        spans.append((int(low), int(high - low)))
    (row, height), (col, width) = spans
    return Box(row, col, height, width)


def enlarge(maps: np.ndarray, square: Square, box: Box) -> np.ndarray:
    """Enlarge maps bilinearly, and keep a box.

    Args:
        maps: float32 (S, s, s).
        square: Where in the grid the maps lie.
        box: The part of the grid to compute.

    Returns:
        float32 (S, box.height, box.width).
    """
    top, bottom, below, above = _taps(maps.shape[1], box.row - square.row, box.height, square.side)
    left, right, after, before = _taps(maps.shape[2], box.col - square.col, box.width, square.side)
    total: np.ndarray = np.zeros((len(maps), box.height, box.width), np.float32)
    for rows, row_weights in ((top, above), (bottom, below)):
        strips = maps[:, rows]
        for cols, col_weights in ((left, before), (right, after)):
            weights = row_weights[:, None] * col_weights
            for strip, sums in zip(strips, total, strict=True):  # multiply-add, rounded once
                product = np.multiply(strip.take(cols, axis=1), weights, dtype=np.float64)
                sums[...] = np.add(product, sums, out=product)
    return total


def enlarge_whole(maps: np.ndarray, side: int) -> np.ndarray:
    """Enlarge batches of maps, float32 (B, S, s, s), to (B, S, side, side)."""
    if maps.shape[-1] == side:
        return maps
    box = Box(0, 0, side, side)
    return np.stack([enlarge(one, Square(0, 0, side), box) for one in maps])


def _taps(size: int, first: float, count: int, side: float) -> tuple[np.ndarray, ...]:
    """Return the two nearest indices of each grid line, and the weights of the second and first."""
    half = np.float32(0.5)
    normal = (2 * (first + np.arange(count)) + 1).astype(np.float32) / np.float32(side) - 1
    at = ((normal + 1) * (np.float32(size) / 2) - half).clip(0, np.float32(size - 1))
    low = np.floor(at)
    index = low.astype(np.intp)
    return index, np.minimum(index + 1, size - 1), at - low, 1 - (at - low)

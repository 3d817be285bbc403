"""Input pixels under each tap of each output pixel: slices only, no arithmetic on data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Span = tuple[int, int]
"""A half-open range of row or column indices: (first, one past the last)."""


@dataclass(frozen=True)
class Tap:
    """One kernel position inside a block: where it writes and reads, relative to the block.

    Args:
        index: position of the tap in the kernel, row by row.
        outputs: (rows, columns) of the output map and of the weights.
        inputs: (rows, columns) of the input map, one for each of outputs.
    """

    index: int
    outputs: tuple[slice, slice]
    inputs: tuple[slice, slice]


@dataclass(frozen=True)
class Geometry:
    """Sizes of one call: output pixel i reads input pixel i*stride + (tap*dilation - padding).

    Args:
        kernel_size: k, odd.
        stride: step between the input pixels under neighbouring output pixels.
        dilation: step between neighbouring taps, in input pixels.
        in_size: (height, width) of the input map.
        out_size: (height, width) of the output map.
    """

    kernel_size: int
    stride: int
    dilation: int
    in_size: tuple[int, int]
    out_size: tuple[int, int]

    @property
    def padding(self) -> int:
        """Return the zero rows and columns that surround the input on every side."""
        return self.dilation * (self.kernel_size - 1) // 2

    def in_rows_of(self, out_rows: Span) -> Span:
        """Return the input rows under the given output rows, zero padding left out."""
        first = out_rows[0] * self.stride - self.padding
        last = (out_rows[1] - 1) * self.stride + self.padding
        return max(0, first), min(self.in_size[0], last + 1)

    def out_rows_of(self, in_rows: Span) -> Span:
        """Return the output rows that read any of the given input rows."""
        first = _ceil_div(in_rows[0] - self.padding, self.stride)
        last = (in_rows[1] - 1 + self.padding) // self.stride
        return max(0, first), min(self.out_size[0], last + 1)

    def taps(self, out_rows: Span, in_rows: Span) -> Iterator[Tap]:
        """Yield every tap that joins the two blocks of rows, with the slices it joins.

        Taps that only fall on the zero padding are left out: no pixel is ever multiplied by a
        padding zero, so NaN and Inf reach their neighbourhood and nothing else.
        """
        for index in range(self.kernel_size**2):
            tap_row, tap_col = divmod(index, self.kernel_size)
            rows = self._join(tap_row, out_rows, in_rows)
            cols = self._join(tap_col, (0, self.out_size[1]), (0, self.in_size[1]))
            if rows and cols:
                yield Tap(index, (rows[0], cols[0]), (rows[1], cols[1]))

    def _join(self, tap: int, out_span: Span, in_span: Span) -> tuple[slice, slice] | None:
        """Return the slices (output, input) of an axis that a tap joins; None if there are none."""
        shift = tap * self.dilation - self.padding
        first = max(out_span[0], _ceil_div(in_span[0] - shift, self.stride))
        stop = min(out_span[1], _ceil_div(in_span[1] - shift, self.stride))
        if first >= stop:
            return None
        in_first = first * self.stride + shift - in_span[0]
        in_stop = (stop - 1) * self.stride + shift - in_span[0] + 1
        outputs = slice(first - out_span[0], stop - out_span[0])
        return outputs, slice(in_first, in_stop, self.stride)


def kernel_size_of(taps: int) -> int:
    """Return the side of a square kernel from its number of taps.

    Args:
        taps: k*k.

    Returns:
        k.

    Raises:
        ValueError: if taps is not the square of an odd number.
    """
    side = 1
    while side * side < taps:
        side += 2
    if side * side != taps:
        raise ValueError(
            f"the weight's second axis must hold k*k taps for an odd k (1, 9, 25, ...), got {taps}:"
            " lay the weight out as (channels, k*k, height, width)"
        )
    return side


def output_size_of(in_size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return height and width of the output map; zero padding keeps them at stride 1.

    Args:
        in_size: (height, width) of the input map.
        stride: step in input pixels.

    Returns:
        (height, width) of the output map.
    """
    return (in_size[0] - 1) // stride + 1, (in_size[1] - 1) // stride + 1


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)

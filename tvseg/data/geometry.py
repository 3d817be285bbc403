"""A square window of a photograph: cut out as a region of interest, masks pasted back."""

from dataclasses import dataclass

import numpy as np

from tvseg.errors import UserError


@dataclass(frozen=True)
class Window:
    """A square in a photograph's pixel grid; it may reach beyond the photograph.

    Args:
        row: First row in px; may be negative.
        col: First column in px; may be negative.
        side: Rows and columns in px.

    Raises:
        ValueError: ``side`` is below 1.
    """

    row: int
    col: int
    side: int

    def __post_init__(self) -> None:
        if self.side < 1:
            raise UserError(f"a window's side must be at least 1 px, got {self.side}")

    @staticmethod
    def about(row: float, col: float, side: float) -> "Window":
        """The window of a side in px about a point (row, col), to the nearest pixel."""
        whole = max(1, round(side))
        return Window(round(row - (whole - 1) / 2), round(col - (whole - 1) / 2), whole)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The pixels in the window, with zeros beyond the photograph.

        Args:
            image: (H, W) or (H, W, C).

        Returns:
            (side, side) or (side, side, C).

        Raises:
            ValueError: The window and the photograph share no pixel.
        """
        inside, own = self._overlap(image.shape[0], image.shape[1])
        region = np.zeros((self.side, self.side, *image.shape[2:]), image.dtype)
        region[own] = image[inside]
        return region

    def paste(self, masks: np.ndarray, height: int, width: int) -> np.ndarray:
        """Masks of the window in the photograph's own coordinates, nothing outside the window.

        Args:
            masks: (S, side, side).
            height: Of the photograph in px.
            width: Of the photograph in px.

        Returns:
            (S, height, width).

        Raises:
            ValueError: The masks are not of the window's size, or the two share no pixel.
        """
        if masks.shape[1:] != (self.side, self.side):
            raise UserError(f"masks must be {self.side} px a side, got {masks.shape[1:]}")
        inside, own = self._overlap(height, width)
        whole = np.zeros((len(masks), height, width), masks.dtype)
        whole[:, *inside] = masks[:, *own]
        return whole

    def _overlap(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Slices (rows, columns) of the photograph and of the window that are the same pixels."""
        spans = [
            (max(0, first), min(length, first + self.side), first)
            for first, length in ((self.row, height), (self.col, width))
        ]
        if any(begin >= end for begin, end, _ in spans):
            raise UserError(
                f"a window must overlap its photograph of {width} x {height} px, got {self}"
            )
        (top, bottom, row), (left, right, col) = spans
        own = slice(top - row, bottom - row), slice(left - col, right - col)
        return (slice(top, bottom), slice(left, right)), own

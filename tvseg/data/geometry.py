"""Rectangles of whole pixels: regions of interest, bounding boxes, parts of a picture."""

from dataclasses import dataclass, replace

import numpy as np

from tvseg.errors import UserError


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in a picture's pixel grid; it may reach beyond the picture, and may be empty.

    Attributes:
        row: First row in px; may be negative.
        col: First column in px; may be negative.
        height: Rows in px.
        width: Columns in px.
    """

    row: int
    col: int
    height: int
    width: int

    @staticmethod
    def of(mask: np.ndarray) -> "Box":
        """Return the smallest box that holds a mask.

        Args:
            mask: bool (H, W), or (S, H, W) for several together.

        Returns:
            The box; an empty one for an empty mask.
        """
        others = tuple(range(mask.ndim - 2))
        rows, cols = (np.flatnonzero(mask.any(axis=(*others, axis))) for axis in (-1, -2))
        if not rows.size:
            return Box(0, 0, 0, 0)
        top, left = int(rows[0]), int(cols[0])
        return Box(top, left, int(rows[-1]) + 1 - top, int(cols[-1]) + 1 - left)

    @staticmethod
    def frame(picture: np.ndarray) -> "Box":
        """Return the box of a whole picture, (H, W) or (H, W, C)."""
        return Box(0, 0, *picture.shape[:2])

    @staticmethod
    def about(row: float, col: float, side: float) -> "Box":
        """Return the square of a side in px about a point, to the nearest pixel."""
        whole = max(1, round(side))
        return Box(round(row - (whole - 1) / 2), round(col - (whole - 1) / 2), whole, whole)

    @property
    def side(self) -> int:
        """The longer side in px."""
        return max(self.height, self.width)

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.height < 1 or self.width < 1

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of the middle; pixel centres lie on whole numbers."""
        return self.row + (self.height - 1) / 2, self.col + (self.width - 1) / 2

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array with."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def square(self, margin: float = 0.0) -> "Box":
        """Return the square about the middle.

        Args:
            margin: Added on each side, as a share of the longer side.
        """
        return Box.about(*self.centre, self.side * (1 + 2 * margin))

    def overlap(self, other: "Box") -> "Box":
        """Return the part that lies in another box, too; empty where there is none."""
        top, left = max(self.row, other.row), max(self.col, other.col)
        bottom = min(self.row + self.height, other.row + other.height)
        right = min(self.col + self.width, other.col + other.width)
        return Box(top, left, max(0, bottom - top), max(0, right - left))

    def seen_from(self, other: "Box") -> "Box":
        """Return the same box, rows and columns counted from another's first pixel."""
        return self.shifted(-other.row, -other.col)

    def shifted(self, rows: int, cols: int) -> "Box":
        """Return the box moved by rows and columns."""
        return replace(self, row=self.row + rows, col=self.col + cols)

    def moved_into(self, height: int, width: int) -> "Box":
        """Return the box moved, and shortened where it is too large, to lie in a picture.

        Args:
            height: Of the picture in px.
            width: Of the picture in px.
        """
        rows, cols = min(self.height, height), min(self.width, width)
        row = self.row + (self.height - rows) // 2
        col = self.col + (self.width - cols) // 2
        return Box(min(max(0, row), height - rows), min(max(0, col), width - cols), rows, cols)

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """Return the pixels in the box, with zeros beyond the picture.

        Args:
            picture: (H, W) or (H, W, C).

        Returns:
            (height, width) or (height, width, C).

        Raises:
            UserError: Box and picture share no pixel.
        """
        inside = self.overlap(Box.frame(picture))
        if inside.is_empty:
            rows, cols = picture.shape[:2]
            raise UserError(
                f"the window (row {self.row}, column {self.col}, {self.width} x {self.height} px) "
                f"must lie on the photograph of {cols} x {rows} px, at least in part"
            )
        if inside == self:
            return picture[self.slices]
        region = np.zeros((self.height, self.width, *picture.shape[2:]), picture.dtype)
        region[inside.seen_from(self).slices] = picture[inside.slices]
        return region

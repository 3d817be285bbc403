"""Masks in a photograph's own coordinates, kept as the small part that is not background."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tvseg.data.centres import MaskEncoding
from tvseg.inference.contours import outline, sparse_outline


@dataclass(frozen=True)
class PlacedMasks:
    """Masks of a rectangle of a photograph; there is nothing outside it.

    Attributes:
        masks: bool (S, h, w), of the rectangle; h and w may be 0.
        row: First row of the rectangle in the photograph, in px.
        col: First column, in px.
        height: Of the photograph, in px.
        width: Of the photograph, in px.
    """

    masks: np.ndarray
    row: int
    col: int
    height: int
    width: int

    @staticmethod
    def nothing(structures: int, height: int, width: int) -> "PlacedMasks":
        """No pixel of any structure."""
        return PlacedMasks(np.zeros((structures, 0, 0), bool), 0, 0, height, width)

    @cached_property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the photograph that the rectangle takes."""
        rows, columns = self.masks.shape[1:]
        return slice(self.row, self.row + rows), slice(self.col, self.col + columns)

    def whole(self) -> np.ndarray:
        """The masks at the photograph's size, bool (S, height, width)."""
        whole = np.zeros((len(self.masks), self.height, self.width), bool)
        whole[:, *self.place] = self.masks
        return whole

    def labels(self, encoding: MaskEncoding) -> np.ndarray:
        """The label image, uint8 (height, width).

        Raises:
            ValueError: A pixel whose structures belong together in no value of the encoding.
        """
        background = encoding.encode(np.zeros((len(self.masks), 1, 1), bool))[0, 0]
        labels = np.full((self.height, self.width), background, np.uint8)
        labels[self.place] = encoding.encode(self.masks)
        return labels

    @cached_property
    def outlines(self) -> list[list[np.ndarray]]:
        """Of each structure the polygons of (row, col) points, pixel centres on whole numbers."""
        return [
            [polygon + np.array([self.row, self.col]) for polygon in outline(mask)]
            for mask in self.masks
        ]

    @cached_property
    def sparse_outlines(self) -> list[list[np.ndarray]]:
        """Of each structure the polygons of (x, y) points from the first pixel's outer corner."""
        return [
            [polygon + np.array([self.col, self.row]) for polygon in sparse_outline(mask)]
            for mask in self.masks
        ]

"""Masks in a photograph's own coordinates, kept as the small part that is not background."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.inference.contours import outline, sparse_outline


@dataclass(frozen=True)
class PlacedMasks:
    """Masks of a rectangle of a photograph; there is nothing outside it.

    Attributes:
        masks: bool (S, h, w), of the rectangle; h and w may be 0.
        box: The rectangle, in the photograph's pixels.
        height: Of the photograph, in px.
        width: Of the photograph, in px.
    """

    masks: np.ndarray
    box: Box
    height: int
    width: int

    @cached_property
    def extent(self) -> Box:
        """The smallest box in the photograph that holds all structures."""
        return Box.of(self.masks).shifted(self.box.row, self.box.col)

    def whole(self) -> np.ndarray:
        """The masks at the photograph's size, bool (S, height, width)."""
        whole = np.zeros((len(self.masks), self.height, self.width), bool)
        whole[:, *self.box.slices] = self.masks
        return whole

    def labels(self, encoding: MaskEncoding) -> np.ndarray:
        """The label image, uint8 (height, width).

        Raises:
            ValueError: A pixel whose structures belong together in no value of the encoding.
        """
        background = encoding.encode(np.zeros((len(self.masks), 1, 1), bool))[0, 0]
        labels = np.full((self.height, self.width), background, np.uint8)
        labels[self.box.slices] = encoding.encode(self.masks)
        return labels

    @cached_property
    def outlines(self) -> list[list[np.ndarray]]:
        """Of each structure the polygons of (row, col) points, pixel centres on whole numbers."""
        return [
            [polygon + np.array([self.box.row, self.box.col]) for polygon in outline(mask)]
            for mask in self.masks
        ]

    @cached_property
    def sparse_outlines(self) -> list[list[np.ndarray]]:
        """Of each structure the polygons of (x, y) points from the first pixel's outer corner."""
        return [
            [polygon + np.array([self.box.col, self.box.row]) for polygon in sparse_outline(mask)]
            for mask in self.masks
        ]

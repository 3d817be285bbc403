"""Masks in a photograph's coordinates, kept as the part that is not background; outlines."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from skimage.measure import find_contours

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box

TOLERANCE_PX = 0.3  # below the 0.35 px between an outline and the next pixel's centre


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """Return the closed outlines of a mask, which enclose about its area.

    Args:
        mask: bool (H, W).

    Returns:
        Polygons of (row, column) points in px, first point repeated at the end; pixel centres lie
        on whole numbers. Holes have polygons too, of opposite orientation. Empty for an empty mask.

    Source: marching squares at level 0.5, ``skimage.measure.find_contours``.
    """
    padded = np.pad(mask, 1).astype(np.float32)  # closes outlines that touch the border
    return [polygon - 1 for polygon in find_contours(padded, 0.5)]


def sparse_outline(mask: np.ndarray) -> list[np.ndarray]:
    """:func:`outline` with about a third of the points, enclosing the same pixel centres.

    Args:
        mask: bool (H, W).

    Returns:
        Polygons of (x, y) points in px from the outer corner of the first pixel, whose centre is
        at (0.5, 0.5), as COCO, QuPath and LabelMe count; first point repeated at the end.

    Source: Douglas-Peucker, ``skimage.measure.approximate_polygon``.
    """
    from skimage.measure import approximate_polygon  # takes a second

    return [approximate_polygon(polygon, TOLERANCE_PX)[:, ::-1] + 0.5 for polygon in outline(mask)]


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

"""Outlines of masks as polygons."""

import numpy as np
from skimage.measure import approximate_polygon, find_contours

TOLERANCE_PX = 0.3  # below the 0.35 px between an outline and the next pixel's centre


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """The closed outlines of a mask, whose enclosed area is about the mask's own.

    Args:
        mask: bool (H, W).

    Returns:
        Polygons of (row, column) points in px, first point repeated at the end; pixel centres lie
        on whole numbers. Empty for an empty mask.

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
    return [approximate_polygon(polygon, TOLERANCE_PX)[:, ::-1] + 0.5 for polygon in outline(mask)]

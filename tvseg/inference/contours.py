"""Outlines of masks as polygons."""

import numpy as np
from skimage.measure import find_contours


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

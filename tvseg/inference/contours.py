"""Outlines of masks as polygons."""

from collections.abc import Sequence

import numpy as np
from skimage.measure import find_contours

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


def nest(polygons: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Group the outlines of one mask: each outer one, followed by those of the holes in it.

    Args:
        polygons: Of :func:`sparse_outline`.
    """
    from skimage.measure import points_in_poly

    areas = [_signed_area(polygon) for polygon in polygons]
    outer = sorted((area, index) for index, area in enumerate(areas) if area > 0)
    holes: dict[int, list[np.ndarray]] = {index: [] for _, index in outer}
    for hole, area in zip(polygons, areas, strict=True):
        around = (
            index
            for size, index in outer
            if area < 0 and size > -area and points_in_poly(hole[:1], polygons[index])[0]
        )
        if (smallest := next(around, None)) is not None:
            holes[smallest].append(hole)
    return [[polygons[index], *holes[index]] for index in sorted(holes)]


def bridge(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Join an outer ring and its holes into one polygon that fills the same pixels.

    Each hole is reached by a line that is walked there and back, and so encloses nothing.

    Args:
        rings: Closed rings of points, the outer one first, holes of opposite orientation.
    """
    joined = rings[0]
    for hole in rings[1:]:
        apart = np.linalg.norm(joined[:, None] - hole[None, :-1], axis=-1)
        here, there = np.unravel_index(int(apart.argmin()), apart.shape)
        turned = np.concatenate([hole[there:-1], hole[: there + 1]])
        joined = np.concatenate([joined[: here + 1], turned, joined[here:]])
    return joined


def _signed_area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)

"""Flags: what a reader of the measurements should look at before believing them."""

from collections.abc import Sequence

import numpy as np

from tvseg.data.geometry import Window
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.regions import extent_inside
from tvseg.inference.upsampling import Extent

LOW_CONTRAST = 20
"""Grey levels between the 5th and 95th percentile of the green channel in the region. Regions of
usable photographs of five cameras had 22 and more, their medians from 62 to 140."""

_SAMPLED_PX = 128  # percentiles are taken on about so many rows and columns


def flags(
    image: np.ndarray, window: Window | None, placed: PlacedMasks, structures: Sequence[str]
) -> list[str]:
    """What is the matter with a prediction.

    Args:
        image: The photograph, uint8 (H, W, 3).
        window: The region that the network saw, ``None`` where no disc was found.
        placed: The masks.
        structures: Names of their channels.

    Returns:
        Out of ``no disc``, ``<structure> missing``, ``touches ROI border`` and ``low contrast``.
    """
    missing = [n for n, mask in zip(structures, placed.masks, strict=True) if not mask.any()]
    if "disc" in missing or window is None:
        found = ["no disc"]
    else:
        found = [f"{name} missing" for name in missing]
    if window is None:
        return found
    if _touches_border(window, placed):
        found.append("touches ROI border")
    if _contrast(image, window) < LOW_CONTRAST:
        found.append("low contrast")
    return found


def _touches_border(window: Window, placed: PlacedMasks) -> bool:
    """Whether a mask reaches the edge of what the network saw of the photograph."""
    rows, cols = np.nonzero(placed.masks.any(axis=0))
    if not rows.size:
        return False
    seen = extent_inside(window, placed.height, placed.width)
    top, left = placed.row - window.row, placed.col - window.col
    return (
        int(rows.min()) + top <= seen.top
        or int(cols.min()) + left <= seen.left
        or int(rows.max()) + top >= seen.top + seen.rows - 1
        or int(cols.max()) + left >= seen.left + seen.cols - 1
    )


def _contrast(image: np.ndarray, window: Window) -> float:
    height, width = image.shape[:2]
    seen = Extent(window.row, window.col, window.side, window.side).within(
        Extent(0, 0, height, width)
    )
    step = max(1, window.side // _SAMPLED_PX)
    green = image[
        seen.top : seen.top + seen.rows : step, seen.left : seen.left + seen.cols : step, 1
    ]
    low, high = np.percentile(green, (5, 95))
    return float(high - low)

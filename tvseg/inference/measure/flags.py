"""Flags: what a reader of the measurements should look at before believing them."""

from collections.abc import Sequence

import numpy as np

from tvseg.data.geometry import Box
from tvseg.inference.placed_masks import PlacedMasks

LOW_CONTRAST = 20
"""Grey levels between the 5th and 95th percentile of the green channel in the region. Regions of
usable photographs of five cameras had 22 and more, their medians from 62 to 140."""

_SAMPLED_PX = 128  # percentiles are taken on about so many rows and columns


def flags(
    image: np.ndarray, window: Box | None, placed: PlacedMasks, structures: Sequence[str]
) -> list[str]:
    """Return reasons to check a prediction before using its measurements.

    Args:
        image: The photograph, uint8 (H, W, 3).
        window: The region that the network saw, ``None`` where no disc was found.
        placed: The masks.
        structures: Names of their channels.

    Returns:
        Out of ``no disc``, ``no region``, ``<structure> missing``, ``touches ROI border`` and
        ``low contrast``.
    """
    if window is None:
        return ["no disc" if "disc" in structures else "no region"]
    missing = [n for n, mask in zip(structures, placed.masks, strict=True) if not mask.any()]
    found = ["no disc"] if "disc" in missing else [f"{name} missing" for name in missing]
    if _touches_border(window, placed):
        found.append("touches ROI border")
    if _contrast(image, window) < LOW_CONTRAST:
        found.append("low contrast")
    return found


def _touches_border(window: Box, placed: PlacedMasks) -> bool:
    """Whether a mask reaches the edge of what the network saw of the photograph."""
    box, seen = placed.extent, window.overlap(Box(0, 0, placed.height, placed.width))
    return not box.is_empty and (
        box.row <= seen.row
        or box.col <= seen.col
        or box.row + box.height >= seen.row + seen.height
        or box.col + box.width >= seen.col + seen.width
    )


def _contrast(image: np.ndarray, window: Box) -> float:
    step = max(1, window.side // _SAMPLED_PX)
    green = image[window.overlap(Box.frame(image)).slices][::step, ::step, 1]
    low, high = np.percentile(green, (5, 95))
    return float(high - low)

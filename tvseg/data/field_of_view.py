"""The lit field of a photograph on its black surround, and its small copy for the localizer."""

from dataclasses import dataclass

import cv2
import numpy as np

from tvseg.data.geometry import Box

BLACK = 15
"""Largest sample of a black surround. On 35 full photographs of two cameras the corners' stayed
below 6, on 537 regions of interest above 20 in all but one corner."""

_SAMPLED_PX = 256  # the field's box is found on about so many rows and columns
_CORNER = 0.03  # side of a corner, as a share of the photograph's shorter side


@dataclass(frozen=True)
class Field:
    """Where a photograph is lit.

    Args:
        window: The smallest square that holds the lit part, or the whole photograph.
        surrounded: Whether the photograph has a black surround, as full photographs have.
    """

    window: Box
    surrounded: bool


def find_field(image: np.ndarray) -> Field:
    """Find the lit part of a photograph.

    Args:
        image: uint8 (H, W, 3).

    Returns:
        The field; without a surround it is the whole photograph, made square.
    """
    height, width = image.shape[:2]
    if not _is_surrounded(image):
        return Field(_square(0, height, 0, width), False)
    step = max(1, min(height, width) // _SAMPLED_PX)
    lit = image[::step, ::step].max(axis=-1) > BLACK
    spans = []
    for across, length in ((1, height), (0, width)):
        (bright,) = np.nonzero(lit.mean(axis=across) > 0.01)  # not a speck, nor a line of text
        if not len(bright):
            return Field(_square(0, height, 0, width), True)
        spans += [int(bright[0]) * step, min(length, (int(bright[-1]) + 1) * step)]
    return Field(_square(*spans), True)


def shrink(image: np.ndarray, window: Box, side_px: int) -> np.ndarray:
    """A window of a photograph at another size, black beyond the photograph.

    By the mean over each pixel's area (OpenCV), ten times as fast as the Lanczos filter that the
    segmentation needs.

    Args:
        image: uint8 (H, W, 3).
        window: What to cut out.
        side_px: Side of the result.

    Returns:
        uint8 (side_px, side_px, 3).
    """
    small = cv2.resize(window.cut(image), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _is_surrounded(image: np.ndarray) -> bool:
    """Whether at least three corners are black; the fourth may hold a label."""
    height, width = image.shape[:2]
    side = max(1, round(_CORNER * min(height, width)))
    corners = [
        image[rows, columns].max(axis=-1)
        for rows in (slice(side), slice(height - side, None))
        for columns in (slice(side), slice(width - side, None))
    ]
    return sum(float(np.percentile(corner, 90)) <= BLACK for corner in corners) >= 3


def _square(top: int, bottom: int, left: int, right: int) -> Box:
    return Box.about(
        (top + bottom - 1) / 2, (left + right - 1) / 2, max(bottom - top, right - left)
    )

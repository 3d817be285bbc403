"""Which part of a photograph is segmented."""

from collections.abc import Callable, Sequence

import numpy as np

from tvseg.data.geometry import Box
from tvseg.data.images import MIN_SIDE_PX
from tvseg.errors import UserError
from tvseg.localizer.locate import Location

Locator = Callable[[Sequence[np.ndarray]], list[Location]]
"""Photographs, uint8 (H, W, 3) each -> the region of interest in each, as ``Localizer.locate``."""


def whole_pictures(images: Sequence[np.ndarray]) -> list[Location]:
    """Take every picture as a region of interest."""
    return [Location(Box.frame(image), float("nan"), "roi") for image in images]


def fixed_window(window: Box) -> Locator:
    """Return a locator that takes one window of every picture, black beyond the picture."""

    def locate(images: Sequence[np.ndarray]) -> list[Location]:
        return [Location(window, float("nan"), "given") for _ in images]

    return locate


def parse_window(text: str) -> Box:
    """Return the square window that ``ROW,COL,SIZE`` means: top left corner and side, in px.

    Raises:
        UserError: Not three whole numbers in range.
    """
    try:
        row, col, side = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(
            "roi must be auto, none or ROW,COL,SIZE in whole px (top left corner, side), "
            f"got {text!r}"
        ) from error
    if side < MIN_SIDE_PX:
        raise UserError(
            f"a region of interest must be at least {MIN_SIDE_PX} px a side, got {side}"
        )
    return Box(row, col, side, side)

"""Which part of a photograph the network is to look at."""

from collections.abc import Callable, Sequence

import numpy as np

from tvseg.data.geometry import Box
from tvseg.errors import UserError
from tvseg.inference.predictor import check_side
from tvseg.localizer.locate import Location

Locator = Callable[[Sequence[np.ndarray]], list[Location]]
"""Photographs, uint8 (H, W, 3) each -> where to look in each, such as ``Localizer.locate``."""


def whole_pictures(images: Sequence[np.ndarray]) -> list[Location]:
    """Take every picture as a region of interest."""
    return [Location(None, float("nan"), "roi") for _ in images]


def fixed_window(window: Box) -> Locator:
    """Look at one window in every picture."""

    def locate(images: Sequence[np.ndarray]) -> list[Location]:
        return [Location(window, float("nan"), "given") for _ in images]

    return locate


def parse_window(text: str) -> Box:
    """``ROW,COL,SIZE`` in px: the window's top left corner and its side.

    Raises:
        ValueError: Not three whole numbers, or a side that is too small.
    """
    try:
        row, col, side = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(
            f"roi must be auto, none or ROW,COL,SIZE in whole px (top left corner, side), "
            f"got {text!r}"
        ) from error
    check_side(side, side)
    return Box(row, col, side, side)


def window_of(location: Location, height: int, width: int) -> Box | None:
    """The window that a location means in a photograph, ``None`` where no disc was found."""
    if location.kind == "roi":
        return Box(0, 0, max(height, width), max(height, width))
    return location.window


def cut(image: np.ndarray, window: Box) -> np.ndarray:
    """The pixels to show the network, uint8 (H, W, 3); a whole picture as it is."""
    if window == Box(0, 0, max(image.shape[:2]), max(image.shape[:2])):
        return image
    return window.cut(image)


def extent_inside(window: Box, height: int, width: int) -> Box:
    """The part of a window, in its own pixels, that lies in the photograph.

    Raises:
        ValueError: There is none.
    """
    extent = Box(0, 0, window.side, window.side).overlap(
        Box(-window.row, -window.col, height, width)
    )
    if extent.is_empty:
        raise UserError(
            f"the window (row {window.row}, column {window.col}, side {window.side} px) must lie "
            f"on the photograph of {width} x {height} px, at least in part"
        )
    return extent

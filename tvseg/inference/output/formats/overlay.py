"""The photograph with thin outlines, and the disc enlarged in a corner where it is small."""

from collections.abc import Sequence

import cv2
import numpy as np

from tvseg.data.geometry import Box
from tvseg.inference.output.formats.png import photograph_png
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.prediction import Prediction

COLOURS = {"cup": (40, 120, 255), "disc": (0, 230, 90)}  # RGB; the paper's blue and green
OTHER_COLOURS = ((255, 200, 0), (255, 80, 200), (0, 220, 220), (255, 120, 40))
FRAME = (255, 255, 255)
SUBPIXEL_BITS = 4  # of OpenCV's fixed-point coordinates

INSET = 0.4  # side of the enlargement, a share of the shorter side
MARGIN = 0.25  # about the structures, a share of their own size
LEAST_ZOOM = 1.25  # below this an enlargement shows nothing that the photograph does not


def overlay_png(prediction: Prediction) -> bytes:
    """:func:`draw_overlay` of a prediction."""
    drawn = draw_overlay(prediction.pixels, prediction.placed, prediction.encoding.structures)
    return photograph_png(drawn)


def draw_overlay(image: np.ndarray, placed: PlacedMasks, structures: Sequence[str]) -> np.ndarray:
    """Draw the structures' outlines on a copy of a photograph.

    Args:
        image: uint8 (H, W, 3), RGB.
        placed: The structures' masks.
        structures: Names of the channels.

    Returns:
        uint8 (H, W, 3); lines are 1/200 of the structures' extent wide. Where the structures are
        small, they are shown enlarged in the corner farthest from them, and framed in the picture.
    """
    drawn = image.copy()
    if placed.extent.is_empty:
        return drawn
    width_px = _line_px(placed.extent.side)
    _draw(drawn, placed, structures, width_px=width_px, origin=(0, 0), scale=1.0)
    square = placed.extent.square(MARGIN).moved_into(*image.shape[:2])
    if INSET * min(image.shape[:2]) >= LEAST_ZOOM * square.side:
        _draw_inset(drawn, image, placed, structures, square)
    return drawn


def _draw(
    drawn: np.ndarray,
    placed: PlacedMasks,
    structures: Sequence[str],
    *,
    width_px: int,
    origin: tuple[int, int],
    scale: float,
) -> None:
    """Draw outlines on a picture of which ``origin`` is the first (row, col), enlarged by scale."""
    for index, (name, polygons) in enumerate(zip(structures, placed.outlines, strict=True)):
        colour = COLOURS.get(name, OTHER_COLOURS[index % len(OTHER_COLOURS)])
        points = [
            np.round(
                ((polygon - origin + 0.5) * scale - 0.5)[:, ::-1] * (1 << SUBPIXEL_BITS)
            ).astype(np.int32)  # (column, row)
            for polygon in polygons
        ]
        cv2.polylines(drawn, points, True, colour, width_px, cv2.LINE_AA, SUBPIXEL_BITS)


def _line_px(extent: float) -> int:
    return max(1, round(extent / 200))


def _draw_inset(
    drawn: np.ndarray,
    image: np.ndarray,
    placed: PlacedMasks,
    structures: Sequence[str],
    square: Box,
) -> None:
    height, width = image.shape[:2]
    size = round(INSET * min(height, width))
    enlarged = cv2.resize(image[square.slices], (size, size), interpolation=cv2.INTER_CUBIC)
    scale = size / square.side
    width_px = _line_px(placed.extent.side * scale)
    origin = square.row, square.col
    _draw(enlarged, placed, structures, width_px=width_px, origin=origin, scale=scale)
    thin_px = max(1, round(max(height, width) / 1000))
    cv2.rectangle(enlarged, (0, 0), (size - 1, size - 1), FRAME, thin_px)
    last = square.col + square.side - 1, square.row + square.side - 1
    cv2.rectangle(drawn, (square.col, square.row), last, FRAME, thin_px)
    row, col = placed.extent.centre
    first_row = 0 if row > height / 2 else height - size
    first_col = 0 if col > width / 2 else width - size
    drawn[first_row : first_row + size, first_col : first_col + size] = enlarged

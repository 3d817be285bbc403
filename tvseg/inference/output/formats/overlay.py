"""The photograph with thin outlines, and the disc enlarged in a corner where it is small."""

from collections.abc import Sequence

import cv2
import numpy as np

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
    box = _box(placed)
    if box is None:
        return drawn
    _draw(drawn, placed, structures, width_px=_line_px(box[2]), origin=(0, 0), scale=1.0)
    if _zoom(box[2], image) >= LEAST_ZOOM:
        _draw_inset(drawn, image, placed, structures, box)
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


def _box(placed: PlacedMasks) -> tuple[float, float, float] | None:
    """Centre (row, col) and longer side of all structures together, in px."""
    points = [polygon for polygons in placed.outlines for polygon in polygons]
    if not points:
        return None
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    row, col = (low + high) / 2
    return float(row), float(col), float((high - low).max())


def _zoom(extent: float, image: np.ndarray) -> float:
    """How many times larger the inset shows structures of some extent in px."""
    shorter: int = min(image.shape[:2])
    return INSET * shorter / max(extent * (1 + 2 * MARGIN), 1.0)


def _line_px(extent: float) -> int:
    return max(1, round(extent / 200))


def _draw_inset(
    drawn: np.ndarray,
    image: np.ndarray,
    placed: PlacedMasks,
    structures: Sequence[str],
    box: tuple[float, float, float],
) -> None:
    height, width = image.shape[:2]
    row, col, extent = box
    side = max(8, round(extent * (1 + 2 * MARGIN)))
    top = min(max(0, round(row - side / 2)), height - side)
    left = min(max(0, round(col - side / 2)), width - side)
    size = round(INSET * min(height, width))
    enlarged = cv2.resize(
        image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_CUBIC
    )
    scale = size / side
    width_px = _line_px(extent * scale)
    _draw(enlarged, placed, structures, width_px=width_px, origin=(top, left), scale=scale)
    thin_px = max(1, round(max(height, width) / 1000))
    cv2.rectangle(enlarged, (0, 0), (size - 1, size - 1), FRAME, thin_px)
    cv2.rectangle(drawn, (left, top), (left + side - 1, top + side - 1), FRAME, thin_px)
    first_row = 0 if row > height / 2 else height - size
    first_col = 0 if col > width / 2 else width - size
    drawn[first_row : first_row + size, first_col : first_col + size] = enlarged

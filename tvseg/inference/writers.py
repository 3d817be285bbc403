"""Files that a prediction leaves, one writer a format."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import nibabel as nib
import numpy as np
from PIL import Image

from tvseg.data.centres import MaskEncoding
from tvseg.files import write_bytes
from tvseg.inference.contours import outline

COLOURS = {"cup": (60, 130, 255), "disc": (0, 230, 90)}  # RGB; the paper's blue and green
OTHER_COLOURS = ((255, 200, 0), (255, 80, 200), (0, 220, 220), (255, 120, 40))
SUBPIXEL_BITS = 4  # of OpenCV's fixed-point coordinates


class Prediction(NamedTuple):
    """One photograph, uint8 (H, W, 3), and its masks, bool (S, H, W)."""

    image: np.ndarray
    masks: np.ndarray


def draw_overlay(
    image: np.ndarray,
    masks: np.ndarray,
    structures: Sequence[str],
    *,
    colours: dict[str, tuple[int, int, int]] = COLOURS,
) -> np.ndarray:
    """Draw the structures' outlines on a copy of a photograph.

    Args:
        image: uint8 (H, W, 3), RGB.
        masks: bool (S, H, W).
        structures: Names of the channels.
        colours: RGB of a structure's line; others get a colour in turn.

    Returns:
        uint8 (H, W, 3); lines are about 1/300 of the longer side wide.
    """
    drawn = np.ascontiguousarray(image)
    drawn = drawn.copy() if drawn is image else drawn
    width_px = max(1, round(max(image.shape[:2]) / 300))
    for index, (name, mask) in enumerate(zip(structures, masks, strict=True)):
        colour = colours.get(name, OTHER_COLOURS[index % len(OTHER_COLOURS)])
        points = [
            np.round(polygon[:, ::-1] * (1 << SUBPIXEL_BITS)).astype(np.int32)  # (column, row)
            for polygon in outline(mask)
        ]
        cv2.polylines(drawn, points, True, colour, width_px, cv2.LINE_AA, SUBPIXEL_BITS)
    return drawn


def _overlay(path: Path, prediction: Prediction, encoding: MaskEncoding) -> None:
    drawn = draw_overlay(prediction.image, prediction.masks, encoding.structures)
    write_bytes(path.parent / f"{path.name}.png", _png(drawn))


def _mask(path: Path, prediction: Prediction, encoding: MaskEncoding) -> None:
    write_bytes(path.parent / f"{path.name}.png", _png(encoding.encode(prediction.masks)))


def _nifti(path: Path, prediction: Prediction, encoding: MaskEncoding) -> None:
    """Labels 1, 2, ... in the order of the encoding's values other than background, here cup, rim.

    Columns run to the patient's left and rows downwards, as other tools lay out flat pictures.
    """
    values = encoding.encode(prediction.masks)
    marked = [value for value, names in encoding.values.items() if names]
    labels = np.zeros_like(values)
    for label, value in enumerate(marked, start=1):
        labels[values == value] = label
    volume = nib.Nifti1Image(labels.T[..., None], affine=np.diag([-1.0, -1.0, 1.0, 1.0]))
    write_bytes(path.parent / f"{path.name}.nii", volume.to_bytes())


Writer = Callable[[Path, Prediction, MaskEncoding], None]
WRITERS: dict[str, Writer] = {"overlay": _overlay, "mask": _mask, "nifti": _nifti}


def find_writers(formats: Sequence[str]) -> dict[str, Writer]:
    """The writers of some formats, by name.

    Raises:
        ValueError: An unknown format, or none.
    """
    unknown = [name for name in formats if name not in WRITERS]
    if unknown or not formats:
        raise ValueError(
            f"formats must be out of {', '.join(WRITERS)}, got {', '.join(unknown) or 'none'}"
        )
    return {name: WRITERS[name] for name in formats}


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

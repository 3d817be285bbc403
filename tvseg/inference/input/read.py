"""Photographs as they come from cameras and archives, as 8-bit RGB."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from tvseg.data.images import read_image, to_eight_bits
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.inference.input.find import DICOM_SUFFIXES, Laterality, parse_laterality

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class Picture(NamedTuple):
    """A photograph that was read.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright.
        laterality: Which eye it shows, as the file says.
    """

    pixels: np.ndarray
    laterality: Laterality


def read_photograph(path: Path) -> Picture:
    """Read a picture file, or a DICOM photograph (``.dcm``, ``.dicom``).

    Raises:
        ValueError: No picture, a damaged or inordinately large one, or DICOM without pydicom.
        OSError: The file cannot be read.
    """
    if path.suffix.lower() not in DICOM_SUFFIXES:
        return Picture(read_image(path), "unknown")
    return _read_dicom(path)


def count_pixels(path: Path) -> int:
    """Pixels of a photograph by its header, 0 for a file that has none to read."""
    try:
        if path.suffix.lower() in DICOM_SUFFIXES:
            header = _dicom(path, pixels=False)
            return int(header.Rows) * int(header.Columns)
        with Image.open(path) as picture:
            return picture.width * picture.height
    except Exception:  # whatever is wrong with it, reading it will say so
        return 0


def _read_dicom(path: Path) -> Picture:
    header = _dicom(path, pixels=False)
    if "Rows" not in header or "Columns" not in header:
        raise UserError(f"{path}: must be a DICOM photograph, this one has no picture")
    count, limit = int(header.Rows) * int(header.Columns), 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if limit and count > limit:
        raise UserError(f"{path}: must have at most {limit} pixels, got {count}")
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise UserError(f"{path}: must be a single photograph, got {frames} frames")
    content = _dicom(path, pixels=True)
    try:
        pixels = _rgb(content)
    except Exception as error:  # of pydicom and of its decoders, of any kind
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as a picture: {reason}") from error
    told = str(header.get("ImageLaterality") or header.get("Laterality") or "")
    return Picture(pixels, parse_laterality(told) if told in ("R", "L") else "unknown")


def _dicom(path: Path, *, pixels: bool) -> "Dataset":
    require("pydicom")
    import pydicom

    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except pydicom.errors.InvalidDicomError as error:
        raise UserError(f"{path}: must be a DICOM file, its header is none") from error


def _rgb(content: "Dataset") -> np.ndarray:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    samples: np.ndarray = pixel_array(content)  # YBR becomes RGB
    kind = str(content.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        samples = apply_color_lut(samples, content)
        return to_eight_bits(samples, 8 * samples.dtype.itemsize)
    eight = to_eight_bits(samples, int(content.BitsStored))
    if kind == "MONOCHROME1":
        eight = 255 - eight
    rgb: Any = np.repeat(eight[..., None], 3, axis=-1) if eight.ndim == 2 else eight
    return np.ascontiguousarray(rgb)

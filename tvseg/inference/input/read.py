"""Photographs as they come from cameras and archives, as 8-bit RGB."""

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tvseg.data.images import (
    MAX_FILE_BYTES,
    check_size,
    decode_image,
    read_size,
    to_eight_bits,
)
from tvseg.data.laterality import Laterality, parse_laterality
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.inference.input.find import Photograph, is_dicom
from tvseg.remote_files import File, RemoteFile, read_file

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TYPICAL_PIXELS = 4_000_000
"""Of a remote photograph, whose header costs as much as the file."""

Pixels = tuple[np.ndarray, Laterality]
"""A photograph, uint8 (H, W, 3), RGB, upright, and the eye that it shows."""


def read_photograph(path: File) -> Pixels:
    """Read a picture file, or a DICOM photograph (``.dcm``, ``.dicom``).

    Raises:
        UserError: No picture, a damaged or inordinately large one, or DICOM without pydicom.
        OSError: The file does not exist or cannot be read.
    """
    content = read_file(path, limit=MAX_FILE_BYTES)
    if not is_dicom(path):
        return decode_image(content, path), "unknown"
    pydicom = _import_pydicom()
    try:
        return _read_dicom(path, pydicom.dcmread(io.BytesIO(content)))
    except UserError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise UserError(f"{path}: must be a DICOM file, it has no DICOM header") from error
    except Exception as error:  # of pydicom and of its decoders, of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read as a picture: {reason}") from error


def read_readable(photographs: Iterable[Photograph]) -> Iterator[np.ndarray]:
    """Yield the pixels of those photographs that can be read, uint8 (H, W, 3), in order."""
    for photograph in photographs:
        with suppress(UserError, OSError, MemoryError):
            yield read_photograph(photograph.path)[0]


def count_pixels(path: File) -> int:
    """Return about how many pixels reading a photograph takes by its header, 0 if that is unread.

    A strip, which is padded to a square, counts as a quarter of the square.
    """
    try:
        if isinstance(path, RemoteFile):
            return TYPICAL_PIXELS
        if not path.is_file():
            return 0
        if is_dicom(path):
            header = _import_pydicom().dcmread(path, stop_before_pixels=True)
            width, height = int(header.Columns), int(header.Rows)
        else:
            width, height = read_size(path)
        return max(width * height, max(width, height) ** 2 // 4)
    except Exception:  # whatever is wrong with it, reading it will say so
        return 0


def _import_pydicom() -> Any:
    require("pydicom")
    import pydicom

    return pydicom


def _read_dicom(path: File, content: "Dataset") -> Pixels:
    if "Rows" not in content or "Columns" not in content or "PixelData" not in content:
        raise UserError(f"{path}: must be a DICOM photograph, this one has no picture")
    check_size(path, int(content.Columns), int(content.Rows))
    frames = int(content.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise UserError(f"{path}: must be a single photograph, got {frames} frames")
    if content.get("PixelRepresentation", 0) != 0:
        raise UserError(f"{path}: samples must be unsigned (PixelRepresentation 0), these are not")
    stated = str(content.get("ImageLaterality") or content.get("Laterality") or "")
    eye = parse_laterality(stated) if stated in ("R", "L") else "unknown"
    return _rgb(content), eye


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

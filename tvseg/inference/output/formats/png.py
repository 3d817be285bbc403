"""PNG files, written fast."""

import struct
import zlib

import cv2
import numpy as np
from isal import isal_zlib

from tvseg.errors import UserError

# Photographs have no repeats that a higher level, which takes longer, would find.
_LEVEL = 1
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2  # the filter that keeps the difference from the line above

# Masks are flat: the file is small and soon written.
_FLAT = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
)


def photograph_png(pixels: np.ndarray) -> bytes:
    """Return the file of a picture with the noise of a camera, uint8 (H, W, 3), RGB.

    Source: Portable Network Graphics (PNG) Specification, sections 5, 9 and 11.
    """
    height, width = pixels.shape[:2]
    flat = pixels.reshape(height, 3 * width)
    lines = np.empty((height, 1 + 3 * width), np.uint8)
    lines[:, 0] = _UP
    lines[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=lines[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a sample, RGB
    data = isal_zlib.compress(lines, _LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def grey_png(pixels: np.ndarray) -> bytes:
    """Flat areas, such as labels: uint8 or uint16 (H, W)."""
    done, content = cv2.imencode(".png", pixels, _FLAT)
    if not done:
        raise UserError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px cannot be a PNG")
    return bytes(content)

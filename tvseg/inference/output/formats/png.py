"""PNG files, written fast."""

import cv2
import numpy as np

from tvseg.errors import UserError

# Differences from the line above, and no search for repeats, which noise does not have.
_PHOTOGRAPH = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
)

# Labels are flat: run lengths make a small file.
_FLAT = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
)


def photograph_png(pixels: np.ndarray) -> bytes:
    """Return the file of a picture with the noise of a camera, uint8 (H, W, 3), RGB."""
    return _encode(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _PHOTOGRAPH)


def grey_png(pixels: np.ndarray) -> bytes:
    """Return the file of flat areas, such as labels: uint8 or uint16 (H, W)."""
    return _encode(pixels, _FLAT)


def _encode(pixels: np.ndarray, options: tuple[int, ...]) -> bytes:
    done, content = cv2.imencode(".png", pixels, options)
    if not done:
        raise UserError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px cannot be a PNG")
    return bytes(content)

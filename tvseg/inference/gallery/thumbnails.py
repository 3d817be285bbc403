"""Small pictures for a page: as good as a given number of bytes allows."""

import io
import itertools

import cv2
import numpy as np
from PIL import Image

PAGE_BYTES = 48_000_000
MOST_BYTES, LEAST_BYTES = 64_000, 24_000
_SIDES_PX = (560, 480, 400, 320, 240, 160)
_QUALITIES = (85, 75, 60)


def bytes_each(count: int) -> int:
    """What the pictures of one photograph may take on a page of ``count`` photographs.

    64 kB up to 750 photographs; a page of more keeps to 48 MB, but 24 kB are always granted.
    """
    return min(MOST_BYTES, max(LEAST_BYTES, PAGE_BYTES // max(count, 1)))


def small_jpeg(image: np.ndarray, most_bytes: int) -> bytes:
    """A picture as JPEG, no side longer than 560 px, smaller or coarser until it fits.

    Args:
        image: uint8 (H, W, 3), RGB.
        most_bytes: What the file may have, unless 160 px at a low quality have more.
    """
    content = b""
    longer = max(image.shape[:2])
    for side, quality in itertools.product(_SIDES_PX, _QUALITIES):
        scale = min(1.0, side / longer)
        height, width = (max(1, round(length * scale)) for length in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, "JPEG", quality=quality, optimize=True)
        content = buffer.getvalue()
        if len(content) <= most_bytes:
            break
    return content

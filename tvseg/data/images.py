"""Reading photographs and label images; the one way in which either is resized."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tvseg.errors import UserError

# Pillow warns above 89 megapixels and refuses above 179; a camera's picture may lie between.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MIN_SIDE_PX = 32
"""A photograph with a shorter side is not predicted."""


def read_image(path: Path) -> np.ndarray:
    """Read a photograph as 8-bit RGB, upright.

    EXIF orientation is applied; grey, palette and CMYK pictures become RGB, an alpha channel is
    dropped, and deeper samples are scaled from the least depth of 8, 10, 12, 14 or 16 bits that
    holds the largest.

    Args:
        path: A file in any format that Pillow reads.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: The file is no picture, or a damaged or inordinately large one.
        FileNotFoundError: There is no such file.
    """
    picture = _open(path)
    if picture.mode == "F":
        raise UserError(f"{path}: samples must be whole numbers, this picture has fractions")
    if picture.mode.startswith("I"):
        return _from_deep_grey(path, np.asarray(picture).astype(np.int64))
    return np.array(picture.convert("RGB"))


def read_labels(path: Path) -> np.ndarray:
    """Read a label image: single-channel, or colour with equal channels.

    Args:
        path: A file in a lossless format.

    Returns:
        uint8 (H, W), the values as stored.

    Raises:
        ValueError: Not a picture, more than 8 bits a sample, or channels that differ.
        FileNotFoundError: There is no such file.
    """
    picture = _open(path)
    if picture.mode.startswith("I") or picture.mode == "F":
        raise UserError(f"{path}: masks must have 8 bits a sample, got mode {picture.mode}")
    if picture.mode in ("1", "L"):
        return np.array(picture.convert("L"))
    channels = np.array(picture.convert("RGB"))
    if (channels != channels[..., :1]).any():
        raise UserError(f"{path}: masks must be grey, the colour channels of this one differ")
    return np.ascontiguousarray(channels[..., 0])


def pad_to_square(image: np.ndarray) -> np.ndarray:
    """Pad (H, W) or (H, W, 3) below or to the right until it is square.

    A photograph continues with its edge pixels, a mask (bool) with background.
    """
    height, width = image.shape[:2]
    if height == width:
        return image
    side = max(height, width)
    padding = [(0, side - height), (0, side - width)] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, padding) if image.dtype == bool else np.pad(image, padding, mode="edge")


def resize_image(image: np.ndarray, side_px: int) -> np.ndarray:
    """Resize a square photograph, uint8 (H, H, 3), with Pillow's Lanczos filter."""
    if image.shape[:2] == (side_px, side_px):
        return image
    resized = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.LANCZOS)
    return np.array(resized)


def resize_mask(mask: np.ndarray, side_px: int) -> np.ndarray:
    """Resize one square mask, bool (H, H), to its nearest neighbours (Pillow's rule)."""
    if mask.shape == (side_px, side_px):
        return mask
    picture = Image.fromarray(mask.astype(np.uint8))
    return np.array(picture.resize((side_px, side_px), Image.Resampling.NEAREST)).astype(bool)


def to_eight_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples of 0 to 2^bits - 1 as uint8 of 0 to 255."""
    if bits == 8:
        return samples.astype(np.uint8)
    scaled: np.ndarray = np.round(samples * (255 / (2**bits - 1))).astype(np.uint8)
    return scaled


def _open(path: Path) -> Image.Image:
    content = path.read_bytes()  # an OSError here is about the file, below about its content
    try:
        picture: Image.Image = Image.open(io.BytesIO(content))
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)  # otherwise it copies upright ones, too
        return picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).replace(f" {io.BytesIO}", "")
        if "cannot identify image file" in reason:
            reason = "not a picture that Pillow reads" if content else "the file is empty"
        raise UserError(f"{path}: cannot be read as a picture: {reason}") from error


def _from_deep_grey(path: Path, samples: np.ndarray) -> np.ndarray:
    low, high = int(samples.min()), int(samples.max())
    bits = next((bits for bits in (8, 10, 12, 14, 16) if high < 2**bits), None)
    if low < 0 or bits is None:
        raise UserError(f"{path}: samples must lie in 0 to 65535, got {low} to {high}")
    return np.repeat(to_eight_bits(samples, bits)[..., None], 3, axis=-1)

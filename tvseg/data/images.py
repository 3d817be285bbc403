"""Reading photographs and label images; the one way in which either is resized."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from tvseg.errors import UserError
from tvseg.files import read_bytes

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "JPEG2000", "WEBP")
"""What a file's content may be, whatever its suffix. Pillow's other readers stay shut: some start
external programs."""

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".jp2", ".webp",
)  # fmt: skip
MIN_SIDE_PX = 32
"""A photograph with a shorter side is not predicted."""

MAX_SIDE_PX = 12_000
"""A longer side is refused, since a picture is padded to a square: 0.4 GB of this side."""

MAX_FILE_BYTES = 2**30
MAX_PAGES = 100
HOT_SHARE = 1e-3
"""Largest share of pixels that may exceed the depth that a picture is taken to have."""

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: np.swapaxes(stored, 0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.swapaxes(np.rot90(stored, 2), 0, 1),
    8: np.rot90,
}
"""EXIF orientation -> what turns the stored samples upright."""


def read_image(path: Path) -> np.ndarray:
    """Read a photograph as 8-bit RGB, upright.

    EXIF orientation is applied; grey, palette and CMYK pictures become RGB, an alpha channel is
    dropped. Deeper samples are scaled from the depth that a TIFF states below 16 bits, else from
    the least of 8, 10, 12, 14 or 16 bits that holds all but a thousandth of the pixels.

    Args:
        path: A file with a content of ``FORMATS``; of a TIFF's pages the largest is read.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UserError: Not a picture, a damaged or inordinately large one, or several photographs.
        OSError: The file does not exist or cannot be read.
    """
    return decode_image(read_bytes(path, limit=MAX_FILE_BYTES), path)


def decode_image(content: bytes, path: object) -> np.ndarray:
    """Decode a photograph as :func:`read_image` does.

    Args:
        content: Of the file.
        path: Named in errors.

    Raises:
        UserError: Not a picture, a damaged or inordinately large one, or several photographs.
    """
    samples, bits = _decode(content, path)
    if samples.dtype.kind == "f":
        raise UserError(f"{path}: samples must be whole numbers, this picture has fractions")
    if samples.dtype != np.uint8:
        samples = to_eight_bits(samples, bits if 8 < bits < 16 else _depth_of(path, samples))
    return np.repeat(samples[..., None], 3, axis=-1) if samples.ndim == 2 else samples


def read_labels(path: Path) -> np.ndarray:
    """Read a label image: single-channel, palette indices, or colour with equal channels.

    Args:
        path: A file in a lossless format.

    Returns:
        uint8 (H, W), the values as stored; of a palette the indices.

    Raises:
        UserError: Not a picture, more than 8 bits a sample, channels that differ, or a shape that
            only the alpha channel shows.
        OSError: The file does not exist or cannot be read.
    """
    content = read_bytes(path, limit=MAX_FILE_BYTES)
    samples, _ = _decode(content, path, labels=True)
    if samples.dtype != np.uint8:
        raise UserError(f"{path}: masks must have 8 bits a sample, this one has {samples.dtype}")
    if samples.ndim == 2:
        return samples
    grey = samples[..., 0]
    if (samples[..., 1:3] != grey[..., None]).any():
        raise UserError(f"{path}: masks must be grey, the colour channels of this one differ")
    if samples.shape[-1] == 4 and _is_drawn_in_alpha(grey, clear=samples[..., 3] < 255):
        raise UserError(
            f"{path}: masks must show structures by grey values, this one by transparency; "
            "save it without an alpha channel, on a background of another value"
        )
    return np.ascontiguousarray(grey)


def read_opaque(path: Path) -> np.ndarray:
    """Read which pixels of a picture are opaque, bool (H, W).

    Raises:
        UserError: Not a picture, or one without clear and opaque pixels.
        OSError: The file does not exist or cannot be read.
    """
    content = read_bytes(path, limit=MAX_FILE_BYTES)
    samples, _ = _decode(content, path, labels=True)
    opaque = (
        samples[..., 3] > 127 if samples.shape[2:] == (4,) else np.ones(samples.shape[:2], bool)
    )
    if opaque.all() or not opaque.any():
        raise UserError(f"{path}: must show a structure by opaque pixels among clear ones")
    return opaque


def _is_drawn_in_alpha(grey: np.ndarray, *, clear: np.ndarray) -> bool:
    """Return whether clear and opaque pixels share a grey value, or nothing is opaque."""
    shared = np.intersect1d(grey[clear], grey[~clear])
    return bool(len(shared) or clear.all())


def pad_to_square(image: np.ndarray) -> np.ndarray:
    """Pad (H, W, 3) or masks (..., H, W) below or to the right until it is square.

    A photograph continues with its edge pixels, a mask (bool) with background.
    """
    is_mask = image.dtype == bool
    height, width = image.shape[-2:] if is_mask else image.shape[:2]
    if height == width:
        return image
    side = max(height, width)
    padding = [(0, side - height), (0, side - width)]
    if is_mask:
        return np.pad(image, [(0, 0)] * (image.ndim - 2) + padding)
    return np.pad(image, padding + [(0, 0)] * (image.ndim - 2), mode="edge")


def resize_image(image: np.ndarray, side_px: int) -> np.ndarray:
    """Pad a photograph, uint8 (H, W, 3), to a square and resize it by Pillow's Lanczos filter."""
    square = pad_to_square(image)
    if len(square) == side_px:
        return square
    resized = Image.fromarray(square).resize((side_px, side_px), Image.Resampling.LANCZOS)
    return np.array(resized)


def resize_masks(masks: np.ndarray, side_px: int) -> np.ndarray:
    """Pad masks, bool (S, H, W), to squares and resize them to nearest neighbours (Pillow's)."""
    square = pad_to_square(masks)
    if square.shape[-1] == side_px:
        return square
    size = (side_px, side_px)
    pictures = [Image.fromarray(mask.astype(np.uint8)) for mask in square]
    resized = [picture.resize(size, Image.Resampling.NEAREST) for picture in pictures]
    return np.array([np.array(picture) for picture in resized]).astype(bool)


def to_eight_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    """Scale samples of 0 to 2^bits - 1, at most 16 bits, to uint8 of 0 to 255; clip larger ones."""
    if bits == 8 and samples.dtype == np.uint8:
        return samples
    scaled = np.round(np.arange(2**16) * (255 / (2**bits - 1)))
    table = np.minimum(scaled, 255).astype(np.uint8)
    eight: np.ndarray = table[samples]
    return eight


def check_size(path: object, width: int, height: int) -> None:
    """Raise UserError for a picture that is too large to be decoded and padded to a square."""
    if max(width, height) > MAX_SIDE_PX:
        raise UserError(
            f"{path}: a picture must have at most {MAX_SIDE_PX} px a side, has {width} x {height}"
        )


def read_size(path: Path) -> tuple[int, int]:
    """Return width and height in px, upright or not, from a picture file's header.

    Raises:
        Exception: Whatever a decoder raises.
    """
    with Image.open(path, formats=FORMATS) as picture:
        return picture.size


def _decode(content: bytes, path: object, *, labels: bool = False) -> tuple[np.ndarray, int]:
    """Return samples, (H, W) or (H, W, C), upright, and the bits a sample that the file states.

    Photographs of 8 bits come as RGB; label images of colours as RGB or RGBA.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            page = _choose_page(path, picture)
            bits = _bits_of(picture, content)
            if bits > 8 and picture.mode in ("RGB", "RGBA", "LA"):
                samples = _decode_deep_colour(picture, content, page)
            else:
                picture.load()
                samples = _samples_of(picture, labels=labels)
            if picture.format != "TIFF":  # Pillow and OpenCV turn these themselves
                orientation: Any = picture.getexif().get(ExifTags.Base.Orientation)
                samples = _UPRIGHT.get(orientation, np.asarray)(samples)
            return np.ascontiguousarray(samples), bits
    except UserError:
        raise
    except Exception as error:  # on damaged files decoders raise errors of any kind
        reason = " ".join(str(error).replace(f" {io.BytesIO}", "").split())
        if isinstance(error, UnidentifiedImageError):
            reason = f"it must hold {', '.join(FORMATS)}" if content else "the file is empty"
        raise UserError(
            f"{path}: cannot be read as a picture: {reason or type(error).__name__}"
        ) from error


def _choose_page(path: object, picture: Image.Image) -> int:
    """Seek the largest page of a TIFF; raise UserError where a file holds several photographs."""
    sizes = [picture.size]
    if picture.format == "TIFF":
        while len(sizes) <= MAX_PAGES:
            try:
                picture.seek(len(sizes))
            except EOFError:
                break
            sizes.append(picture.size)
    elif picture.format in ("PNG", "WEBP"):
        sizes *= getattr(picture, "n_frames", 1)
    for width, height in sizes[:MAX_PAGES]:
        check_size(path, width, height)
    largest = max(sizes, key=lambda size: size[0] * size[1])
    if sizes.count(largest) > 1 or len(sizes) > MAX_PAGES:
        raise UserError(
            f"{path}: must hold one photograph, has {len(sizes)} pages or frames, several of "
            f"{largest[0]} x {largest[1]} px; save the one that is meant as a file of its own"
        )
    picture.seek(sizes.index(largest))
    return sizes.index(largest)


def _bits_of(picture: Image.Image, content: bytes) -> int:
    """Bits a sample, of PNG and TIFF; 8 for other formats, whose depth Pillow sees to."""
    if picture.format == "PNG":
        return content[24]  # of the header chunk, which is always the first
    if isinstance(picture, TiffImageFile):
        return int(max(picture.tag_v2.get(BITSPERSAMPLE, (1,))))
    return 8


def _samples_of(picture: Image.Image, *, labels: bool) -> np.ndarray:
    if picture.mode == "F" or picture.mode.startswith("I"):
        return np.array(picture)
    if not labels:
        return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))
    if picture.mode in ("1", "L"):
        return np.array(picture.convert("L"))
    if picture.mode == "P":
        return np.array(picture)
    if picture.mode == "PA":
        return np.array(picture)[..., 0]
    return np.array(picture.convert("RGBA" if picture.mode in ("LA", "RGBA") else "RGB"))


def _decode_deep_colour(picture: Image.Image, content: bytes, page: int) -> np.ndarray:
    """Decode RGB of more than 8 bits a sample, of which Pillow keeps 8; uint16 (H, W, 3)."""
    buffer = np.frombuffer(content, np.uint8)
    if picture.format == "TIFF":
        _, pages = cv2.imdecodemulti(buffer, cv2.IMREAD_UNCHANGED, range=(page, page + 1))
    else:
        pages = [cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)]
    if not pages or pages[0] is None or pages[0].dtype != np.uint16 or pages[0].ndim != 3:
        raise UserError("colours of more than 8 bits a sample cannot be decoded")
    return np.asarray(pages[0])[..., 2::-1]  # BGR or BGRA -> RGB


def _depth_of(path: object, samples: np.ndarray) -> int:
    low, high = int(samples.min()), int(samples.max())
    if low < 0 or high >= 2**16:
        raise UserError(f"{path}: samples must lie in 0 to 65535, got {low} to {high}")
    brightness = samples.max(axis=-1) if samples.ndim == 3 else samples
    rank = brightness.size - 1 - int(HOT_SHARE * brightness.size)
    peak = int(np.partition(brightness, rank, axis=None)[rank])
    return next(bits for bits in (8, 10, 12, 14, 16) if peak < 2**bits)

"""One raw case becomes one region: read, checked, cut, written."""

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tvseg.data.centres import MaskEncoding
from tvseg.data.fingerprint import pixel_hash
from tvseg.data.images import read_image
from tvseg.data.prepare.framing import Framing
from tvseg.data.prepare.raw_case import RawCase
from tvseg.errors import UserError

MAX_OUTSIDE = 0.05
"""Largest share of an inner structure, such as the cup, that may lie outside the outer one and is
cut off. Separately drawn outlines cross by some pixels; exchanged files put most of it outside."""


@dataclass(frozen=True)
class ManifestRow:
    """A row of the manifest: where a written case comes from.

    Args:
        centre: Its folder.
        split: ``train`` or ``test``.
        name: Of both written files, without suffix.
        patient: Whose eye, where known.
        eye: ``L``, ``R`` or empty.
        source: The photograph in the raw material.
        sha256: Of the photograph's file.
        source_height_px: Of the photograph.
        source_width_px: Of the photograph.
        row: First row of the written region in the photograph; may be negative.
        col: First column of it.
        height_px: Of the written region; no pixel is resampled.
        width_px: Of the written region.
        cut_off_px: Pixels of inner structures that lay outside the outer ones and were cut off.
    """

    centre: str
    split: str
    name: str
    patient: str
    eye: str
    source: str
    sha256: str
    source_height_px: int
    source_width_px: int
    row: int
    col: int
    height_px: int
    width_px: int
    cut_off_px: int

    def share_inside(self) -> float:
        """Return the share of the region that lies in its photograph; beyond it is black."""
        sides = (
            (self.row, self.height_px, self.source_height_px),
            (self.col, self.width_px, self.source_width_px),
        )
        inside = [min(first + side, whole) - max(first, 0) for first, side, whole in sides]
        return inside[0] * inside[1] / (self.height_px * self.width_px)


@dataclass(frozen=True)
class Cut:
    """A region, ready to be written.

    Args:
        row: Of the manifest.
        image: uint8 (H, W, 3).
        labels: uint8 (H, W).
    """

    row: ManifestRow
    image: np.ndarray
    labels: np.ndarray

    def digest(self) -> str:
        """Of the photograph's pixels."""
        return pixel_hash(self.image)

    def paths(self, folder: Path) -> tuple[Path, Path]:
        """Photograph and label image in the DoFE layout below a data root."""
        rois = folder / self.row.centre / self.row.split / "ROIs"
        return rois / "image" / f"{self.row.name}.png", rois / "mask" / f"{self.row.name}.png"

    def write(self, folder: Path) -> None:
        """Write both below a data root."""
        for path, pixels in zip(self.paths(folder), (self.image, self.labels), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, compress_level=1)  # twice as fast, a tenth larger


def cut_case(case: RawCase, *, encoding: MaskEncoding, framing: Framing, seed: int) -> Cut:
    """Read a raw case, check it and cut its region.

    Args:
        case: With a split.
        encoding: Of the label image to write.
        framing: What to cut.
        seed: Of the jitter, which depends on it and the case's name alone.

    Returns:
        The region and its row of the manifest.

    Raises:
        ValueError: Unreadable, masks of another size than the photograph, an empty structure, one
            outside the other, or structures wider than the frame.
        OSError: A file cannot be read.
    """
    whole = read_image(case.photograph.path)
    masks = _masks_of(case, (whole.shape[0], whole.shape[1]), encoding)
    image, masks, first_col = _drawn_half(whole, masks) if case.stereo else (whole, masks, 0)
    cut_off_px = _nest(masks, encoding)
    rng = np.random.default_rng([seed, zlib.crc32(f"{case.centre}/{case.name}".encode())])
    window = framing.window(np.logical_or.reduce(masks), rng)
    if window is not None:
        image = window.cut(image)
        masks = np.stack([window.cut(mask) for mask in masks])
    row = ManifestRow(
        centre=case.centre,
        split=case.split,
        name=case.name,
        patient=case.patient,
        eye=case.eye,
        source=case.photograph.name,
        sha256=hashlib.sha256(case.photograph.path.read_bytes()).hexdigest(),
        source_height_px=whole.shape[0],
        source_width_px=whole.shape[1],
        row=window.row if window else 0,
        col=first_col + (window.col if window else 0),
        height_px=image.shape[0],
        width_px=image.shape[1],
        cut_off_px=cut_off_px,
    )
    return Cut(row, image, encoding.encode(masks))


def _masks_of(case: RawCase, shape: tuple[int, int], encoding: MaskEncoding) -> np.ndarray:
    """All structures, bool (S, H, W), none empty."""
    read = case.masks()
    if lacking := [name for name in encoding.structures if name not in read]:
        raise UserError(
            f"drawings must show {', '.join(encoding.structures)}, these lack {', '.join(lacking)}"
        )
    for name in encoding.structures:
        if read[name].shape != shape:
            raise UserError(
                f"the {name} mask must have its photograph's size, {shape[1]} x {shape[0]} px, "
                f"it has {read[name].shape[1]} x {read[name].shape[0]} px"
            )
        if not read[name].any():
            raise UserError(f"no pixel of {name} is marked")
    masks = np.stack([read[name] for name in encoding.structures])
    if wrong := encoding.inverted(masks):
        raise UserError(
            f"{' and '.join(wrong)} must not touch all four borders of the photograph; is the "
            "mask inverted?"
        )
    return masks


def _drawn_half(image: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The view of a stereo pair that was drawn on, and its first column."""
    half = image.shape[1] // 2
    left, right = masks[..., :half].any(), masks[..., half:].any()
    if left and right:
        raise UserError("one view of a stereo pair must be drawn on, the drawing covers both")
    first = 0 if left else half
    return image[:, first : first + half], masks[..., first : first + half], first


def _nest(masks: np.ndarray, encoding: MaskEncoding) -> int:
    """Cut inner structures to the outer ones they belong in; returns the pixels cut off."""
    cut_off_px = 0
    for inner, outer in encoding.nested():
        outside = masks[inner] & ~masks[outer]
        count = int(outside.sum())
        if count > MAX_OUTSIDE * masks[inner].sum():
            names, area = encoding.structures, masks[inner].sum()
            raise UserError(
                f"{names[inner]} must lie in {names[outer]}, but {count} of {area} px do not: "
                "are files exchanged, or of another photograph?"
            )
        masks[inner] &= masks[outer]
        cut_off_px += count
    return cut_off_px

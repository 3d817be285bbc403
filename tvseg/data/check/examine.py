"""Measures of one case: sizes, values, framing, brightness, digests; its pixels are not kept.

Cases are examined in batches, so that tens of thousands pass through as little memory as a few.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from tvseg.data.cases import Case
from tvseg.data.check.findings import Finding
from tvseg.data.fingerprint import perceptual_hash, pixel_hash
from tvseg.data.geometry import Box
from tvseg.data.images import MIN_SIDE_PX, pad_to_square, read_image, read_labels
from tvseg.errors import UserError, one_line

THUMB_PX = 64  # side of the small copies of which the mean picture and the colours are taken


@dataclass(frozen=True, slots=True)
class Examination:
    """The measures of one readable case.

    Attributes:
        case: The case.
        height_px: Of the photograph.
        width_px: Of the photograph.
        values: Pixel values of the mask.
        shares: Share of each structure in the photograph's area.
        pieces: 8-connected components of each structure.
        colour: Mean red, green and blue, 0 to 255.
        brightness: Mean grey value, 0 to 255.
        contrast: Standard deviation of the grey value.
        extent: Mean of height and width of the box about all structures, over the longer side.
        offset: (row, col) of the box's middle from the photograph's, over the longer side.
        digest: Of the photograph's native pixels.
        perceptual: Its perceptual hash, empty for a blank one.
    """

    case: Case
    height_px: int
    width_px: int
    values: tuple[int, ...]
    shares: tuple[float, ...]
    pieces: tuple[int, ...]
    colour: tuple[float, float, float]
    brightness: float
    contrast: float
    extent: float
    offset: tuple[float, float]
    digest: str
    perceptual: bytes


@dataclass
class Sums:
    """Added up over a centre's cases, for its mean picture, mean masks and colours.

    Attributes:
        cases: How many.
        image: (64, 64, 3), of photographs padded to squares and made small.
        masks: (S, 64, 64).
        colours: Histogram of red, green and blue in 64 bins each, (3, 64).
    """

    cases: int = 0
    image: np.ndarray = field(default_factory=lambda: np.zeros((THUMB_PX, THUMB_PX, 3)))
    masks: np.ndarray = field(default_factory=lambda: np.zeros((1, THUMB_PX, THUMB_PX)))
    colours: np.ndarray = field(default_factory=lambda: np.zeros((3, 64)))

    def add(self, other: "Sums") -> None:
        """Take in the sums of other cases."""
        self.cases += other.cases
        self.image = self.image + other.image
        self.masks = self.masks + other.masks
        self.colours = self.colours + other.colours


@dataclass
class ExaminedBatch:
    """Measures, findings and sums of a batch of one centre's cases."""

    letter: str
    examined: list[Examination] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    sums: Sums = field(default_factory=Sums)


def examine(cases: Sequence[Case]) -> ExaminedBatch:
    """Read cases of one centre, one after the other.

    Args:
        cases: At least one.

    Returns:
        Measures of those that can be read, and a finding for each that cannot or looks wrong.
    """
    batch = ExaminedBatch(cases[0].centre.letter)
    for case in cases:
        try:
            image, labels = read_image(case.image_path), read_labels(case.mask_path)
        except (UserError, OSError) as error:
            batch.findings.append(Finding("unreadable", case.id, one_line(error)))
            continue
        try:
            masks = case.decode(labels, image.shape[:2])
        except UserError as error:
            kind = "values" if labels.shape == image.shape[:2] else "size"
            batch.findings.append(Finding(kind, case.id, str(error)))
            continue
        thumb = _small(image)
        measured = _measure(case, image, labels, masks, thumb)
        batch.examined.append(measured)
        batch.findings += _findings(measured, masks)
        batch.sums.add(_sums(image, masks, thumb))
    return batch


def _measure(
    case: Case, image: np.ndarray, labels: np.ndarray, masks: np.ndarray, thumb: np.ndarray
) -> Examination:
    height, width = image.shape[:2]
    seen = _seen(thumb, height, width)
    grey = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)
    extent, offset = _framing(masks)
    return Examination(
        case=case,
        height_px=height,
        width_px=width,
        values=tuple(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()),
        shares=tuple(float(cv2.countNonZero(_bytes(mask))) / mask.size for mask in masks),
        pieces=tuple(cv2.connectedComponents(_bytes(m), connectivity=8)[0] - 1 for m in masks),
        colour=tuple(seen.mean(axis=(0, 1)).tolist()),
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        extent=extent,
        offset=offset,
        digest=pixel_hash(image),
        perceptual=perceptual_hash(image),
    )


def _findings(case: Examination, masks: np.ndarray) -> list[Finding]:
    encoding, where = case.case.centre.encoding, case.case.id
    found = []
    if min(case.height_px, case.width_px) < MIN_SIDE_PX:
        size = f"{case.width_px} x {case.height_px} px"
        found.append(
            Finding("small", where, f"{size}, at least {MIN_SIDE_PX} px a side are needed")
        )
    if not case.perceptual:
        found.append(Finding("blank", where, f"all of one brightness ({case.brightness:.0f})"))
    counts = dict(zip(encoding.structures, case.pieces, strict=True))
    if lacking := [name for name, count in counts.items() if count == 0]:
        found.append(Finding("empty", where, f"no pixel of {', '.join(lacking)}"))
    torn = [n for n, count in counts.items() if count > 1 and n not in encoding.scattered]
    if torn:
        words = ", ".join(f"{name} in {counts[name]} pieces" for name in torn)
        found.append(Finding("pieces", where, words))
    if wrong := encoding.inverted(masks):
        words = f"{' and '.join(wrong)} on all four borders; is the mask inverted?"
        found.append(Finding("inverted", where, words))
    for inner, outer in encoding.nested():
        if outside := _outside(masks[inner], masks[outer]):
            names = encoding.structures[inner], encoding.structures[outer]
            found.append(Finding("outside", where, _outside_words(*names, outside)))
    return found


def _outside_words(inner: str, outer: str, count: int) -> str:
    return f"{count} px of {inner} with no {outer} around them"


def _outside(inner: np.ndarray, outer: np.ndarray) -> int:
    """Pixels in pieces of the outer structure that are nothing but the inner one.

    The encoding makes each pixel of the inner structure one of the outer; where nothing else of the
    outer is near, it was drawn outside.
    """
    _, pieces = cv2.connectedComponents(_bytes(outer), connectivity=8)
    sizes = np.bincount(pieces.ravel())
    around = np.bincount(pieces[outer & ~inner], minlength=len(sizes))
    return int(sizes[1:][around[1:] == 0].sum())


def _framing(masks: np.ndarray) -> tuple[float, tuple[float, float]]:
    height, width = masks.shape[1:]
    box = Box.of(masks)
    if box.is_empty:
        return float("nan"), (float("nan"), float("nan"))
    side = max(height, width)
    row, col = box.row + box.height / 2, box.col + box.width / 2
    return (box.height + box.width) / 2 / side, (
        (row - height / 2) / side,
        (col - width / 2) / side,
    )


def _sums(image: np.ndarray, masks: np.ndarray, thumb: np.ndarray) -> Sums:
    seen = _seen(thumb, *image.shape[:2])
    colours = [np.bincount(seen[..., channel].ravel() // 4, minlength=64) for channel in range(3)]
    small = [_small(_bytes(mask) * np.uint8(255)) / 255 for mask in masks]
    return Sums(1, thumb.astype(np.float64), np.stack(small), np.stack(colours) / seen[..., 0].size)


def _small(image: np.ndarray) -> np.ndarray:
    """A square copy of 64 px a side, each pixel the mean of what it covers."""
    size = (THUMB_PX, THUMB_PX)
    square = pad_to_square(image)
    return np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_AREA))


def _seen(thumb: np.ndarray, height: int, width: int) -> np.ndarray:
    """The part of a small copy that is photograph, not padding."""
    rows, cols = (max(1, round(THUMB_PX * n / max(height, width))) for n in (height, width))
    return thumb[:rows, :cols]


def _bytes(mask: np.ndarray) -> np.ndarray:
    """A mask as OpenCV takes it, without a copy."""
    return np.ascontiguousarray(mask).view(np.uint8)

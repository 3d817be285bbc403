"""From logits to masks that a label image can hold."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.errors import UserError

SHAPES = ("free", "ellipse")
"""What masks may be: as the network draws them, or ellipses."""


@dataclass(frozen=True)
class Postprocessing:
    """How probabilities become masks.

    Attributes:
        threshold: A pixel belongs to a structure when its probability is above this.
        shape: ``ellipse`` replaces each structure that is not scattered, once it is cut as below,
            by the ellipse of its centre, axes and direction (its moments of second order), which
            is cut likewise; ``free`` keeps its outline.
        clip_nested: Cut each inner structure at its outer one's outline, the cup at the disc's, and
            give what the encoding still cannot write to the likeliest structures that it can.

    Of each structure that is not scattered the largest 8-connected component is kept, and its holes
    are filled where no structure lies that excludes it.

    Raises:
        UserError: An unknown shape.
    """

    threshold: float = 0.5
    clip_nested: bool = True
    shape: str = "free"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UserError(f"shape must be {' or '.join(SHAPES)}, got {self.shape!r}")

    @property
    def level(self) -> float:
        """The logit of the threshold."""
        return float(np.log(self.threshold / (1 - self.threshold)))

    def __call__(self, logits: np.ndarray, encoding: MaskEncoding) -> np.ndarray:
        """Return masks, bool (S, H, W), of logits (S, H, W).

        A pixel of two structures that exclude each other goes to the likelier one.
        """
        above = logits > self.level
        for one, other in encoding.disjoint():
            first = logits[one] >= logits[other]
            above[one] &= first | ~above[other]
            above[other] &= ~first | ~above[one]
        masks = above.copy()
        for shaped in (_one_component, *([_as_ellipse] if self.shape == "ellipse" else [])):
            for name, mask in zip(encoding.structures, masks, strict=True):
                mask[:] = mask if name in encoding.scattered else shaped(mask)
            for one, other in encoding.disjoint():  # a filled hole gives way to what lies in it
                masks[one] &= above[one] | ~masks[other]
                masks[other] &= above[other] | ~masks[one]
            for inner, outer in encoding.nested() if self.clip_nested else ():
                masks[inner] &= masks[outer]
        if self.clip_nested:
            _make_writable(masks, logits, encoding)
        return masks


def _make_writable(masks: np.ndarray, logits: np.ndarray, encoding: MaskEncoding) -> None:
    """Change the pixels whose structures belong together in no value, in place.

    Each gets the value whose structures are the likeliest, taken as independent.
    """
    allowed = np.array([[name in names for name in encoding.structures]
                        for names in encoding.values.values()])  # (values, S)  # fmt: skip
    bits = 1 << np.arange(len(encoding.structures))
    strange = ~np.isin(np.tensordot(bits, masks.astype(np.int64), axes=1), allowed @ bits)
    if strange.any():
        here = logits[:, strange].astype(np.float64)  # (S, N)
        likeliest = np.argmax(allowed @ np.clip(here, -1e6, 1e6), axis=0)
        masks[:, strange] = allowed[likeliest].T


def _as_ellipse(mask: np.ndarray) -> np.ndarray:
    """Return the ellipse of a mask's moments, bool (H, W); a mask without width as it is."""
    box = Box.of(mask)
    if box.is_empty:
        return mask
    inside = mask[box.slices]
    of_rows, of_columns = inside.sum(axis=1), inside.sum(axis=0)
    rows = np.arange(box.height) - np.average(np.arange(box.height), weights=of_rows)
    columns = np.arange(box.width) - np.average(np.arange(box.width), weights=of_columns)
    down, across = np.average(rows**2, weights=of_rows), np.average(columns**2, weights=of_columns)
    both = rows @ inside @ columns / inside.sum()
    narrow = (down + across) / 2 - np.hypot((down - across) / 2, both)  # variance along that axis
    if 2 * np.sqrt(max(narrow, 0)) < 1:
        return mask
    row, col = box.row - rows[0], box.col - columns[0]
    top, left = int(row - 2 * np.sqrt(down)), int(col - 2 * np.sqrt(across))
    bottom, right = int(row + 2 * np.sqrt(down)) + 1, int(col + 2 * np.sqrt(across)) + 1
    reach = Box(top, left, bottom - top, right - left).overlap(Box.frame(mask))
    y, x = np.ogrid[reach.slices]
    y, x = y - row, x - col
    drawn = np.zeros_like(mask)
    squared = (across * y**2 - 2 * both * y * x + down * x**2) / (down * across - both**2)
    drawn[reach.slices] = squared < 4  # in standard deviations, which are half of semi-axes
    return drawn


def _one_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest 8-connected component of a mask, bool (H, W), with its holes filled."""
    box = Box.of(mask)
    if box.is_empty:
        return mask
    labels, _ = ndimage.label(mask[box.slices], structure=np.ones((3, 3)))
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    whole = np.zeros_like(mask)
    whole[box.slices] = ndimage.binary_fill_holes(labels == largest)
    return whole

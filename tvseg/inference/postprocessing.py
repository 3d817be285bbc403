"""From logits to masks that a label image can hold."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.draw import ellipse
from skimage.measure import regionprops

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
        shape: ``ellipse`` replaces each structure that is not scattered by the ellipse of its
            centre, axes and direction (its moments of second order); ``free`` keeps its outline.
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
        pairs = zip(encoding.structures, above, strict=True)
        masks = np.stack(
            [mask if name in encoding.scattered else self._whole(mask) for name, mask in pairs]
        )
        for one, other in encoding.disjoint():  # a filled hole gives way to what lies in it
            masks[one] &= above[one] | ~masks[other]
            masks[other] &= above[other] | ~masks[one]
        if self.clip_nested:
            for inner, outer in encoding.nested():
                masks[inner] &= masks[outer]
            _make_writable(masks, logits, encoding)
        return masks

    def _whole(self, mask: np.ndarray) -> np.ndarray:
        whole = _one_component(mask)
        return _as_ellipse(whole) if self.shape == "ellipse" else whole


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
    (region,) = regionprops(mask[box.slices].astype(np.uint8))
    axes = region.axis_major_length / 2, region.axis_minor_length / 2
    if min(axes) < 1:
        return mask
    row, column = region.centroid
    centre = row + box.slices[0].start, column + box.slices[1].start
    drawn = np.zeros_like(mask)
    drawn[ellipse(*centre, *axes, shape=mask.shape, rotation=region.orientation)] = True
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

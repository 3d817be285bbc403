"""From logits to masks that a label image can hold."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box


@dataclass(frozen=True)
class Postprocessing:
    """How probabilities become masks.

    Attributes:
        threshold: A pixel belongs to a structure when its probability is above this.
        clip_nested: Cut each inner structure at its outer one's outline, the cup at the disc's, and
            give what the encoding still cannot write to the likeliest structures that it can.

    Of each structure that is not scattered the largest 8-connected component is kept, and its holes
    are filled where no structure lies that excludes it.
    """

    threshold: float = 0.5
    clip_nested: bool = True

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
            [mask if name in encoding.scattered else _one_component(mask) for name, mask in pairs]
        )
        for one, other in encoding.disjoint():  # a filled hole gives way to what lies in it
            masks[one] &= above[one] | ~masks[other]
            masks[other] &= above[other] | ~masks[one]
        if self.clip_nested:
            for inner, outer in encoding.nested():
                masks[inner] &= masks[outer]
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

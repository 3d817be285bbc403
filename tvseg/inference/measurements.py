"""What is measured on predicted structures."""

from collections.abc import Sequence

import numpy as np

from tvseg.evaluation.metrics import vcdr


def measure(masks: np.ndarray, structures: Sequence[str]) -> dict[str, float]:
    """Measurements of one photograph.

    Args:
        masks: bool (S, H, W), channels in the order of ``structures``.
        structures: Names of the channels.

    Returns:
        ``<structure>_area_px`` of each structure, and, where there are cup and disc, ``vcdr``, the
        vertical cup-to-disc ratio (NaN without a disc).
    """
    found: dict[str, float] = {
        f"{name}_area_px": int(mask.sum()) for name, mask in zip(structures, masks, strict=True)
    }
    if {"cup", "disc"} <= set(structures):
        cup, disc = (masks[structures.index(name)] for name in ("cup", "disc"))
        found["vcdr"] = vcdr(cup, disc)
    return found

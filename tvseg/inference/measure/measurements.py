"""What is measured on predicted structures."""

from collections.abc import Mapping, Sequence

import numpy as np

from tvseg.data.laterality import Laterality
from tvseg.inference.measure.rim_width import rim_widths
from tvseg.metrics import vcdr


def measure(
    masks: np.ndarray, structures: Sequence[str], *, laterality: Laterality = "unknown"
) -> dict[str, float]:
    """Measurements of one photograph, in pixels.

    Args:
        masks: bool (S, H, W), channels in the order of ``structures``; what is beyond them is
            background.
        structures: Names of the channels.
        laterality: Which eye it is.

    Returns:
        ``<structure>_area_px`` of each structure, in square px. Where there are cup and disc,
        their ``_vertical_px`` and ``_horizontal_px`` diameters (most pixels in a column, in a
        row), the ratios cup to disc ``vcdr`` (vertical), ``hcdr`` (horizontal) and ``acdr``
        (areas), NaN without a disc, and ``rim_<side>_px`` of :func:`~.sectors.rim_widths`.
    """
    found: dict[str, float] = {
        f"{name}_area_px": int(mask.sum()) for name, mask in zip(structures, masks, strict=True)
    }
    if not {"cup", "disc"} <= set(structures):
        return found
    cup, disc = (masks[structures.index(name)] for name in ("cup", "disc"))
    for name, mask in (("cup", cup), ("disc", disc)):
        found[f"{name}_vertical_px"] = int(mask.sum(axis=0).max(initial=0))
        found[f"{name}_horizontal_px"] = int(mask.sum(axis=1).max(initial=0))
    found["vcdr"] = vcdr(cup, disc)
    found["hcdr"] = vcdr(cup.T, disc.T)
    found["acdr"] = float(cup.sum() / disc.sum()) if disc.any() else float("nan")
    widths = rim_widths(cup, disc, laterality)
    return found | {f"rim_{side}_px": width for side, width in widths.items()}


def in_micrometres(measured_px: Mapping[str, float], um_per_px: float | None) -> dict[str, float]:
    """Areas and lengths on the retina: ``_area_um2`` and ``_um`` for each ``_area_px`` and ``_px``.

    Args:
        measured_px: Of :func:`measure`; ratios are passed over.
        um_per_px: Micrometres a pixel; ``None`` gives NaN.
    """
    scale = float("nan") if um_per_px is None else um_per_px
    found: dict[str, float] = {}
    for name, value in measured_px.items():
        if name.endswith("_area_px"):
            found[name.removesuffix("_px") + "_um2"] = value * scale**2
        elif name.endswith("_px"):
            found[name.removesuffix("_px") + "_um"] = value * scale
    return found

"""Order and colours of variants, the same in every table and figure."""

from collections.abc import Sequence

from tvseg.evaluation.schema import MEAN_MASK
from tvseg.models.spatial import SPATIAL

# Okabe and Ito's colours, which differ with any colour vision.
_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#222222", "#B8A800",
)  # fmt: skip
_NO_NETWORK = "#808080"


def ordered(variants: Sequence[str]) -> list[str]:
    """Return variants in the order of tables.

    The mean mask comes first, then ``dense``, the spatial operators as they are registered, and
    other names by alphabet.
    """
    known = [variant for variant in (MEAN_MASK, *_networks()) if variant in variants]
    return known + sorted(set(variants) - set(known))


def variant_colours(variants: Sequence[str]) -> dict[str, str]:
    """Return a colour for each variant; that of a registered one is always the same."""
    order = _networks()
    order += [variant for variant in variants if variant not in (MEAN_MASK, *order)]
    found = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(order)}
    return {variant: found.get(variant, _NO_NETWORK) for variant in variants}


def _networks() -> list[str]:
    return ["dense", *SPATIAL]

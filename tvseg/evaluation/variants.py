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
    """Return a colour for each variant.

    A registered one has the colour of its number in the register, unless one before it among
    ``variants`` has it; so the variants of the paper have the same colours everywhere.
    """
    register = _networks()
    found = {MEAN_MASK: _NO_NETWORK}
    for variant in sorted(variants, key=_rank):
        if variant not in found:
            first = register.index(variant) if variant in register else len(found) - 1
            turned = [_COLOURS[(first + step) % len(_COLOURS)] for step in range(len(_COLOURS))]
            free = [colour for colour in turned if colour not in found.values()]
            found[variant] = (free or turned)[0]
    return {variant: found[variant] for variant in variants}


def _rank(variant: str) -> int:
    register = _networks()
    return register.index(variant) if variant in register else len(register)


def _networks() -> list[str]:
    return ["dense", *SPATIAL]

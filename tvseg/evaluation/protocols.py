"""The two scoring protocols, as values."""

from dataclasses import dataclass
from typing import Literal

from tvseg.inference.predictor import Postprocessing

REFERENCE_SIDE_PX = 800  # distances are told in pixels of a region of interest of this side


@dataclass(frozen=True)
class Protocol:
    """How a prediction is made into masks and scored.

    Attributes:
        name: ``honest`` or ``paper``.
        postprocessing: How probabilities become masks.
        grid_px: Side of the grid to score on; ``None`` for the photograph's own.
        smooth: Added to numerator and denominator of Dice.
        hd95_rule: Meaning of the 95th percentile, see :func:`tvseg.evaluation.metrics.hd95`.
        missed_px: Distance charged for a structure that only one of the two has; ``None`` for
            the image's diagonal.
        words: What a table's caption says of it.
    """

    name: str
    postprocessing: Postprocessing
    grid_px: int | None
    smooth: float
    hd95_rule: Literal["max", "pooled"]
    missed_px: float | None
    words: str


PROTOCOLS = {
    "honest": Protocol(
        name="honest",
        postprocessing=Postprocessing(threshold=0.5, clip_nested=True),
        grid_px=None,
        smooth=0.0,
        hd95_rule="max",
        missed_px=None,
        words="threshold 0.5, inner structures clipped to outer ones, native grid, "
        "Dice without smoothing, "
        "HD95 = larger directed percentile in px at 800, missed = image diagonal",
    ),
    "paper": Protocol(
        name="paper",
        postprocessing=Postprocessing(threshold=0.75, clip_nested=False),
        grid_px=REFERENCE_SIDE_PX,
        smooth=1.0,
        hd95_rule="pooled",
        missed_px=100.0,
        words="threshold 0.75, 800 px grid, Dice (2I+1)/(P+G+1), "
        "HD95 = pooled percentile in px at 800, missed = 100 px",
    ),
}


def find_protocol(name: str) -> Protocol:
    """A protocol by name.

    Raises:
        ValueError: An unknown name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]

"""What a localizer says of itself; importable without torch."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from tvseg.runs.cards import Card
from tvseg.settings import MAX_SEED


class Calibration(BaseModel):
    """From the score of a sighting to the probability that a disc is there (Platt scaling)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slope: float
    offset: float

    def __call__(self, score: float) -> float:
        """Return ``1 / (1 + exp(-(slope * score + offset)))``."""
        return float(expit(np.float32(self.slope * score + self.offset)))


class LocalizerCard(Card):
    """What a localizer says of itself, beside its weights.

    Attributes:
        run: Name of the run that it serves, ``<name>-holdout-<letter>-seed<k>``.
        framing: Side of a region of interest over the disc's diameter, of the training set.
        image_size: Side in px at which the network sees a photograph.
        encoder: Of the network.
        calibration: Of its scores.
        seed: Of its training.
    """

    task: Literal["localizer"] = "localizer"
    run: str
    framing: float = Field(gt=0, le=1000, allow_inf_nan=False)
    image_size: int = Field(ge=32, le=4096, multiple_of=32)
    encoder: str
    calibration: Calibration
    seed: int = Field(ge=0, le=MAX_SEED)

"""Several views of one region: networks that answer together, mirror images that are asked too."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from tvseg.errors import UserError
from tvseg.inference.predictor import Predictor

_CERTAIN = 1e-6  # probabilities of 0 and 1 have no logit


class Opinion(NamedTuple):
    """What an ensemble says of some regions.

    Attributes:
        logits: float32 (B, S, s, s), of the mean probability.
        disagreement: float32 (B, S, s, s), the standard deviation of the probabilities, 0 to 0.5;
            ``None`` where there is one view only.
    """

    logits: torch.Tensor
    disagreement: torch.Tensor | None


class Ensemble:
    """Predictors whose probabilities are averaged.

    Args:
        predictors: At least one; they must agree in structures and encoding.
        mirror: Whether each looks at the mirror image, too (test-time augmentation).

    Raises:
        ValueError: The predictors do not agree.
    """

    def __init__(self, predictors: Sequence[Predictor], *, mirror: bool = False) -> None:
        first = predictors[0].encoding
        for other in (predictor.encoding for predictor in predictors[1:]):
            if (other.structures, other.values) != (first.structures, first.values):
                raise UserError(
                    "runs of an ensemble must agree in structures and encoding, got "
                    f"{', '.join(first.structures)} as {first.describe()} and "
                    f"{', '.join(other.structures)} as {other.describe()}"
                )
        self.predictors = tuple(predictors)
        self.flips = (False, True) if mirror else (False,)
        self.encoding = first

    def __call__(self, regions: Sequence[np.ndarray]) -> Opinion:
        """Look at square regions, uint8 (H, H, 3) each, as one batch."""
        views = [
            predictor.batch_logits(regions, flip=flip)
            for predictor in self.predictors
            for flip in self.flips
        ]
        if len(views) == 1:
            return Opinion(views[0], None)
        side_px = max(view.shape[-1] for view in views)
        probabilities = torch.stack([_probabilities(view, side_px) for view in views])
        logits = torch.logit(probabilities.mean(dim=0), eps=_CERTAIN)
        return Opinion(logits, probabilities.std(dim=0, correction=0))


def _probabilities(logits: torch.Tensor, side_px: int) -> torch.Tensor:
    if logits.shape[-1] != side_px:
        logits = F.interpolate(logits, size=(side_px, side_px), mode="bilinear")
    return logits.sigmoid()

"""From uint8 pixels to the network's input."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

Samples = float | tuple[float, ...]
"""A value for all channels, or one for each, in samples of 0 to 255."""


@dataclass(frozen=True)
class Normalisation:
    """``(x - mean) / std`` on samples of 0 to 255; the default maps them to -1 ... 1."""

    mean: Samples = 127.5
    std: Samples = 127.5

    @staticmethod
    def of(mean: float | Sequence[float], std: float | Sequence[float]) -> "Normalisation":
        """Return the normalisation whose values a file holds, as lists where they are several."""
        return Normalisation(*(tuple(v) if isinstance(v, Sequence) else v for v in (mean, std)))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise a batch: uint8 (B, 3, H, W) -> float32 (B, 3, H, W), channels last."""
        mean, std = (
            torch.tensor(values, device=images.device).reshape(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        scaled = (images.float() - mean) / std
        return scaled.contiguous(memory_format=torch.channels_last)

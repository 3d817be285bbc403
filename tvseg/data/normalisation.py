"""From uint8 pixels to the network's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Samples = float | tuple[float, ...]
"""A value for all channels, or one for each, in samples of 0 to 255."""


@dataclass(frozen=True)
class Normalisation:
    """``(x - mean) / std`` on samples of 0 to 255; the default maps them to -1 ... 1."""

    mean: Samples = 127.5
    std: Samples = 127.5

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise a batch: uint8 (B, 3, H, W) -> float32 (B, 3, H, W), channels last."""
        import torch  # here, since cards are read where there is no torch

        mean, std = (
            torch.tensor(given, device=images.device)[:, None, None]
            if isinstance(given, tuple)
            else given
            for given in (self.mean, self.std)
        )
        scaled = (images.float() - mean) / std
        return scaled.contiguous(memory_format=torch.channels_last)

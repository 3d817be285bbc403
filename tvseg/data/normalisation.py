"""From uint8 pixels to the network's input."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Normalisation:
    """``(x - mean) / std`` on samples of 0 to 255; the default maps them to -1 ... 1."""

    mean: float = 127.5
    std: float = 127.5

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise a batch: uint8 (B, 3, H, W) -> float32 (B, 3, H, W), channels last."""
        scaled = (images.float() - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)

"""A bias for each image, channel and pixel, from the maps' means over a coarse grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = 4
"""Rows and columns of the grid whose cells' means the bias is computed from."""

HIDDEN = 16


class DynamicBias(nn.Module):
    """bias = scale * resize(conv 1x1(ReLU(conv 1x1(pool(x))))), zero at first.

    TVConv's weights are the same for all images; a bias that is not lets a layer answer to what an
    image shows and where, for the cost of two small convolutions of 4 x 4 maps.

    Args:
        channels: channels C of the maps.

    Source:
        Chen et al., TVConv, CVPR 2022, section 5, names such a bias as future work.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, HIDDEN, 1), nn.ReLU(), nn.Conv2d(HIDDEN, channels, 1)
        )
        self.scale = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Compute the bias of maps.

        Args:
            x: input maps (B, C, H, W).
            size: (height, width) of the output map.

        Returns:
            (B, C, *size).
        """
        coarse: Tensor = self.layers(F.adaptive_avg_pool2d(x, GRID))
        return F.interpolate(self.scale * coarse, size, mode="bilinear", align_corners=False)

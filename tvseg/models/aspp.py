"""Atrous spatial pyramid pooling whose three wide branches are a choice.

Source: DeepLabV3+, section 3; TVConv, section 4.2.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops.misc import Conv2dNormActivation

from tvseg.errors import UserError
from tvseg.models.layers import InvertedResidual, depthwise
from tvseg.ops import TVConv2d

Branch = Callable[[int, int, int], nn.Module]
"""(in_channels, out_channels, atrous rate) -> a module that keeps the spatial size."""


def dense_branch(in_channels: int, out_channels: int, rate: int) -> nn.Module:
    """A 3x3 atrous convolution, batch norm, ReLU."""
    block: nn.Module = Conv2dNormActivation(in_channels, out_channels, 3, dilation=rate)
    return block


def make_branch(aspp: str, *, aspp_dilation: str, feature_size: int) -> Branch:
    """The branch that a variant's name stands for.

    Args:
        aspp: ``dense``, ``depthwise`` or ``tvconv``.
        aspp_dilation: ``none`` leaves the inverted residual branches undilated, ``atrous`` hands
            them the rates; ``dense`` branches are atrous either way.
        feature_size: Side of the feature maps that TVConv's weights are made for.

    Raises:
        ValueError: An unknown name.
    """
    if aspp_dilation not in ("none", "atrous"):
        raise UserError(f"aspp_dilation must be none or atrous, got {aspp_dilation!r}")

    def tvconv(channels: int, dilation: int) -> nn.Module:
        return TVConv2d(channels, feature_size, dilation=dilation, resize="bilinear")

    def inverted(spatial: Callable[[int, int], nn.Module]) -> Branch:
        def branch(in_channels: int, out_channels: int, rate: int) -> nn.Module:
            dilation = rate if aspp_dilation == "atrous" else 1
            return InvertedResidual(in_channels, out_channels, spatial=spatial, dilation=dilation)

        return branch

    branches = {
        "dense": dense_branch,
        "depthwise": inverted(depthwise),
        "tvconv": inverted(tvconv),
    }
    if aspp not in branches:
        raise UserError(f"aspp must be one of {', '.join(branches)}, got {aspp!r}")
    return branches[aspp]


class ASPP(nn.Module):
    """A 1x1 branch, three wide branches and a pooling branch, concatenated and projected.

    Args:
        in_channels: Channels of the encoder's last map, (B, in_channels, H, W).
        out_channels: Channels of each branch and of the output, (B, out_channels, H, W).
        branch: Makes one wide branch.
        rates: Atrous rates of the wide branches.
        dropout: Probability of dropping an output element.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        branch: Branch,
        rates: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.point = Conv2dNormActivation(in_channels, out_channels, 1)
        self.wide = nn.ModuleList(branch(in_channels, out_channels, rate) for rate in rates)
        self.pooled = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), Conv2dNormActivation(in_channels, out_channels, 1)
        )
        self.project = nn.Sequential(
            Conv2dNormActivation((2 + len(rates)) * out_channels, out_channels, 1),
            nn.Dropout(dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        pooled = F.interpolate(
            self.pooled(x), size=x.shape[-2:], mode="nearest"
        )  # from 1x1: constant
        branches = [self.point(x), *(wide(x) for wide in self.wide), pooled]
        projected: torch.Tensor = self.project(torch.cat(branches, dim=1))
        return projected

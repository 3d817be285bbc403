"""Atrous spatial pyramid pooling whose three wide branches are a choice.

Source: DeepLabV3+, section 3; TVConv, section 4.2.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops.misc import Conv2dNormActivation

from tvseg.errors import UsageError
from tvseg.models.spatial import (
    POINTWISE,
    SPATIAL,
    SpatialOperator,
    depthwise,
    find_operator,
    known_operators,
)

EXPANSION = 6  # of an inverted residual's channels

Branch = Callable[[int, int, int], nn.Module]
"""(in_channels, out_channels, atrous rate) -> a module that keeps height and width."""


class InvertedResidual(nn.Sequential):
    """Expand by a 1x1 convolution, filter each channel in space, project by a 1x1 convolution.

    The last convolution is linear (a "linear bottleneck"); there is no skip connection, since the
    number of channels changes.

    Args:
        in_channels: Channels of the input, (B, in_channels, H, W).
        out_channels: Channels of the output, (B, out_channels, H, W).
        spatial: Makes the operator between the two 1x1 convolutions.
        size: (height, width) of the maps that the operator is made for.
        dilation: Dilation of the operator.

    Source: MobileNetV2, figure 3; TVConv, section 4.2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial: SpatialOperator,
        size: tuple[int, int],
        dilation: int = 1,
    ) -> None:
        hidden = in_channels * EXPANSION
        super().__init__(
            Conv2dNormActivation(in_channels, hidden, 1, activation_layer=nn.ReLU6),
            spatial(hidden, size=size, dilation=dilation),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            Conv2dNormActivation(hidden, out_channels, 1, activation_layer=None),
        )


def dense_branch(in_channels: int, out_channels: int, rate: int) -> nn.Module:
    """Make a 3x3 atrous convolution, batch norm and ReLU."""
    block: nn.Module = Conv2dNormActivation(in_channels, out_channels, 3, dilation=rate)
    return block


def make_branch(
    aspp: str,
    *,
    aspp_dilation: str,
    size: tuple[int, int],
    generator_padding: str = "zeros",
    dynamic_bias: bool = False,
    align: bool = False,
) -> Branch:
    """Return the maker of a variant's wide branches.

    Args:
        aspp: ``dense``, or an operator of :mod:`tvseg.models.spatial` for inverted residuals with
            it.
        aspp_dilation: ``none`` leaves the inverted residuals undilated, ``atrous`` dilates them by
            the rates; ``dense`` branches are atrous either way.
        size: (height, width) of the maps that the operators are made for.
        generator_padding: Of ``tvconv``, see :class:`tvseg.ops.TVConv2d`.
        dynamic_bias: Of ``tvconv``, likewise.
        align: Of ``tvconv``, likewise.

    Raises:
        UsageError: An unknown name, or an option of ``tvconv`` with another operator.
    """
    if aspp_dilation not in ("none", "atrous"):
        raise UsageError(f"aspp_dilation must be none or atrous, got {aspp_dilation!r}")
    if aspp != "tvconv" and (generator_padding != "zeros" or dynamic_bias or align):
        raise UsageError(
            f"generator_padding, dynamic_bias and align need aspp tvconv, got {aspp!r}"
        )
    if aspp == "dense":
        return dense_branch
    spatial = depthwise if aspp in POINTWISE else find_operator(aspp)
    if aspp == "tvconv":
        tvconv: Callable[..., nn.Module] = SPATIAL["tvconv"]
        spatial = partial(
            tvconv, generator_padding=generator_padding, dynamic_bias=dynamic_bias, align=align
        )
    if spatial is None:
        raise UsageError(f"aspp must be one of dense, {known_operators()}, got {aspp!r}")

    def inverted(in_channels: int, out_channels: int, rate: int) -> nn.Module:
        dilation = rate if aspp_dilation == "atrous" else 1
        block = InvertedResidual(
            in_channels, out_channels, spatial=spatial, size=size, dilation=dilation
        )
        if aspp in POINTWISE:
            hidden = in_channels * EXPANSION
            block.set_submodule("0.0", POINTWISE[aspp](in_channels, hidden))
            block.set_submodule("4.0", POINTWISE[aspp](hidden, out_channels))
        return block

    return inverted


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

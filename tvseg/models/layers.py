"""Blocks that take the spatial operator as an argument."""

from collections.abc import Callable

from torch import nn
from torchvision.ops.misc import Conv2dNormActivation

SpatialOperator = Callable[[int, int], nn.Module]
"""(channels, dilation) -> a module that maps (B, channels, H, W) to the same shape."""


class InvertedResidual(nn.Sequential):
    """Expand by a 1x1 convolution, filter each channel in space, project by a 1x1 convolution.

    The last convolution is linear (a "linear bottleneck"); there is no skip connection, since the
    number of channels changes.

    Args:
        in_channels: Channels of the input, (B, in_channels, H, W).
        out_channels: Channels of the output, (B, out_channels, H, W).
        spatial: Makes the operator between the two 1x1 convolutions.
        dilation: Handed to ``spatial``.
        expansion: Factor of the channels between the two.

    Source: MobileNetV2, figure 3; TVConv, section 4.2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial: SpatialOperator,
        dilation: int = 1,
        expansion: int = 6,
    ) -> None:
        hidden = in_channels * expansion
        super().__init__(
            Conv2dNormActivation(in_channels, hidden, 1, activation_layer=nn.ReLU6),
            spatial(hidden, dilation),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            Conv2dNormActivation(hidden, out_channels, 1, activation_layer=None),
        )


def depthwise(channels: int, dilation: int) -> nn.Module:
    """A 3x3 depthwise convolution: the operator that TVConv takes the place of."""
    return nn.Conv2d(
        channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False
    )

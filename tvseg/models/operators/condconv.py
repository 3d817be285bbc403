"""CondConv: a depthwise kernel for each image, mixed from experts by sigmoid routing.

    W(x) = sum over e of r_e W_e,    r = sigmoid(R mean(x) + b)

Source: Yang et al., CondConv (arXiv:1904.04971), section 3; timm's CondConv2d holds the experts.
"""

from timm.layers import CondConv2d
from torch import Tensor, nn


class CondConv(nn.Module):
    """Depthwise CondConv with a routing layer for itself; see `SpatialOperator` for the arguments.

    Args:
        channels: Channels of the maps.
        size: Ignored.
        kernel_size: Side of the kernels.
        stride: Step between output pixels.
        dilation: Step between taps.
        experts: Kernels that are mixed.
    """

    def __init__(
        self,
        channels: int,
        *,
        size: tuple[int, int],
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        experts: int = 8,
    ) -> None:
        super().__init__()
        self.routing = nn.Linear(channels, experts)
        self.conv = CondConv2d(
            channels,
            channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            groups=channels,
            num_experts=experts,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, Ho, Wo)."""
        weights = self.routing(x.mean((2, 3))).sigmoid()  # (B, experts)
        filtered: Tensor = self.conv(x, weights)
        return filtered

"""Dynamic convolution: kernels for each image, mixed by attention over K of them.

    W(x) = sum over k of a_k W_k,    a = softmax(A2 relu(A1 mean(x)) / T)

Source: Chen et al., Dynamic Convolution (arXiv:1912.03458), section 3. The temperature T falls from
30 to 1 over the first epochs (section 3.3); checkpoints store it. Hidden width int(C / 4) + 1.
"""

import torch
from timm.layers import CondConv2d
from torch import Tensor, nn

KERNELS = 4
REDUCTION = 4


class _DynamicConv(nn.Module):
    """A convolution whose kernels are mixed for each image.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernels.
        stride: Step between output pixels.
        dilation: Step between taps.
        groups: Groups of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        dilation: int,
        groups: int,
    ) -> None:
        super().__init__()
        hidden = in_channels // REDUCTION + 1
        self.attention = nn.Sequential(
            nn.Linear(in_channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, KERNELS)
        )
        self.conv = CondConv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            groups=groups,
            num_experts=KERNELS,
        )
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, Ho, Wo)."""
        scores = self.attention(x.mean((2, 3))) / self.temperature  # (B, K)
        filtered: Tensor = self.conv(x, scores.softmax(1))
        return filtered


class DynamicDepthwise(_DynamicConv):
    """DYConvDW: a dynamic depthwise convolution.

    Args:
        channels: Channels of the maps.
        size: Ignored.
        kernel_size: Side of the kernels.
        stride: Step between output pixels.
        dilation: Step between taps.
    """

    def __init__(
        self,
        channels: int,
        *,
        size: tuple[int, int],
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__(
            channels, channels, kernel_size, stride=stride, dilation=dilation, groups=channels
        )


class DynamicPointwise(_DynamicConv):
    """DYConvPW: a dynamic 1x1 convolution, (B, in_channels, H, W) -> (B, out_channels, H, W).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1, stride=1, dilation=1, groups=1)


def set_temperature(
    network: nn.Module, epoch: int, *, first: float = 30.0, epochs: int = 10
) -> None:
    """Set the temperature of every dynamic convolution for an epoch of its training.

    Args:
        network: Any network; without dynamic convolutions nothing happens.
        epoch: From 1 on.
        first: Temperature of epoch 1.
        epochs: The temperature falls linearly and is 1 from the epoch after these on.
    """
    share = min(1.0, (epoch - 1) / epochs)
    for module in network.modules():
        if isinstance(module, _DynamicConv):
            module.temperature.fill_(first + (1.0 - first) * share)

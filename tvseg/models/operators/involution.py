"""Involution: a kernel for each pixel and group of channels, made from that pixel's features.

    out[c, i] = sum over taps t of K[g(c), t, i] x[c, i + t],    K[:, :, i] = S relu(bn(R x[:, i]))

Source: Li et al., Involution (arXiv:2103.06255), section 3 and its published code.
"""

from math import gcd

import torch
from torch import Tensor, nn

from tvseg.models.operators.sampling import neighbourhoods, pooled_to


class Involution(nn.Module):
    """Involution; with a stride the kernels come from the average-pooled map.

    Args:
        channels: Channels of the maps.
        size: Ignored.
        kernel_size: Side of the kernels.
        stride: Step between output pixels.
        dilation: Step between taps.
        group_channels: Channels that share a kernel; where ``channels`` is no multiple of it,
            their greatest common divisor.
        reduction: Divisor of the channels between the two layers that make the kernels.
    """

    def __init__(
        self,
        channels: int,
        *,
        size: tuple[int, int],
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        group_channels: int = 8,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.groups = channels // gcd(channels, group_channels)
        hidden = max(1, channels // reduction)
        self.generator = nn.Sequential(
            pooled_to(stride),
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, kernel_size**2 * self.groups, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, Ho, Wo)."""
        kernels = self.generator(x)  # (B, G * T, Ho, Wo)
        size = kernels.shape[2:]
        kernels = torch.unflatten(kernels.flatten(2), 1, (self.groups, self.kernel_size**2))
        pixels = neighbourhoods(x, self.kernel_size, stride=self.stride, dilation=self.dilation)
        pixels = torch.unflatten(pixels, 1, (self.groups, -1))  # (B, G, C / G, T, N)
        filtered = torch.einsum("bgctn,bgtn->bgcn", pixels, kernels)
        return torch.unflatten(filtered.flatten(1, 2), 2, size)

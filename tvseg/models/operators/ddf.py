"""Decoupled dynamic filter: one kernel for each pixel times one for each channel.

    out[c, i] = sum over taps t of x[c, i + t] * S[t, i] * D[c, t]

Both come from x and are normalised over their taps, S from each pixel, D from the mean features.

Source: Zhou et al., Decoupled Dynamic Filter Networks (arXiv:2104.14107), section 3.
"""

from math import sqrt

import torch
from torch import Tensor, nn

from tvseg.models.operators.sampling import neighbourhoods

SQUEEZE = 0.2  # share of the channels in the channel branch's hidden layer


def normalise_filters(filters: Tensor, dim: int) -> Tensor:
    """Subtract the mean over an axis and divide by the unbiased standard deviation."""
    centred = filters - filters.mean(dim, keepdim=True)
    variance = filters.var(dim, keepdim=True).clamp(min=1e-24)  # at 0 its root has no gradient
    return centred / (variance.sqrt() + 1e-10)


class DecoupledDynamicFilter(nn.Module):
    """Decoupled dynamic filter, its two kernels multiplied.

    Args:
        channels: Channels of the maps.
        size: Ignored.
        kernel_size: Side of the kernels, at least 3.
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
        super().__init__()
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.gain = sqrt(2) / kernel_size
        taps, hidden = kernel_size**2, max(1, int(SQUEEZE * channels))
        self.spatial = nn.Conv2d(channels, taps, 1, stride=stride)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels * taps, 1),
        )
        self.channel_std = nn.Parameter(torch.randn(channels, taps) * self.gain)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, Ho, Wo)."""
        spatial = self.spatial(x)  # (B, T, Ho, Wo)
        channel = self.channel(x.mean((2, 3), keepdim=True)).view(-1, *self.channel_std.shape)
        channel = normalise_filters(channel, 2) * self.channel_std  # (B, C, T)
        pixels = neighbourhoods(x, self.kernel_size, stride=self.stride, dilation=self.dilation)
        filtered = filter_decoupled(
            pixels, self.gain * normalise_filters(spatial, 1).flatten(2), channel
        )
        return torch.unflatten(filtered, 2, spatial.shape[2:])


def filter_decoupled(pixels: Tensor, spatial: Tensor, channel: Tensor) -> Tensor:
    """Apply both kernels: pixels (B, C, T, N), (B, T, N) and (B, C, T) -> (B, C, N)."""
    batch, channels, taps, outputs = pixels.shape
    rows = channel.transpose(1, 2).reshape(batch * taps, channels, 1)
    kernels = rows @ spatial.reshape(batch * taps, 1, outputs)  # as matrices: FLOP counters see it
    kernels = kernels.view(batch, taps, channels, outputs)
    return torch.einsum("bctn,btcn->bcn", pixels, kernels)

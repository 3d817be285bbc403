"""WeightNet: a depthwise kernel for each image, straight from its mean features.

    W(x) = F2 sigmoid(F1 reduce(mean(x)))    with F2 a layer with one group a channel

Source: Ma et al., WeightNet (arXiv:2007.11823), section 3, with M = G = 2.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def kernel_generator(channels: int, hidden: int, weights: int) -> nn.Sequential:
    """Make the layers from mean features (B, channels, 1, 1) to kernels (B, weights, 1, 1).

    Args:
        channels: Channels of the maps.
        hidden: Inputs of the last layer, each for its own equal share of the weights.
        weights: Numbers in an image's kernels.
    """
    reduced = max(16, channels // 16)
    return nn.Sequential(
        nn.Conv2d(channels, reduced, 1),
        nn.Conv2d(reduced, hidden, 1),
        nn.Sigmoid(),
        nn.Conv2d(hidden, weights, 1, groups=hidden, bias=False),
    )


class WeightNet(nn.Module):
    """Depthwise WeightNet with a reduction layer for itself.

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
        super().__init__()
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.generator = kernel_generator(channels, channels, channels * kernel_size**2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, Ho, Wo)."""
        batch, channels, height, width = x.shape
        k = self.kernel_size
        kernels = self.generator(x.mean((2, 3), keepdim=True))  # (B, C * T, 1, 1)
        filtered = F.conv2d(  # images become groups of channels
            x.reshape(1, batch * channels, height, width),
            kernels.reshape(batch * channels, 1, k, k),
            stride=self.stride,
            padding=self.dilation * (k - 1) // 2,
            dilation=self.dilation,
            groups=batch * channels,
        )
        return filtered.reshape(batch, channels, *filtered.shape[2:])

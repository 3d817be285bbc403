"""The weight-generating block B of TVConv: affinity maps in, a kernel per channel and pixel out."""

from __future__ import annotations

from torch import Tensor, nn


class WeightGenerator(nn.Module):
    """W = B(A): (1 + hidden_layers) times [conv 3x3, layer norm, ReLU], then conv 3x3.

    No convolution has a bias; each pads by one pixel. Layer norm runs over channels, height and
    width together, so a generator belongs to one map size. The last convolution's channels are
    tap-major (channel t*channels + c is tap t of channel c): the weights of one tap then lie side
    by side in memory, and in channels_last where the generator's parameters are.

    Args:
        channels: channels C of the maps that the weights are applied to.
        output_size: (height, width) of the weights.
        kernel_size: side k of the kernels, odd.
        affinity_channels: number of affinity maps.
        hidden_channels: channels of the hidden layers.
        hidden_layers: hidden blocks after the first.

    Source:
        Chen et al., TVConv, CVPR 2022, section 3.2, equation (4).
    """

    def __init__(
        self,
        channels: int,
        output_size: tuple[int, int],
        *,
        kernel_size: int,
        affinity_channels: int,
        hidden_channels: int,
        hidden_layers: int,
    ) -> None:
        super().__init__()
        self.channels = channels
        layers: list[nn.Module] = []
        for incoming in [affinity_channels, *[hidden_channels] * hidden_layers]:
            layers += [
                nn.Conv2d(incoming, hidden_channels, 3, padding=1, bias=False),
                nn.LayerNorm([hidden_channels, *output_size]),
                nn.ReLU(inplace=True),
            ]
        layers.append(
            nn.Conv2d(hidden_channels, channels * kernel_size**2, 3, padding=1, bias=False)
        )
        self.layers = nn.Sequential(*layers)

    def forward(self, affinity: Tensor) -> Tensor:
        """Generate the weights.

        Args:
            affinity: affinity maps A (affinity_channels, height, width).

        Returns:
            (C, k*k, height, width), taps row by row; a view of tap-major memory.
        """
        maps: Tensor = self.layers(affinity.unsqueeze(0))  # (1, k*k*C, height, width)
        return split_taps(maps, self.channels)


def split_taps(maps: Tensor, channels: int) -> Tensor:
    """View tap-major maps as weights.

    Args:
        maps: (1, k*k*C, height, width), map t*C + c is tap t of channel c.
        channels: C.

    Returns:
        (C, k*k, height, width), a view.
    """
    return maps.view(-1, channels, *maps.shape[2:]).transpose(0, 1)


def join_taps(weight: Tensor) -> Tensor:
    """The inverse of `split_taps`.

    Args:
        weight: (C, k*k, height, width).

    Returns:
        (1, k*k*C, height, width), a view where the weight is tap-major in memory.
    """
    return weight.transpose(0, 1).flatten(0, 1).unsqueeze(0)

"""Stand-alone self-attention: each pixel attends to the k x k pixels about it.

    out[i] = sum over taps t of softmax_t(q_i . (k_(i+t) + r_t)) v_(i+t)      in every head

Pixels outside the map take part with key 0 and value 0. The first half of r_t's channels depends on
the tap's column, the second on its row; scores are not scaled by the width of a head.

Source: Ramachandran et al., Stand-Alone Self-Attention (arXiv:1906.05909), section 3.
"""

import torch
from torch import Tensor, nn

from tvseg.models.operators.sampling import even_groups, neighbourhoods, pooled_to


class StandAloneSelfAttention(nn.Module):
    """Local self-attention whose heads project their group of channels each; stride by pooling.

    Args:
        channels: Channels of the maps, an even number.
        size: Ignored.
        kernel_size: Side of the neighbourhood.
        stride: Average pooling after the attention.
        dilation: Step between the neighbourhood's pixels.
        heads: Most heads; fewer where ``channels`` has no such even parts.

    Raises:
        UsageError: An odd number of channels.
    """

    for_small_maps = True  # backbones use it in their last stages only

    def __init__(
        self,
        channels: int,
        *,
        size: tuple[int, int],
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        heads: int = 8,
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.heads = even_groups(channels, heads)
        half = channels // self.heads // 2
        self.query, self.key, self.value = (
            nn.Conv2d(channels, channels, 1, groups=self.heads, bias=False) for _ in range(3)
        )
        self.col_offsets = nn.Parameter(torch.randn(self.heads, half, kernel_size))
        self.row_offsets = nn.Parameter(torch.randn(self.heads, half, kernel_size))
        self.pool = pooled_to(stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, Ho, Wo)."""
        query = torch.unflatten(self.query(x).flatten(2), 1, (self.heads, -1))  # (B, G, D, N)
        key, value = (self._around(maps) for maps in (self.key(x), self.value(x)))
        key = key + self._offsets().unsqueeze(-1)
        scores = torch.einsum("bgdn,bgdtn->bgtn", query, key)
        mixed = torch.einsum("bgtn,bgdtn->bgdn", scores.softmax(2), value)
        pooled: Tensor = self.pool(mixed.reshape(x.shape))
        return pooled

    def _around(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, G, D, T, N)."""
        pixels = neighbourhoods(maps, self.kernel_size, dilation=self.dilation)
        return torch.unflatten(pixels, 1, (self.heads, -1))

    def _offsets(self) -> Tensor:
        """Embeddings of the taps (G, D, T)."""
        k = self.kernel_size
        cols = self.col_offsets.unsqueeze(2).expand(-1, -1, k, k)
        rows = self.row_offsets.unsqueeze(3).expand(-1, -1, k, k)
        return torch.cat([cols, rows], dim=1).flatten(2)

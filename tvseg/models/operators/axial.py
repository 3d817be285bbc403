"""Axial attention: each pixel attends to its whole column, then to its whole row.

    out_i = sum over j of softmax_j(q_i.k_j + q_i.r^q_(i-j) + k_j.r^k_(j-i)) (v_j + r^v_(i-j))

with learned embeddings r of the offset i - j, batch norm on q, k and v, on the three scores and on
the two sums.

Source: Wang et al., Axial-DeepLab (arXiv:2003.07853), section 3.2 and its published code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.errors import UsageError
from tvseg.models.operators.sampling import even_groups, pooled_to


class LineAttention(nn.Module):
    """Position-sensitive self-attention along lines, (B, C, L) -> (B, C_out, L).

    Args:
        channels: Channels C of the input.
        length: Pixels L of the lines that the position embeddings are made for; they are resampled
            linearly to lines of another length.
        groups: Heads.
        out_channels: Channels of the output; ``None`` for those of the input.
    """

    def __init__(
        self, channels: int, length: int, *, groups: int, out_channels: int | None = None
    ) -> None:
        super().__init__()
        out = channels if out_channels is None else out_channels
        self.groups, self.width = groups, out // groups
        self.project = nn.Conv1d(channels, 2 * out, 1, bias=False)
        self.project_norm = nn.BatchNorm1d(2 * out)
        self.score_norm = nn.BatchNorm2d(3 * groups)
        self.sum_norm = nn.BatchNorm1d(2 * out)
        embeddings = torch.randn(2 * self.width, 2 * length - 1)
        self.embeddings = nn.Parameter(embeddings / self.width**0.5)
        nn.init.normal_(self.project.weight, 0.0, channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, L) -> (B, C_out, L)."""
        length, half = x.shape[2], self.width // 2
        parts = [half, half, self.width]
        maps = torch.unflatten(self.project_norm(self.project(x)), 1, (self.groups, -1))
        query, key, value = torch.split(maps, parts, dim=2)  # (B, G, D, L)
        for_query, for_key, for_value = torch.split(
            by_offset(self.embeddings, length), parts
        )  # (D, L, L)
        scores = torch.stack(
            [
                torch.einsum("bgdi,bgdj->bgij", query, key),
                torch.einsum("bgdi,dij->bgij", query, for_query),
                torch.einsum("bgdj,dji->bgij", key, for_key),
            ],
            dim=1,
        )  # (B, 3, G, L, L)
        scores = torch.unflatten(self.score_norm(scores.flatten(1, 2)), 1, (3, -1)).sum(1)
        attention = scores.softmax(3)
        sums = torch.stack(
            [
                torch.einsum("bgij,bgdj->bgdi", attention, value),
                torch.einsum("bgij,dij->bgdi", attention, for_value),
            ],
            dim=3,
        )  # (B, G, D, 2, L)
        return torch.unflatten(self.sum_norm(sums.flatten(1, 3)), 1, (-1, 2)).sum(2)


def by_offset(embeddings: Tensor, length: int) -> Tensor:
    """Spread embeddings of offsets over the pairs of pixels of a line.

    Args:
        embeddings: (D, 2 * L' - 1), of the offsets from 1 - L' to L' - 1.
        length: Pixels L of the line; where it is not L' the embeddings are resampled linearly.

    Returns:
        (D, L, L), that of the offset i - j at [:, i, j].
    """
    if embeddings.shape[1] != 2 * length - 1:
        embeddings = F.interpolate(
            embeddings[None], 2 * length - 1, mode="linear", align_corners=True
        )[0]
    i = torch.arange(length, device=embeddings.device)
    return embeddings[:, i[:, None] - i + length - 1]


class AxialAttention(nn.Module):
    """Attention along the height, then along the width; stride by pooling.

    Args:
        channels: Channels of the maps, an even number.
        size: (height, width) of the maps, the span of the position embeddings.
        kernel_size: Ignored: the span is the whole map.
        stride: Average pooling after the attention.
        dilation: Must be 1.
        groups: Most heads; fewer where ``channels`` has no such even parts.

    Raises:
        UsageError: An odd number of channels, or a dilation.
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
        groups: int = 8,
    ) -> None:
        super().__init__()
        if dilation != 1:
            raise UsageError(f"axial attention spans the map and has no dilation, got {dilation}")
        groups = even_groups(channels, groups)
        self.along_height = LineAttention(channels, size[0], groups=groups)
        self.along_width = LineAttention(channels, size[1], groups=groups)
        self.pool = pooled_to(stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, Ho, Wo)."""
        x = _along_last(self.along_height, x.transpose(2, 3)).transpose(2, 3)
        pooled: Tensor = self.pool(_along_last(self.along_width, x))
        return pooled


def _along_last(attention: nn.Module, x: Tensor) -> Tensor:
    """Attend along the last axis of (B, C, H, W), every line for itself."""
    lines = attention(x.transpose(1, 2).flatten(0, 1))  # (B * H, C, W)
    return torch.unflatten(lines, 0, (x.shape[0], -1)).transpose(1, 2)

"""What several operators share: the pixels under a kernel, pooling to a stride, even groups."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.errors import UsageError


def neighbourhoods(x: Tensor, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """Gather the k * k pixels under the kernel of each output pixel, zeros outside the map.

    Args:
        x: (B, C, H, W).
        kernel_size: Side k, odd.
        stride: Step between output pixels, in input pixels.
        dilation: Step between neighbouring taps, in input pixels.

    Returns:
        (B, C, T, N), taps and output pixels row by row.
    """
    padding = dilation * (kernel_size - 1) // 2
    columns = F.unfold(x, kernel_size, dilation=dilation, padding=padding, stride=stride)
    return torch.unflatten(columns, 1, (x.shape[1], kernel_size**2))


def pooled_to(stride: int) -> nn.Module:
    """Make average pooling that divides the sides by a stride, rounding up."""
    return nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else nn.Identity()


def even_groups(channels: int, most: int) -> int:
    """Return the largest number of equal groups, up to ``most``, with an even number of channels.

    >>> even_groups(96, 8), even_groups(58, 8)
    (8, 1)

    Raises:
        UsageError: An odd number of channels.
    """
    if channels % 2:
        raise UsageError(f"attention needs an even number of channels, got {channels}")
    return max(groups for groups in range(1, most + 1) if channels % (2 * groups) == 0)

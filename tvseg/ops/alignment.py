"""A spatial transformer for TVConv: the kernels' layout is moved to where an image needs it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.ops.weight_generator import join_taps

GRID = 4
"""Rows and columns of the grid whose cells' means the affine map is predicted from."""

HIDDEN = 16


class Alignment(nn.Module):
    """Predict an affine map of positions for each image; the identity at first.

    Where a structure is not in the middle, the kernels that were learnt for the middle serve it all
    the same, if they are moved there. Each image then has weights of its own: they take as much
    memory as the batch has images, and their layer is several times slower than plain TVConv.

    Args:
        channels: channels C of the maps.

    Source:
        Chen et al., TVConv, CVPR 2022, section 5, names a spatial transformer of the affinity maps
        as future work; Jaderberg et al., Spatial Transformer Networks, 2015. Here the weights that
        the maps generate are moved, so that the generator still runs once for all images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, HIDDEN, 1), nn.ReLU(), nn.Flatten(), nn.Linear(HIDDEN * GRID**2, 6)
        )
        self.scale = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Move the weights of each image.

        Args:
            x: input maps (B, C, H, W).
            weight: (C, k*k, Ho, Wo), the same for all images.

        Returns:
            (B, k*k*C, Ho, Wo), tap-major, float32 or wider; beyond the border they continue.
        """
        change = (self.scale * self.layers(F.adaptive_avg_pool2d(x, GRID))).to(self.scale.dtype)
        affine = torch.eye(2, 3, dtype=change.dtype, device=x.device) + change.view(-1, 2, 3)
        maps = join_taps(weight).to(change.dtype).expand(len(x), -1, -1, -1)
        grid = F.affine_grid(affine, [*maps.shape], align_corners=False)
        return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)


def convolve_each(
    x: Tensor, weight: Tensor, *, kernel_size: int, stride: int, dilation: int
) -> Tensor:
    """Convolve the maps of each image with its own weights.

    Args:
        x: input maps (B, C, H, W).
        weight: (B, k*k*C, Ho, Wo), tap-major.
        kernel_size: k.
        stride: step between the input pixels under neighbouring output pixels.
        dilation: step between neighbouring taps, in input pixels.

    Returns:
        Output maps (B, C, Ho, Wo) in x's dtype.
    """
    batch, channels = x.shape[:2]
    padding = dilation * (kernel_size - 1) // 2
    patches = F.unfold(
        x.to(weight.dtype), kernel_size, dilation=dilation, padding=padding, stride=stride
    ).view(batch, channels, kernel_size**2, -1)
    taps = weight.view(batch, kernel_size**2, channels, -1).transpose(1, 2)
    return (patches * taps).sum(dim=2).view(batch, channels, *weight.shape[2:]).to(x.dtype)

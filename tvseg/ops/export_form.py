"""TVConv in differentiable torch operators that every exporter knows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tvseg.ops.geometry import kernel_size_of


def tv_conv2d_plain(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Add up, tap by tap, a padded slice of x times a slice of the weights.

    Slower than the custom operator and heavier on memory; traced by torch.export and ONNX export,
    which cannot translate a custom operator.

    Args:
        x: input (B, C, H, W).
        weight: (C, K, Ho, Wo), taps row by row.
        stride: step in input pixels.
        dilation: step between taps in input pixels.

    Returns:
        Output (B, C, Ho, Wo) in x's dtype; the sum is taken in float32 or wider.
    """
    kernel_size = kernel_size_of(weight.shape[1])
    height, width = weight.shape[2:]
    wide = torch.promote_types(x.dtype, torch.float32)
    padding = dilation * (kernel_size - 1) // 2
    padded = functional.pad(x.to(wide), (padding,) * 4)  # (B, C, H + 2 padding, W + 2 padding)
    products = []
    for index in range(kernel_size**2):
        row, col = (dilation * tap for tap in divmod(index, kernel_size))
        rows = slice(row, row + (height - 1) * stride + 1, stride)
        cols = slice(col, col + (width - 1) * stride + 1, stride)
        products.append(padded[:, :, rows, cols] * weight[:, index].to(wide))
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total.to(x.dtype)

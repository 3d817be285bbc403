"""The definition of TVConv as plain loops. Slow on purpose: every kernel is compared with it."""

from __future__ import annotations

import torch
from torch import Tensor


def tv_conv2d_reference(x: Tensor, weight: Tensor, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """Sum each output pixel tap by tap, as equation (2) is written; autograd gives its gradients.

    out[b, c, i, j] = sum over taps t = (p, q) of W[c, t, i, j] * x[b, c, row, col] with
    row = i*stride + p*dilation - padding, col = j*stride + q*dilation - padding and
    padding = dilation*(k - 1)/2; pixels outside of the map count as zero.

    Args:
        x: input (B, C, H, W).
        weight: one kernel per channel and output pixel (C, k*k, Ho, Wo), taps row by row.
        stride: step between the input pixels under neighbouring output pixels.
        dilation: step between neighbouring taps, in input pixels.

    Returns:
        Output (B, C, Ho, Wo), Ho = ceil(H / stride), Wo = ceil(W / stride).

    Source:
        Chen et al., TVConv, CVPR 2022, section 3.2, equation (2).
    """
    _, _, height, width = x.shape
    kernel_size = round(weight.shape[1] ** 0.5)
    padding = dilation * (kernel_size - 1) // 2
    rows_of_pixels = []
    for i in range((height + stride - 1) // stride):
        pixels = []
        for j in range((width + stride - 1) // stride):
            total = torch.zeros_like(x[:, :, 0, 0])  # (B, C)
            for p in range(kernel_size):
                for q in range(kernel_size):
                    row = i * stride + p * dilation - padding
                    col = j * stride + q * dilation - padding
                    if 0 <= row < height and 0 <= col < width:
                        tap = p * kernel_size + q
                        total = total + weight[:, tap, i, j] * x[:, :, row, col]
            pixels.append(total)
        rows_of_pixels.append(torch.stack(pixels, dim=-1))  # (B, C, Wo)
    return torch.stack(rows_of_pixels, dim=-2)  # (B, C, Ho, Wo)

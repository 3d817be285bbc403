"""Order of the axes of maps and weights in memory: the contract of kernels and autograd."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

WeightLayout = Callable[[Tensor], Tensor]
"""(C, K, Ho, Wo) in any strides -> the same numbers in some layout, copied only where needed."""


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Return channels_last if the channels are the innermost axis in memory, else contiguous.

    Args:
        x: a map (B, C, H, W).

    Returns:
        The format that results for x are laid out in.
    """
    if not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def weight_layout(weight: Tensor, layout: torch.memory_format) -> Tensor:
    """Return the weight itself if its innermost axis is the layout's, else a tap-major copy.

    Args:
        weight: (C, K, Ho, Wo) in any strides.
        layout: memory format of the maps it is applied to.

    Returns:
        (C, K, Ho, Wo) with channels (channels_last) or columns (contiguous) innermost.
    """
    axis = 0 if layout == torch.channels_last else 3
    if weight.stride(axis) == 1 or weight.shape[axis] == 1:
        return weight
    return tap_major(weight, layout)


def tap_major(weight: Tensor, layout: torch.memory_format) -> Tensor:
    """Lay out the weights of one tap after those of another, each like an image.

    Args:
        weight: (C, K, Ho, Wo) in any strides.
        layout: memory format of the maps it is applied to.

    Returns:
        (C, K, Ho, Wo), a view of (K, C, Ho, Wo) in the layout; copied unless it is one already.
    """
    return weight.transpose(0, 1).contiguous(memory_format=layout).transpose(0, 1)


def tap_major_contiguous(weight: Tensor) -> Tensor:
    """Lay out weights tap by tap, columns innermost; see `tap_major`."""
    return tap_major(weight, torch.contiguous_format)


def tap_major_channels_last(weight: Tensor) -> Tensor:
    """Lay out weights tap by tap, channels innermost; see `tap_major`."""
    return tap_major(weight, torch.channels_last)


def pixel_major(weight: Tensor) -> Tensor:
    """Lay out the weights of one pixel after those of another, tap by tap, channels innermost.

    Args:
        weight: (C, K, Ho, Wo) in any strides.

    Returns:
        (C, K, Ho, Wo), a view of (Ho, Wo, K, C); copied unless it is one
        already, as that of a generator in channels_last is.
    """
    return weight.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)


@cache
def element_like(dtype: torch.dtype) -> Any:
    """Make an array whose element type tells compiled loops what is at an address.

    Args:
        dtype: float32 or bfloat16.

    Returns:
        A numpy array of one element, uint16 for bfloat16.
    """
    return np.zeros(1, {torch.float32: np.float32, torch.bfloat16: np.uint16}[dtype])


def empty_map(like: Tensor, size: tuple[int, int]) -> Tensor:
    """Make an uninitialised map of the same images and channels, another height and width.

    Args:
        like: (B, C, H, W), which also gives dtype, device and memory format.
        size: (height, width) of the new map.

    Returns:
        (B, C, *size).
    """
    layout = memory_format_of(like)
    if like.shape[2:] == size:  # costs a third of the general call
        return torch.empty_like(like, memory_format=layout)
    shape = (*like.shape[:2], *size)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)

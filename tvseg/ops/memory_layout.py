"""Where the axes of maps and weights lie in memory: the contract between kernels and autograd."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor


def memory_format_of(x: Tensor) -> torch.memory_format:
    """channels_last if the channels are the innermost axis in memory, else contiguous.

    Args:
        x: a map (B, C, H, W).

    Returns:
        The format that results for x are laid out in.
    """
    if not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def weight_layout(weight: Tensor, layout: torch.memory_format) -> Tensor:
    """The weight itself if its innermost axis in memory is the layout's, else a tap-major copy.

    Args:
        weight: (C, K, Ho, Wo) in any strides.
        layout: memory format of the maps it meets.

    Returns:
        (C, K, Ho, Wo) with channels (channels_last) or columns (contiguous) innermost.
    """
    axis = 0 if layout == torch.channels_last else 3
    if weight.stride(axis) == 1 or weight.shape[axis] == 1:
        return weight
    return tap_major(weight, layout)


def tap_major(weight: Tensor, layout: torch.memory_format) -> Tensor:
    """The weights of one tap after those of another, each like an image.

    Args:
        weight: (C, K, Ho, Wo) in any strides.
        layout: memory format of the maps it meets.

    Returns:
        (C, K, Ho, Wo), a view of (K, C, Ho, Wo) in the layout; copied unless it lies so.
    """
    return weight.transpose(0, 1).contiguous(memory_format=layout).transpose(0, 1)


def pixel_major(weight: Tensor) -> Tensor:
    """The weights of one pixel after those of another, tap by tap, channels innermost.

    Args:
        weight: (C, K, Ho, Wo) in any strides.

    Returns:
        (C, K, Ho, Wo), a view of (Ho, Wo, K, C); copied unless it lies so, as that of a generator
        in channels_last does.
    """
    return weight.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)


def flat_array(tensor: Tensor) -> Any:
    """The memory of a tensor for compiled loops.

    Args:
        tensor: in any strides, none of them negative.

    Returns:
        A flat numpy array from its first to its last element, uint16 for bfloat16; shares memory.
    """
    span = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    flat = tensor.detach().as_strided((span,), (1,))
    return (flat.view(torch.uint16) if flat.dtype == torch.bfloat16 else flat).numpy()


@cache
def element_like(dtype: torch.dtype) -> Any:
    """An array whose one element is of a type, to tell compiled loops what lies at an address.

    Args:
        dtype: float32 or bfloat16.

    Returns:
        A numpy array, uint16 for bfloat16.
    """
    return flat_array(torch.empty(1, dtype=dtype, device="cpu"))


def empty_map(like: Tensor, size: tuple[int, int]) -> Tensor:
    """An uninitialised map beside another: same images and channels, another height and width.

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

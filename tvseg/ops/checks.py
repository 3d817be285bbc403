"""What must hold for the arguments of TVConv, said in errors that name the cure."""

from __future__ import annotations

import torch
from torch import Tensor

from tvseg.ops.geometry import kernel_size_of, output_size_of

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_maps(x: Tensor) -> None:
    """Hold that x is a batch of maps.

    Args:
        x: should be (B, C, H, W) with at least one channel and pixel.

    Raises:
        ValueError: if it is not.
    """
    if x.ndim != 4:
        raise ValueError(
            f"x must have four axes (batch, channels, height, width), got shape {tuple(x.shape)}:"
            " add the missing axis, e.g. x.unsqueeze(0) for one image"
        )
    if 0 in x.shape[1:]:
        raise ValueError(f"x must hold at least one channel and pixel, got shape {tuple(x.shape)}")


def check_steps(stride: int, dilation: int) -> None:
    """Hold that stride and dilation are positive.

    Args:
        stride: step between input pixels.
        dilation: step between taps.

    Raises:
        ValueError: if one of them is below 1.
    """
    for name, value in (("stride", stride), ("dilation", dilation)):
        if value < 1:
            raise ValueError(f"{name} must be a whole number from 1 on, got {value!r}")


def check_call(x: Tensor, weight: Tensor, stride: int, dilation: int) -> None:
    """Hold that maps and weights fit each other.

    Args:
        x: should be (B, C, H, W).
        weight: should be (C, k*k, Ho, Wo) in x's dtype, or in bfloat16 beside float32 maps.
        stride: step between input pixels.
        dilation: step between taps.

    Raises:
        ValueError: if anything does not fit.
    """
    check_maps(x)
    if weight.ndim != 4:
        raise ValueError(
            "weight must have four axes (channels, k*k, height, width), "
            f"got shape {tuple(weight.shape)}"
        )
    check_steps(stride, dilation)
    kernel_size_of(weight.shape[1])
    _check_dtypes(x.dtype, weight.dtype)
    if x.device != weight.device:
        raise ValueError(
            f"x and weight must be on the same device, got {x.device} and {weight.device}: move "
            "one of them, or the module, with .to(device)"
        )
    if weight.shape[0] != x.shape[1]:
        raise ValueError(
            f"weight is for {weight.shape[0]} channels, x has {x.shape[1]}: "
            "the first axis of weight must equal the second axis of x"
        )
    check_size((weight.shape[2], weight.shape[3]), output_size_of((x.shape[2], x.shape[3]), stride))


def check_size(built: tuple[int, int], given: tuple[int, int]) -> None:
    """Hold that two output sizes are the same.

    Args:
        built: (height, width) that the weight is for.
        given: (height, width) of the output map that x gives.

    Raises:
        ValueError: if they differ, with a word when height and width are swapped.
    """
    if built == given:
        return
    swapped = "; height and width are swapped" if built == given[::-1] else ""
    raise ValueError(
        f"weight is for a {built} output, x gives {given}{swapped}: build the weight (TVConv2d's "
        f"output_size) for {given}, sizes as (height, width), resize x, or let TVConv2d resample "
        'its weights with resize="bilinear"'
    )


def check_module(
    channels: int,
    size: tuple[int, ...],
    kernel_size: int,
    *,
    affinity_channels: int,
    hidden_channels: int,
    hidden_layers: int,
) -> None:
    """Hold that the numbers a TVConv2d is built from make one.

    Args:
        channels: channels of the maps.
        size: should be (height, width) of the output map.
        kernel_size: side of the kernels.
        affinity_channels: number of affinity maps.
        hidden_channels: channels inside the weight generator.
        hidden_layers: hidden blocks after the first.

    Raises:
        ValueError: if a number is out of range.
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"output_size must be one int or (height, width), from 1 on, got {size}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive (1, 3, 5, ...), got {kernel_size}")
    counts = {
        "channels": channels,
        "affinity_channels": affinity_channels,
        "hidden_channels": hidden_channels,
    }
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be a whole number from 1 on, got {value!r}")
    if hidden_layers < 0:
        raise ValueError(f"hidden_layers must be a whole number from 0 on, got {hidden_layers!r}")


def _check_dtypes(x: torch.dtype, weight: torch.dtype) -> None:
    if x not in _DTYPES:
        raise ValueError(f"x must be of one of {_DTYPES}, got {x}: convert it, e.g. with x.float()")
    if x != weight and (x, weight) != (torch.float32, torch.bfloat16):
        raise ValueError(
            "x and weight must have the same dtype, or be float32 and bfloat16, got "
            f"{x} and {weight}: convert one of them, or run under torch.autocast"
        )

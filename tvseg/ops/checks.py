"""Checks of TVConv's arguments, with errors that name the cure."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from tvseg.ops.geometry import kernel_size_of, output_size_of

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_maps(x: Tensor) -> None:
    """Raise ValueError unless x is a batch of maps.

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


def check_call(x: Tensor, weight: Tensor, stride: int) -> None:
    """Raise ValueError unless maps and weights fit each other.

    Args:
        x: maps (B, C, H, W).
        weight: should be (C, k*k, Ho, Wo) in x's dtype, or in bfloat16 beside float32 maps.
        stride: step between input pixels.

    Raises:
        ValueError: if anything does not fit.
    """
    if weight.ndim != 4:
        raise ValueError(
            "weight must have four axes (channels, k*k, height, width), "
            f"got shape {tuple(weight.shape)}"
        )
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
    """Raise ValueError unless two output sizes are the same.

    Args:
        built: (height, width) that the weight is for.
        given: (height, width) of the output map that x gives.

    Raises:
        ValueError: if they differ, saying so when height and width are swapped.
    """
    if built == given:
        return
    swapped = "; height and width are swapped" if built == given[::-1] else ""
    raise ValueError(
        f"weight is for a {built} output, x gives {given}{swapped}: build the weight (TVConv2d's "
        f"output_size) for {given}, sizes as (height, width), resize x, or let TVConv2d resample "
        'its weights with resize="bilinear"'
    )


def whole_number(name: str, value: object, *, least: int = 1) -> int:
    """Return a count as an int.

    Args:
        name: of the argument.
        value: an int or an integer of another library, such as numpy.int64.
        least: smallest number that is allowed.

    Raises:
        ValueError: if it is no whole number, or below the least.
    """
    number = _integer(value)
    if number is None or number < least:
        raise ValueError(f"{name} must be a whole number from {least} on, got {value!r}")
    return number


def pair_of(name: str, value: object) -> tuple[int, int]:
    """Return (height, width).

    Args:
        name: of the argument.
        value: two whole numbers from 1 on, or one for both.

    Raises:
        ValueError: if it is anything else.
    """
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    numbers = tuple(map(_integer, values))
    if len(numbers) == 2 and numbers[0] and numbers[1] and min(numbers[0], numbers[1]) > 0:
        return numbers[0], numbers[1]
    raise ValueError(
        f"{name} must be one int or (height, width), whole numbers from 1 on, got {value!r}"
    )


def step_of(name: str, value: object) -> int:
    """Return a step that is the same for rows and columns.

    Args:
        name: of the argument.
        value: a whole number from 1 on, or a pair of equal ones.

    Raises:
        ValueError: if it is anything else.
    """
    if type(value) is int and value > 0:  # the common case, in every call
        return value
    if isinstance(value, tuple | list) and len(value) == 2:
        rows, columns = (whole_number(name, step) for step in value)
        if rows != columns:
            raise ValueError(f"{name} must be the same for rows and columns, got {value!r}")
        return rows
    return whole_number(name, value)


def kernel_side(value: object) -> int:
    """Return the side of a square kernel.

    Args:
        value: an odd number from 1 on, or a pair of equal ones.

    Raises:
        ValueError: if it is anything else.
    """
    side = step_of("kernel_size", value)
    if side % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive (1, 3, 5, ...), got {value!r}")
    return side


def _integer(value: object) -> int | None:
    """Return the value as an int, None if it is no integer."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # which is what is asked here
    except TypeError:
        return None


def _check_dtypes(x: torch.dtype, weight: torch.dtype) -> None:
    if x not in _DTYPES:
        raise ValueError(f"x must be of one of {_DTYPES}, got {x}: convert it, e.g. with x.float()")
    if x != weight and (x, weight) != (torch.float32, torch.bfloat16):
        raise ValueError(
            "x and weight must have the same dtype, or be float32 and bfloat16, got "
            f"{x} and {weight}: convert one of them, or run under torch.autocast"
        )

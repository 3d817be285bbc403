"""TVConv as torch custom operators: fake tensors, autograd, flop formulas.

Only x and W are saved for the backward pass. `tvseg::tv_conv2d` is differentiable once; its two
gradients are operators without a derivative, so a second derivative raises torch's own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from tvseg.ops.geometry import output_size_of
from tvseg.ops.kernels import kernel_for
from tvseg.ops.memory_layout import empty_map, memory_format_of, weight_layout

_AUTOCAST_DEVICES = frozenset(
    name for name in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(name)
)  # asked once: torch 2.11's compiler cannot trace the question


def in_autocast_dtype(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Bring maps and weight to the dtype of autocast on the maps' device, if it is switched on.

    Args:
        x: any; only floating-point types up to 32 bits are changed.
        weight: likewise.
    """
    device_type = x.device.type
    if device_type not in _AUTOCAST_DEVICES or not torch.is_autocast_enabled(device_type):
        return x, weight
    dtype = torch.get_autocast_dtype(device_type)
    narrow = (torch.float32, torch.float16, torch.bfloat16)
    return (
        x.to(dtype) if x.dtype in narrow else x,
        weight.to(dtype) if weight.dtype in narrow else weight,
    )


@torch.library.custom_op("tvseg::tv_conv2d", mutates_args=())
def forward_op(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the output (B, C, Ho, Wo) of x (B, C, H, W) and weight (C, K, Ho, Wo)."""
    return kernel_for(x.device).forward(x, weight, stride, dilation)


@torch.library.custom_op("tvseg::tv_conv2d_grad_input", mutates_args=())
def grad_input_op(
    grad: Tensor, weight: Tensor, in_size: Sequence[int], stride: int, dilation: int
) -> Tensor:
    """Compute the gradient of x (B, C, *in_size), in the memory format of grad (B, C, Ho, Wo)."""
    return kernel_for(grad.device).grad_input(grad, weight, in_size, stride, dilation)


@torch.library.custom_op("tvseg::tv_conv2d_grad_weight", mutates_args=())
def grad_weight_op(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the gradient of weight (C, K, Ho, Wo), in the weight's layout where x allows it."""
    return kernel_for(x.device).grad_weight(grad, x, weight, stride, dilation)


# What forward_op(...) calls in the end, without the 15 us that it takes to get there.
tv_conv2d_op = torch.ops.tvseg.tv_conv2d.default
_grad_input = torch.ops.tvseg.tv_conv2d_grad_input.default
_grad_weight = torch.ops.tvseg.tv_conv2d_grad_weight.default


@forward_op.register_fake
def _(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    return empty_map(x, output_size_of((x.shape[2], x.shape[3]), stride))


@grad_input_op.register_fake
def _(grad: Tensor, weight: Tensor, in_size: Sequence[int], stride: int, dilation: int) -> Tensor:
    height, width = in_size
    return empty_map(grad, (height, width))


@grad_weight_op.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    return torch.empty_like(weight_layout(weight, memory_format_of(x)))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
    x, weight, ctx.stride, ctx.dilation = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    x, weight = ctx.saved_tensors
    grad = grad.contiguous(memory_format=memory_format_of(x))
    to_x, to_weight = None, None
    if ctx.needs_input_grad[0]:
        to_x = _grad_input(grad, weight, x.shape[2:], ctx.stride, ctx.dilation)
    if ctx.needs_input_grad[1]:
        to_weight = _grad_weight(grad, x, weight, ctx.stride, ctx.dilation)
    return to_x, to_weight, None, None


forward_op.register_autograd(_backward, setup_context=_save)


@register_flop_formula(
    [
        torch.ops.tvseg.tv_conv2d,
        torch.ops.tvseg.tv_conv2d_grad_input,
    ]
)
def _map_flops(map_shape: Sequence[int], weight_shape: Sequence[int], *_: Any, **__: Any) -> int:
    """Count a multiplication and an addition per image and weight: 2 * B * C * K * Ho * Wo."""
    channels, taps, height, width = weight_shape
    return 2 * map_shape[0] * channels * taps * height * width


@register_flop_formula(torch.ops.tvseg.tv_conv2d_grad_weight)
def _weight_flops(
    grad_shape: Sequence[int],
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    *_: Any,
    **__: Any,
) -> int:
    """Count as many as forward."""
    return _map_flops(grad_shape, weight_shape)

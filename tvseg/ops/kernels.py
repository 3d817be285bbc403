"""The kernels that compute TVConv, by name, and which one serves which device.

A new kernel is one entry in KERNELS, and one in PREFERRED where it is to be used. It must agree
with `tv_conv2d_reference` within the tolerances of the parity tests, and lay its results out as
the torch kernel does: maps in `memory_format_of` their first argument, the weight's gradient in the
strides of `torch.empty_like(weight_layout(weight, memory_format_of(x)))`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tvseg.ops import numba_kernel, torch_kernel


@dataclass(frozen=True)
class Kernel:
    """The operator and its two gradients; arguments and results as in `tvseg.ops.torch_kernel`.

    Args:
        forward: (x, weight, stride, dilation) -> out.
        grad_input: (grad, weight, (H, W), stride, dilation) -> gradient of x.
        grad_weight: (grad, x, weight, stride, dilation) -> gradient of weight.
    """

    forward: Callable[[Tensor, Tensor, int, int], Tensor]
    grad_input: Callable[[Tensor, Tensor, Sequence[int], int, int], Tensor]
    grad_weight: Callable[[Tensor, Tensor, Tensor, int, int], Tensor]


KERNELS: dict[str, Kernel] = {
    "torch": Kernel(torch_kernel.forward, torch_kernel.grad_input, torch_kernel.grad_weight),
    "numba": Kernel(numba_kernel.forward, numba_kernel.grad_input, numba_kernel.grad_weight),
}
PREFERRED: dict[str, str] = {"cpu": "numba", "cuda": "torch"}


def kernel_for(device: torch.device) -> Kernel:
    """The kernel that serves a device; torch's where no other is preferred.

    Args:
        device: where the maps are.

    Returns:
        The kernel.
    """
    return KERNELS[PREFERRED.get(device.type, "torch")]

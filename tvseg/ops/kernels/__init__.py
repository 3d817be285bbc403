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

from tvseg.ops.kernels import torch_kernel, triton_kernel
from tvseg.ops.kernels.numba import kernel as numba_kernel
from tvseg.ops.memory_layout import WeightLayout


@dataclass(frozen=True)
class Kernel:
    """The operator and its gradients; arguments and results as in `tvseg.ops.kernels.torch_kernel`.

    Args:
        forward: (x, weight, stride, dilation) -> out.
        grad_input: (grad, weight, (H, W), stride, dilation) -> gradient of x.
        grad_weight: (grad, x, weight, stride, dilation) -> gradient of weight.
        layout_for: x -> the function that lays out a weight for many forward passes with such
            maps; the same function for maps that want the same layout.
        devices: types of the devices that it computes on, None for every one.
    """

    forward: Callable[[Tensor, Tensor, int, int], Tensor]
    grad_input: Callable[[Tensor, Tensor, Sequence[int], int, int], Tensor]
    grad_weight: Callable[[Tensor, Tensor, Tensor, int, int], Tensor]
    layout_for: Callable[[Tensor], WeightLayout]
    devices: tuple[str, ...] | None = None

    def serves(self, device_type: str) -> bool:
        """Return whether it computes on devices of a type, such as "cpu"."""
        return self.devices is None or device_type in self.devices


KERNELS: dict[str, Kernel] = {
    "torch": Kernel(
        torch_kernel.forward, torch_kernel.grad_input, torch_kernel.grad_weight,
        torch_kernel.layout_for,
    ),
    "numba": Kernel(
        numba_kernel.forward, numba_kernel.grad_input, numba_kernel.grad_weight,
        numba_kernel.layout_for, devices=("cpu",),
    ),
    "triton": Kernel(
        triton_kernel.forward, triton_kernel.grad_input, triton_kernel.grad_weight,
        torch_kernel.layout_for, devices=("cuda",),
    ),
}  # fmt: skip
PREFERRED: dict[str, str] = {"cpu": "numba", "cuda": "triton"}


def kernel_for(device: torch.device) -> Kernel:
    """Return the kernel that serves a device; torch's where no other is preferred.

    Args:
        device: where the maps are.

    Returns:
        The kernel.

    Raises:
        ValueError: if the kernel preferred there does not serve the device.
    """
    name = PREFERRED.get(device.type, "torch")
    kernel = KERNELS[name]
    if not kernel.serves(device.type):
        raise ValueError(
            f"the kernel preferred on {device.type} must compute there, {name!r} does so on "
            f"{kernel.devices}: put another one into tvseg.ops.kernels.PREFERRED"
        )
    return kernel

"""TVConv on the processor by compiled loops, two to three times as fast as torch's.

Takes float32 and bfloat16 maps in channels_last, and bfloat16 weights beside either. Everything
else, contiguous maps too, and every machine on which numba cannot be used, is served by
`tvseg.ops.kernels.torch_kernel`. numba is imported, and the loops are compiled or read from numba's
cache on disk, when the kernel is first used. Work is shared out to as many threads as torch uses.

Letters: B images, C channels, H x W input map, Ho x Wo output map, K = k*k taps.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from tvseg.ops.geometry import output_size_of
from tvseg.ops.kernels import torch_kernel
from tvseg.ops.memory_layout import (
    WeightLayout,
    empty_map,
    memory_format_of,
    pixel_major,
    weight_layout,
)

_DTYPES = (torch.float32, torch.bfloat16)
_FEW_IMAGES = 4
"""Batches up to this one read each weight twice at most."""


def forward(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the operator itself; arguments and result as in `torch_kernel.forward`."""
    loops = _loops_for(x, weight)
    if loops is None:
        return torch_kernel.forward(x, weight, stride, dilation)
    out = empty_map(x, output_size_of((x.shape[2], x.shape[3]), stride))
    loops.sum_taps(x, weight, out, stride, dilation, transposed=False)
    return out


def layout_for(x: Tensor) -> WeightLayout:
    """Choose the layout of weights for many passes; as in `torch_kernel.layout_for`.

    Weights are laid out pixel by pixel for many images, and tap by tap, nine long streams, for few.
    """
    if len(x) > _FEW_IMAGES and _loops_for(x, x) is not None:
        return pixel_major
    return torch_kernel.layout_for(x)


def grad_input(
    grad: Tensor, weight: Tensor, in_size: Sequence[int], stride: int, dilation: int
) -> Tensor:
    """Compute the gradient of the input; arguments and result as in `torch_kernel.grad_input`."""
    loops = _loops_for(grad, weight)
    if loops is None:
        return torch_kernel.grad_input(grad, weight, in_size, stride, dilation)
    height, width = in_size
    result = empty_map(grad, (height, width))
    loops.sum_taps(grad, weight, result, stride, dilation, transposed=True)
    return result


def grad_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the gradient of the weight; arguments and result as in `torch_kernel.grad_weight`."""
    loops = _loops_for(x, weight)
    if loops is None:
        return torch_kernel.grad_weight(grad, x, weight, stride, dilation)
    result = torch.empty_like(weight_layout(weight, memory_format_of(x)))
    loops.spread_taps(grad, x, result, stride, dilation)
    return result


def _loops_for(maps: Tensor, weight: Tensor) -> ModuleType | None:
    """Return the compiled loops if they take these arguments."""
    if maps.dtype not in _DTYPES or weight.dtype not in _DTYPES or maps.numel() == 0:
        return None
    return _compiled() if memory_format_of(maps) == torch.channels_last else None


@cache
def _compiled() -> ModuleType | None:
    """Return the loops; None, with one warning, where numba cannot be used."""
    try:
        import numba

        if numba.config.DISABLE_JIT:
            raise ImportError("NUMBA_DISABLE_JIT is set")
        from tvseg.ops.kernels.numba import channels_last
    except (ImportError, OSError) as error:
        warnings.warn(
            f"TVConv runs in plain torch, several times slower, since numba cannot be used "
            f"({error}): install it with `pip install numba`",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return channels_last

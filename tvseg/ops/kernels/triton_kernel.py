"""TVConv on a GPU by loops that triton compiles at their first use.

Takes float32, bfloat16 and float16 in any layout of maps and weights. Everything else, and every
machine on which triton cannot be used, is served by `tvseg.ops.kernels.torch_kernel`. triton is
imported when the kernel is first used.

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
from tvseg.ops.memory_layout import empty_map, memory_format_of, weight_layout

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def forward(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the operator itself; arguments and result as in `torch_kernel.forward`."""
    tiles = _tiles_for(x, weight)
    if tiles is None:
        return torch_kernel.forward(x, weight, stride, dilation)
    out = empty_map(x, output_size_of((x.shape[2], x.shape[3]), stride))
    tiles.sum_taps(x, weight, out, stride, dilation, transposed=False)
    return out


def grad_input(
    grad: Tensor, weight: Tensor, in_size: Sequence[int], stride: int, dilation: int
) -> Tensor:
    """Compute the gradient of the input; arguments and result as in `torch_kernel.grad_input`."""
    tiles = _tiles_for(grad, weight)
    if tiles is None:
        return torch_kernel.grad_input(grad, weight, in_size, stride, dilation)
    height, width = in_size
    result = empty_map(grad, (height, width))
    tiles.sum_taps(grad, weight, result, stride, dilation, transposed=True)
    return result


def grad_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Compute the gradient of the weight; arguments and result as in `torch_kernel.grad_weight`."""
    tiles = _tiles_for(grad, x, weight)
    if tiles is None:
        return torch_kernel.grad_weight(grad, x, weight, stride, dilation)
    result = torch.empty_like(weight_layout(weight, memory_format_of(x)))
    tiles.spread_taps(grad, x, result, stride, dilation)
    return result


def _tiles_for(maps: Tensor, *others: Tensor) -> ModuleType | None:
    """Return the compiled loops if they take these arguments."""
    if maps.numel() == 0 or any(tensor.dtype not in _DTYPES for tensor in (maps, *others)):
        return None
    return _compiled()


@cache
def _compiled() -> ModuleType | None:
    """Return the loops; None, with one warning, where triton does not work."""
    try:
        import triton

        if not triton.knobs.runtime.interpret:
            triton.runtime.driver.active.get_current_target()
        from tvseg.ops.kernels import triton_tiles
    except Exception as error:
        # not installed, no C compiler for its launcher, no headers of Python, a driver too old
        reason = str(error).partition("\n")[0]
        warnings.warn(
            "TVConv runs in plain torch on the GPU, several times slower, since triton cannot be "
            f"used ({type(error).__name__}: {reason}): install it with `pip install triton`, and "
            "a C compiler",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return triton_tiles

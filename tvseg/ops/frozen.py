"""What a module needs to keep results: tensors that last, and a way to see that they are old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from tvseg.ops.kernels import kernel_for
from tvseg.ops.layout import lies_in, memory_format_of


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Results are constants that any later pass may use, made under inference_mode or not."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def laid_out_for(x: Tensor, weight: Tensor) -> Tensor:
    """Kept weights in the memory format of maps, and there as their kernel reads them fastest.

    The first maps of a format decide, lest batches of different sizes lay them out in turn.

    Args:
        x: (B, C, H, W).
        weight: (C, K, Ho, Wo).

    Returns:
        (C, K, Ho, Wo); the weight itself if it lies in the format already.
    """
    return weight if lies_in(weight, memory_format_of(x)) else kernel_for(x.device).kept(weight, x)


def changes_of(tensor: Tensor) -> int:
    """How often a tensor was changed in place; changes through .data are not seen.

    Args:
        tensor: any; those of inference_mode do not count their changes and give 0.
    """
    return 0 if tensor.is_inference() else tensor._version

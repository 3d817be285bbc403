"""What a module needs to keep results: tensors that last, and a way to see that they are old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Results are constants that any later pass may use, made under inference_mode or not."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def changes_of(tensor: Tensor) -> int:
    """How often a tensor was changed in place; changes through .data are not seen.

    Args:
        tensor: any; those of inference_mode do not count their changes and give 0.
    """
    return 0 if tensor.is_inference() else tensor._version

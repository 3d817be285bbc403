"""Ways to bring a module's weights to another output size, by the name that its user gives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from tvseg.ops.checks import check_size

Resizer = Callable[[Tensor, tuple[int, int]], Tensor]
"""(maps (1, N, height, width), another (height, width)) -> maps of that size, or an error."""


def _refuse(maps: Tensor, size: tuple[int, int]) -> Tensor:
    check_size((maps.shape[2], maps.shape[3]), size)
    return maps


def _bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


RESIZERS: dict[str, Resizer] = {"error": _refuse, "bilinear": _bilinear}


def resizer(name: str) -> Resizer:
    """Return the way of resizing that has a name.

    Args:
        name: "error" or "bilinear".

    Returns:
        The function.

    Raises:
        ValueError: if there is none of this name.
    """
    if name not in RESIZERS:
        raise ValueError(f"resize must be one of {', '.join(RESIZERS)}, got {name!r}")
    return RESIZERS[name]

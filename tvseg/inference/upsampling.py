"""Maps at the network's size, enlarged only where something can be."""

import numpy as np
import torch
from torch.nn import functional as F

from tvseg.data.geometry import Box


def box_above(maps: torch.Tensor, level: float, *, side_px: int) -> Box:
    """A rectangle outside which no map is above a level once it is enlarged.

    Args:
        maps: (S, s, s).
        level: What to be above of.
        side_px: Side to which the maps are enlarged.
    """
    above = (maps > level).any(dim=0).cpu().numpy()
    if not above.any():
        return Box(0, 0, 0, 0)
    scale = side_px / maps.shape[-1]
    spans = []
    for axis in (1, 0):
        (found,) = np.nonzero(above.any(axis=axis))
        first = int(np.floor((found[0] - 1) * scale))  # a neighbour's weight reaches one pixel
        last = int(np.ceil((found[-1] + 2) * scale))
        spans.append((max(0, first), min(side_px, last)))
    (top, bottom), (left, right) = spans
    return Box(top, left, bottom - top, right - left)


def enlarge(maps: torch.Tensor, *, side_px: int, extent: Box) -> torch.Tensor:
    """Enlarge maps of a square bilinearly, and keep a rectangle.

    Args:
        maps: float (S, s, s).
        side_px: Side to which the square is enlarged.
        extent: The rectangle of the enlarged square to compute.

    Returns:
        (S, extent.height, extent.width), as of ``F.interpolate`` with ``align_corners=False``.
    """
    rows, cols = (
        (2 * torch.arange(first, first + count, device=maps.device) + 1) / side_px - 1
        for first, count in ((extent.row, extent.height), (extent.col, extent.width))
    )
    grid = torch.stack(torch.meshgrid(cols, rows, indexing="xy"), dim=-1)  # (rows, cols, 2): x, y
    enlarged = F.grid_sample(maps[None], grid[None], padding_mode="border", align_corners=False)
    return enlarged[0]

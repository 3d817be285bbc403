"""First values of affinity maps, other than the paper's ones."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tvseg.data.dataset import LoadedCases
from tvseg.errors import UserError
from tvseg.runs.affinity import fill_affinity

Start = Callable[[tuple[int, ...], Tensor], Tensor]
"""Shape (maps, height, width), mean masks (structures, S, S) -> the maps."""


def coordinate_maps(shape: tuple[int, ...]) -> Tensor:
    """Return row and column from -1 to 1, distance from the middle, and ones, in turn.

    Args:
        shape: (maps, height, width).
    """
    height, width = shape[1:]
    row = ((torch.arange(height) + 0.5) * 2 / height - 1)[:, None].expand(height, width)
    column = ((torch.arange(width) + 0.5) * 2 / width - 1)[None].expand(height, width)
    kinds = torch.stack([row, column, torch.hypot(row, column), torch.ones(height, width)])
    return kinds[torch.arange(shape[0]) % len(kinds)]


def mean_mask_maps(shape: tuple[int, ...], masks: Tensor) -> Tensor:
    """Return the mean mask of each structure at the maps' size, in turn.

    Args:
        shape: (maps, height, width).
        masks: float32 (structures, S, S), 0 to 1.
    """
    small = interpolate(masks[None], shape[1:], mode="area")[0]
    return small[torch.arange(shape[0]) % len(small)]


STARTS: dict[str, Start] = {
    "coordinates": lambda shape, masks: coordinate_maps(shape),
    "mean_masks": mean_mask_maps,
}


def mean_masks(loaded: LoadedCases) -> Tensor:
    """Return the mean over centres of each centre's mean mask, float32 (structures, S, S).

    Raises:
        UserError: There are no photographs.
    """
    letters = np.asarray([case.centre.letter for case in loaded.cases])
    if not len(letters):
        raise UserError("tvconv.affinity_start=mean_masks needs photographs to train on")
    means = [loaded.masks[letters == letter].mean(axis=0) for letter in np.unique(letters)]
    return torch.from_numpy(np.mean(means, axis=0)).permute(2, 0, 1).float()


def start_affinity(
    network: nn.Module, start: str, *, noise: float, seed: int, loaded: LoadedCases
) -> None:
    """Set the affinity maps of all TVConv layers.

    Args:
        network: On the CPU.
        start: A name of :data:`STARTS`, or ``ones`` for the maps that the network has: ones, or
            trained ones.
        noise: Standard deviation of normal noise that is added, drawn from the seed alone.
        seed: Of the training.
        loaded: Training images of the sources.
    """
    masks = mean_masks(loaded) if start == "mean_masks" else torch.empty(0)
    generator = torch.Generator().manual_seed(seed)

    def maps_of(maps: Tensor) -> Tensor:
        shape = tuple(maps.shape)
        values = maps if start == "ones" else STARTS[start](shape, masks)
        return values + noise * torch.randn(shape, generator=generator)

    fill_affinity(network, maps_of)

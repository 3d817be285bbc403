"""Affinity maps that start from the training pictures instead of ones (Table 3, Figure 11).

The paper starts maps from the mean and the standard deviation of the training images and does not
say how these fill four maps. Here the maps are, in this order and from the beginning again where a
layer has more: the mean of red, of green, of blue, and the standard deviation over pictures, taken
of each colour and averaged. Each is averaged down to the layer's size and scaled to mean 1 and
standard deviation 1 over positions, so that the maps have the mean of the published start.
"""

import cv2
import numpy as np
import torch
from torch import nn

from tvseg.runs.affinity import fill_affinity

_CHUNK = 512


def picture_statistics(pixels: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation over pictures.

    Args:
        pixels: uint8 (N, S, S, 3), RGB.

    Returns:
        float64 (4, S, S), 0 to 255: the mean of red, green and blue, and the standard deviation.
    """
    total = np.zeros(pixels.shape[1:])
    squares = np.zeros(pixels.shape[1:])
    for start in range(0, len(pixels), _CHUNK):
        part = pixels[start : start + _CHUNK].astype(np.float64)
        total += part.sum(axis=0)
        squares += np.square(part).sum(axis=0)
    mean = total / len(pixels)
    std = np.sqrt(np.maximum(squares / len(pixels) - np.square(mean), 0))
    return np.concatenate([np.moveaxis(mean, 2, 0), std.mean(axis=2)[None]])


def start_affinity(network: nn.Module, statistics: np.ndarray) -> None:
    """Set the affinity maps of every TVConv layer.

    Args:
        network: Any network.
        statistics: (4, S, S), of :func:`picture_statistics`.
    """

    def maps_of(maps: torch.Tensor) -> torch.Tensor:
        count, height, width = maps.shape
        chosen = [statistics[channel % len(statistics)] for channel in range(count)]
        resized = [cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in chosen]
        return torch.from_numpy(np.stack([_scaled(one) for one in resized]))

    fill_affinity(network, maps_of)


def _scaled(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    scaled: np.ndarray = 1 + (values - values.mean()) / (spread if spread > 0 else 1)
    return scaled

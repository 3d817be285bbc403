"""Where a map of logits is highest: how a localizer's answer is read."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import expit

from tvseg.data.geometry import Box

STRIDE = 4  # of the map, in pixels of the picture that the network saw


@dataclass(frozen=True)
class Sighting:
    """The spot about the highest logit, in pixels of the picture that the network saw.

    Attributes:
        row: Of the spot's centre.
        col: Of the spot's centre.
        diameter_px: Longer side of the spot's box.
        score: The highest logit, averaged over 3 x 3 cells of the map.
    """

    row: float
    col: float
    diameter_px: float
    score: float


def sight(logits: np.ndarray) -> list[Sighting]:
    """Read maps of logits: the spot about the highest one, cut at half its probability.

    Args:
        logits: float32 (B, 1, H / 4, W / 4), of :class:`~.network.LocalizerNetwork`.

    Returns:
        One sighting a map, whatever its score.
    """
    return [_spot(_smooth(one)) for one in logits[:, 0]]


def _smooth(logits: np.ndarray) -> np.ndarray:
    """Return the mean over each cell and its neighbours, (H, W)."""
    height, width = logits.shape
    padded, inside = np.pad(logits, 1), np.pad(np.ones_like(logits), 1)
    shifts = [(slice(r, r + height), slice(c, c + width)) for r in range(3) for c in range(3)]
    total, count = np.zeros_like(logits), np.zeros_like(logits)
    for shift in shifts:
        total += padded[shift]
        count += inside[shift]
    mean: np.ndarray = total / count
    return mean


def _spot(smooth: np.ndarray) -> Sighting:
    chance = expit(_finer(_finer(smooth, 0), 1))
    peak = np.unravel_index(int(chance.argmax()), chance.shape)
    labels, _ = ndimage.label(chance >= chance[peak] / 2)
    box = Box.of(labels == labels[peak])
    return Sighting(*box.centre, diameter_px=float(box.side), score=float(smooth.max()))


def _finer(maps: np.ndarray, axis: int) -> np.ndarray:
    """Enlarge an axis by :data:`STRIDE`, linearly, pixel centres on halves, edges continued."""
    size = maps.shape[axis]
    at = ((np.arange(STRIDE * size) + 0.5) / STRIDE - 0.5).clip(0, size - 1)
    low = np.floor(at).astype(np.intp)
    share = np.expand_dims((at - low).astype(np.float32), 1 - axis)
    first, second = maps.take(low, axis), maps.take(np.minimum(low + 1, size - 1), axis)
    finer: np.ndarray = first * (1 - share) + second * share
    return finer

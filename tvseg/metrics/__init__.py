"""Segmentation metrics: pure functions of two masks."""

from tvseg.metrics.segmentation import asd, assd, dice, hd, hd95, surface_dice, vcdr
from tvseg.metrics.surface import SurfaceDistances, surface_distances

__all__ = [
    "SurfaceDistances",
    "asd",
    "assd",
    "dice",
    "hd",
    "hd95",
    "surface_dice",
    "surface_distances",
    "vcdr",
]
